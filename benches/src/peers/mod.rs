//! The comparison: Millstream, Kafka Streams and the raw client loop, by turns on the same broker.
//!
//! ```text
//!  throughput ─┐
//!  latency ────┤                  ┌─ table of every row
//!  restart ────┼─▶ Results ──▶ ───┼─ targets: N met, M missed
//!  scale ──────┘                  └─ peers.json, peers.svg
//! ```

mod latency;
mod options;
mod report;
mod restart;
mod results;
mod scale;
mod targets;

use anyhow::Result;
use clap::Parser as _;

use crate::bench::{Bench, Spec};
use crate::child::{self, Starter};
use crate::order::{Side, Workload};
use options::{Options, Section};
use results::{Key, Results};

/// The program.
///
/// # Errors
/// If the broker cannot be reached, a side fails, or its output is wrong.
pub fn main() -> Result<()> {
    let options = Options::parse();
    let Some(bootstrap) = options.entry.begin(child::obey)? else { return Ok(()) };
    let mut bench = Bench::new(bootstrap, Starter { jars: options.jars.clone(), wrap: None })?;
    let mut results = Results::default();
    warm_up(&options, &mut bench)?;
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        for section in &options.sections {
            match section {
                Section::Throughput => throughput(&options, &mut bench, round, &mut results)?,
                Section::Latency => latency::measure(&options, &mut bench, round, &mut results)?,
                Section::Restart => restart::measure(&options, &mut bench, round, &mut results)?,
                Section::Scale => scale::measure(&options, &mut bench, round, &mut results)?,
            }
            // What there is so far, should something later fail.
            report::write(&options, &results)?;
        }
    }
    report::print(&options, &results)
}

/// A broker that has just been started is slow at first, and whoever had the first turn would pay for it.
fn warm_up(options: &Options, bench: &mut Bench) -> Result<()> {
    for workload in [Workload::Passthrough, Workload::Count] {
        bench.run(&Spec::new(workload, options.records), Side::Raw)?;
    }
    Ok(())
}

/// The sides that take part, in an order that changes from round to round.
fn turns(options: &Options, round: usize) -> Vec<Side> {
    let mut sides = [Side::Raw, Side::Millstream, Side::KafkaStreams];
    sides.rotate_left(round % 3);
    sides.into_iter().filter(|side| options.takes_part(*side)).collect()
}

fn throughput(options: &Options, bench: &mut Bench, round: usize, results: &mut Results) -> Result<()> {
    for &guarantee in &options.guarantees {
        for row in &options.workloads {
            let spec = row.spec(guarantee, options.records);
            for side in turns(options, round) {
                if side == Side::Raw && !spec.workload.has_raw_loop() {
                    continue;
                }
                let (_, figures) = bench.run(&spec, side)?;
                let key = |figure| Key::new(&spec.name(), guarantee, side, figure);
                eprintln!(
                    "  {:<18} {:<14} {:>9.0} records/s, {:>7.3} CPU s per million, {:>5.0} MiB, first record after {:.2} s",
                    spec.name(),
                    side.name(),
                    figures.rate(),
                    figures.cpu_per_million(),
                    figures.peak_rss_mib,
                    figures.first_record_seconds
                );
                results.add(round, key("cpu_seconds_per_million"), figures.cpu_per_million());
                results.add(round, key("half_cpu_seconds_per_million"), figures.half_cpu_per_million());
                results.add(round, key("records_per_second"), figures.rate());
                results.add(round, key("half_records_per_second"), figures.half_rate());
                results.add(round, key("peak_rss_mib"), figures.peak_rss_mib);
                results.add(round, key("first_record_seconds"), figures.first_record_seconds);
            }
        }
    }
    Ok(())
}
