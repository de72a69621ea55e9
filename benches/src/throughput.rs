//! Runs the two sides by turns, each in a process of its own, so that threads, memory and CPU time don't mix.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use clap::Parser as _;
use serde::Serialize;

use crate::meter::Figures;
use crate::options::{Options, Order, Side};
use crate::topics::Topics;
use crate::{check, load, meter, raw, report, topology};

/// One side's figures in one round.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Which side.
    pub side: Side,
    /// Which round, from 0.
    pub round: usize,
    /// How many records it wrote to the output topic.
    pub output_records: u64,
    /// What it took.
    #[serde(flatten)]
    pub figures: Figures,
}

/// The program.
///
/// # Errors
/// If the broker cannot be reached, a side fails, or its output is wrong.
pub fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(order) = &options.order {
        return child(order);
    }
    let bootstrap = options.bootstrap_servers.clone().context("--bootstrap-servers is needed")?;
    let topics = Topics::new(&bootstrap, format!("bench-{}-{}", std::process::id(), meter::wall_ms()))?;
    let input = topics.create("in", options.partitions)?;
    eprintln!("filling {input} with {} records", options.records);
    let passing = load::fill(&bootstrap, &input, &options)?;
    let mut runs = Vec::new();
    for round in 0..options.repeat {
        let sides = if round % 2 == 0 { [Side::Raw, Side::Millstream] } else { [Side::Millstream, Side::Raw] };
        for side in sides.into_iter().filter(|side| options.only.is_none_or(|only| only == *side)) {
            let run = measure(&options, &topics, (&input, passing), (side, round))?;
            eprintln!("{}", report::line(&run));
            runs.push(run);
        }
    }
    report::print(&options, &runs)
}

fn child(order: &str) -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let order: Order = serde_json::from_str(order).context("--order")?;
    let figures = match order.side {
        Side::Raw => raw::run(&order)?,
        Side::Millstream => topology::run(&order)?,
    };
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&figures)?)?;
    Ok(())
}

fn measure(
    options: &Options,
    topics: &Topics,
    (input, passing): (&str, u64),
    (side, round): (Side, usize),
) -> Result<Run> {
    let rest = format!("{}-{round}", if side == Side::Raw { "raw" } else { "millstream" });
    let state = tempfile::tempdir()?;
    let order = Order {
        side,
        bootstrap_servers: topics.bootstrap().to_owned(),
        name: topics.name(&rest),
        input: input.to_owned(),
        output: topics.create(&format!("{rest}-out"), options.partitions)?,
        records: options.records,
        workload: options.workload,
        guarantee: options.guarantee,
        commit_interval_ms: options.commit_interval_ms,
        caching: options.caching,
        produce: options.produce,
        state_dir: state.path().to_owned(),
    };
    let wrap = options.wrap.as_deref().filter(|_| side == Side::Millstream).unwrap_or_default();
    let figures = in_a_child(&order, wrap)?;
    let output_records = check::output(&order, passing)?;
    topics.delete(&order.name)?;
    Ok(Run { side, round, output_records, figures })
}

fn in_a_child(order: &Order, wrap: &str) -> Result<Figures> {
    let program = std::env::current_exe()?;
    let mut words = wrap.split_whitespace();
    let mut command = match words.next() {
        Some(wrapper) => Command::new(wrapper),
        None => Command::new(&program),
    };
    if !wrap.trim().is_empty() {
        command.args(words).arg("--").arg(&program);
    }
    command.arg("--order").arg(serde_json::to_string(order)?).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().with_context(|| format!("running {}", program.display()))?;
    ensure!(output.status.success(), "the {:?} side failed: {}", order.side, output.status);
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().find(|line| line.starts_with('{')).context("the child printed no figures")?;
    Ok(serde_json::from_str(line)?)
}
