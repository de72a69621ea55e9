//! A large store comes back: after SIGKILL, after a clean stop, and from the changelog alone.

use anyhow::Result;
use tempfile::TempDir;

use super::options::Options;
use super::results::{Key, Results};
use crate::bench::{Bench, Spec};
use crate::load;
use crate::meter::Revival;
use crate::order::{Caching, Delivery, Mode, Order, Side, Workload};

/// How the process before ended, or what it left.
pub(super) const KILLED: &str = "restart after SIGKILL";
pub(super) const STOPPED: &str = "restart after a clean stop";
pub(super) const WIPED: &str = "restart with the store wiped";

/// How many records are left when the process is killed.
const LEFT: u64 = 10_000;

pub(super) fn measure(options: &Options, bench: &mut Bench, round: usize, results: &mut Results) -> Result<()> {
    for side in super::turns(options, round).into_iter().filter(|side| *side != Side::Raw) {
        let usual = Spec::new(Workload::ReduceLargeState, options.records);
        let spec = Spec { caching: Caching::Off, ..usual };
        let state = TempDir::new()?;
        // Of its own, as records are added between the lives.
        let input = bench.topics.create(&format!("restart-in-{round}-{}", side.slug()), spec.partitions)?;
        load::fill(bench.topics.bootstrap(), &input, spec.input)?;
        let order = bench.order_on(&spec, side, state.path(), input)?;
        let die_at = options.records.saturating_sub(LEFT).max(options.records / 2);
        bench.starter.until_it_dies(&Order { die_at, ..order.clone() })?;
        let order = Order { mode: Mode::Restart, ..order };
        for what in [KILLED, STOPPED, WIPED] {
            if what == WIPED {
                std::fs::remove_dir_all(state.path())?;
                std::fs::create_dir_all(state.path())?;
            }
            if what != KILLED {
                load::one_each(&order.bootstrap_servers, &order.input, spec.partitions)?;
            }
            let revival: Revival = bench.starter.figures(&order)?;
            tell(what, side, &revival);
            let key = |figure| Key::new(what, Delivery::ExactlyOnce, side, figure);
            results.add(round, key("first_record_seconds"), revival.first_record_seconds);
            results.add(round, key("restored_records"), revival.restored as f64);
            // The changelog holds the outcome of each record.
            results.add(round, key("restored_share"), revival.restored as f64 / options.records as f64);
            results.add(round, key("peak_rss_mib"), revival.peak_rss_mib);
            if revival.restored > 0 && what == WIPED {
                let restored = revival.restored as f64;
                results.add(round, key("records_per_second"), restored / revival.restore_seconds.max(1e-3));
                results.add(round, key("cpu_seconds_per_million"), revival.restore_cpu_seconds / restored * 1e6);
            }
        }
        bench.topics.delete(&order.name)?;
    }
    Ok(())
}

fn tell(what: &str, side: Side, revival: &Revival) {
    eprintln!(
        "  {what:<30} {:<14} first record after {:.2} s, {} records restored in {:.2} s and {:.2} CPU s",
        side.name(),
        revival.first_record_seconds,
        revival.restored,
        revival.restore_seconds,
        revival.restore_cpu_seconds
    );
}
