//! Simulated lives of a small cluster, each following from one seed.
//!
//! ```text
//!  seed ─► Scenario ─► Life: machines ── disk (synced and unsynced writes, faults)
//!           application          │ process: production controller and workers, stepped one by one, in random order
//!           settings             └ link: lost, late, doubled, refused calls; cut off; death in the middle of a call
//!           timeline          embedded broker: transactions, fencing, groups, late markers, timeouts
//!                        ─► calm ─► all RUNNING, all consumed ─► clean stop ─► Checker
//! ```
//! One thread, a clock that moves when everybody sleeps, no randomness but the seed's: the same seed is the same life, to
//! the last line of its event log. `torture` lives many of them.

mod bugs;
mod checker;
mod dice;
mod disk;
mod disks;
mod life;
mod link;
mod process;
mod regressions;
mod scenario;
mod storm;
mod trace;
pub mod workload;

use std::sync::Once;

use millstream::state::model::Timestamp;

pub use bugs::Bug;
pub use dice::Dice;
pub use life::{Report, Violation, live};
pub use regressions::{REGRESSIONS, Regression};
pub use scenario::{Event, Scenario};
pub use trace::Counts;

/// The application's id.
pub const APP: &str = "lives";

/// Wall-clock time at the start of every life.
pub const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Keeps panics that are part of a life off the terminal.
pub(crate) fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let text = panic.payload().downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.payload().downcast_ref::<&str>().copied()).unwrap_or_default();
            if !text.contains(workload::PANIC) {
                loud(panic);
            }
        }));
    });
}
