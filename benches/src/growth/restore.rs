//! How long stores of several sizes take to come back from their changelogs alone.

use anyhow::Result;
use tempfile::TempDir;

use super::Points;
use super::options::{Options, Series};
use crate::bench::{Bench, Spec};
use crate::load;
use crate::meter::{Figures, Revival};
use crate::order::{Caching, Mode, Order, Side, Workload};

/// Wall and CPU seconds by number of keys.
pub(super) fn measure(options: &Options, bench: &mut Bench) -> Result<Vec<(String, Points)>> {
    let (mut wall, mut cpu) = (Points::new(), Points::new());
    for keys in Series::Restore.values(options) {
        let (mut seconds, mut cpu_seconds) = (Vec::new(), Vec::new());
        for round in 0..options.rounds {
            let (restore, restore_cpu) = once(bench, keys as u64, round)?;
            eprintln!("  restore {keys:>10} keys, twice each: {restore:.3} s, {restore_cpu:.3} CPU s");
            seconds.push(restore);
            cpu_seconds.push(restore_cpu);
        }
        wall.push((keys, seconds));
        cpu.push((keys, cpu_seconds));
    }
    Ok(vec![("wall".to_owned(), wall), ("CPU".to_owned(), cpu)])
}

fn once(bench: &mut Bench, keys: u64, round: usize) -> Result<(f64, f64)> {
    let usual = Spec::new(Workload::ReduceLargeState, keys * 2);
    let spec = Spec { caching: Caching::Off, ..usual };
    let input = bench.topics.create(&format!("restore-in-{keys}-{round}"), spec.partitions)?;
    load::fill(bench.topics.bootstrap(), &input, spec.input)?;
    let before = TempDir::new()?;
    let order = bench.order_on(&spec, Side::Millstream, before.path(), input)?;
    let _: Figures = bench.starter.figures(&order)?;
    // What the second life waits for.
    load::one_each(bench.topics.bootstrap(), &order.input, spec.partitions)?;
    let after = TempDir::new()?;
    let order = Order { mode: Mode::Restart, state_dir: after.path().to_owned(), ..order };
    let revival: Revival = bench.starter.figures(&order)?;
    bench.topics.delete(&order.name)?;
    Ok((revival.restore_seconds, revival.restore_cpu_seconds))
}
