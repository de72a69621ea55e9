//! The throughput bench: runs the raw loop and Millstream by turns.

use anyhow::Result;
use clap::Parser as _;
use serde::Serialize;

use crate::bench::{Bench, Spec};
use crate::child::{self, Starter};
use crate::load::{Input, Keys};
use crate::meter::Figures;
use crate::options::Options;
use crate::order::Side;
use crate::report;

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
    let Some(bootstrap) = options.entry.begin(child::obey)? else { return Ok(()) };
    let mut bench = Bench::new(bootstrap, Starter { wrap: options.wrap.clone(), jars: None })?;
    let spec = spec(&options);
    let mut runs = Vec::new();
    for round in 0..options.repeat {
        let sides = if round % 2 == 0 { [Side::Raw, Side::Millstream] } else { [Side::Millstream, Side::Raw] };
        let wanted = |side: &Side| match options.only {
            Some(only) => only == *side,
            None => *side == Side::Millstream || spec.workload.has_raw_loop(),
        };
        for side in sides.into_iter().filter(wanted) {
            let (output_records, figures) = bench.run(&spec, side)?;
            let run = Run { side, round, output_records, figures };
            eprintln!("{}", report::line(&run));
            runs.push(run);
        }
    }
    report::print(&options, &runs)
}

fn spec(options: &Options) -> Spec {
    let usual = Spec::new(options.workload, options.records);
    let input = match usual.input.draw {
        Keys::Zipf(_) => Input { keys: options.keys, draw: Keys::Zipf(options.zipf), ..usual.input },
        Keys::InTurn => usual.input,
    };
    Spec {
        caching: options.caching,
        guarantee: options.guarantee,
        commit_interval_ms: options.commit_interval_ms,
        input,
        partitions: options.partitions,
        workers: options.workers,
        produce: options.produce,
        ..usual
    }
}
