//! Time as a parameter: the outermost loop reads the system's clock, everything below is handed the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use millstream_state::model::Timestamp;

/// A source of time.
pub trait Clock: Send + Sync {
    /// Time that never goes back, counted from an arbitrary start: for deadlines and intervals.
    fn monotonic(&self) -> Monotonic;

    /// Milliseconds since the epoch: for record timestamps and what is shown to people.
    fn wall(&self) -> Timestamp;
}

/// A moment on a clock that never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(Duration);

impl Monotonic {
    /// The moment this long after the clock's start.
    pub const fn since_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// The moment `duration` later.
    pub const fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// How long `earlier` was ago; zero if it is still to come.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The system's clocks.
#[derive(Clone, Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl Default for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the system's clock")]
    fn default() -> Self {
        Self { start: std::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Monotonic {
        Monotonic(self.start.elapsed())
    }

    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the system's clock")]
    fn wall(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A clock that stands still until a test moves it. Clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    millis: Arc<AtomicI64>,
    epoch: i64,
}

impl ManualClock {
    /// A clock that shows `wall` at first.
    pub fn starting_at(wall: Timestamp) -> Self {
        Self { millis: Arc::new(AtomicI64::new(0)), epoch: wall.millis() }
    }

    /// Moves both times on.
    pub fn advance(&self, by: Duration) {
        self.millis.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn monotonic(&self) -> Monotonic {
        Monotonic(Duration::from_millis(self.millis.load(Ordering::SeqCst).unsigned_abs()))
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(self.epoch + self.millis.load(Ordering::SeqCst))
    }
}
