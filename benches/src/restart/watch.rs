//! Time that has passed, and pauses between two looks.

use std::time::Duration;

use millstream::clock::{Clock as _, Monotonic, SystemClock};

/// Runs from when it was made; its copies run with it.
#[derive(Clone)]
pub(crate) struct Stopwatch {
    clock: SystemClock,
    since: Monotonic,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        let clock = SystemClock::default();
        Self { since: clock.monotonic(), clock }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.monotonic().since(self.since)
    }
}

/// Nothing that another process does wakes this one: it looks again after a while.
pub(crate) fn pause(time: Duration) {
    std::thread::park_timeout(time);
}
