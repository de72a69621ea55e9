//! How long an application of one process is away: killed or stopped, started again, until its next output is seen.
//!
//! ```text
//!  parent: load ─► child reads it all ─► kill or stop ─► one new record ─► child again ─► its output, read committed
//!                        └──────────────────── log lines, timed as they arrive ◄──┘
//! ```

mod child;
mod life;
mod options;
mod outputs;
mod report;
mod traffic;
pub(crate) mod watch;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use serde::Serialize;

use crate::meter;
use crate::topics::Topics;
use life::Life;
use options::{Options, Order};
use outputs::{Group, Outputs};
use traffic::Traffic;
use watch::Stopwatch;

/// How the process ended before the restart that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum End {
    /// SIGKILL with nothing to do.
    KilledIdle,
    /// SIGKILL while records come.
    KilledBusy,
    /// SIGTERM.
    Stopped,
}

/// One restart.
#[derive(Clone, Debug, Serialize)]
struct Restart {
    /// How the process before it ended.
    end: End,
    /// From the process's start until the output of a record that came in between is seen.
    first_output_ms: u64,
    /// Changelog records that were replayed.
    restored: u64,
    /// Until when what was done, from the process's start; zero if it was not.
    marks: life::Marks,
    /// How long the process before it took to stop.
    stop_ms: Option<u64>,
    /// Whether it had left the group then.
    left_group: Option<bool>,
}

/// How long anything may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(300);

/// The program.
///
/// # Errors
/// If the broker cannot be reached, or the application does not do its work.
pub fn main() -> Result<()> {
    let options = Options::parse();
    let Some(bootstrap) = options.entry.begin(|order| child::run(&serde_json::from_str(order).context("--order")?))?
    else {
        return Ok(());
    };
    let topics = Topics::new(bootstrap, format!("restart-{}-{}", std::process::id(), meter::wall_ms()))?;
    let state = tempfile::tempdir()?;
    let mut bench = Bench::load(&options, &topics, state.path())?;
    let mut restarts = Vec::new();
    for _ in 0..options.repeat {
        for end in [End::KilledIdle, End::KilledBusy, End::Stopped] {
            let restart = bench.restart(end)?;
            eprintln!("{}", report::line(&restart));
            restarts.push(restart);
        }
    }
    bench.life.stop()?;
    report::print(&options, &restarts)
}

struct Bench {
    order: Order,
    traffic: Traffic,
    outputs: Outputs,
    group: Group,
    life: Life,
    rate: u64,
    busy: Duration,
}

impl Bench {
    /// Fills the input, and waits until all of it is in the store.
    fn load(options: &Options, topics: &Topics, state: &Path) -> Result<Self> {
        let (input, output) = (topics.create("in", options.partitions)?, topics.create("out", options.partitions)?);
        let traffic = Traffic::new(topics.bootstrap(), &input, options.keys)?;
        eprintln!("filling {input} with {} records, each with a key of its own", options.keys);
        traffic.load()?;
        let order = Order {
            bootstrap_servers: topics.bootstrap().to_owned(),
            name: topics.name("app"),
            input,
            output,
            commit_interval_ms: options.commit_interval_ms,
            state_dir: state.to_owned(),
        };
        let group = Group::new(&order)?;
        let began = Stopwatch::start();
        let life = Life::start(&order)?;
        group.wait_until_committed(PATIENCE)?;
        eprintln!("counted in {} s", began.elapsed().as_secs());
        let outputs = Outputs::new(&order)?;
        let busy = Duration::from_millis(options.busy_ms);
        Ok(Self { order, traffic, outputs, group, life, rate: options.rate, busy })
    }

    fn restart(&mut self, end: End) -> Result<Restart> {
        let (mut stop_ms, mut left_group) = (None, None);
        match end {
            End::KilledIdle => self.life.kill()?,
            End::KilledBusy => {
                self.traffic.at_rate(self.rate, self.busy)?;
                self.life.kill()?;
            }
            End::Stopped => {
                stop_ms = Some(self.life.stop()?);
                left_group = Some(self.group.is_empty()?);
            }
        }
        let probe = self.traffic.probe()?;
        self.life = Life::start(&self.order)?;
        self.outputs.wait_for(&probe, PATIENCE)?;
        let first_output_ms = self.life.age_ms();
        // The rest of what came while it was away, so that the next round begins with nothing to do.
        self.group.wait_until_committed(PATIENCE)?;
        let (marks, restored) = self.life.marks();
        Ok(Restart { end, first_output_ms, restored, marks, stop_ms, left_group })
    }
}
