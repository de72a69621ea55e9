//! Milliseconds since the epoch, as Kafka counts record time.

use std::fmt;

/// A point in time in milliseconds since 1970-01-01T00:00:00Z.
///
/// Record timestamps, stream time and wall-clock time all use it; none of them is ever read from the system here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// «Not known yet»: the stream time before the first record, and the time of a record without one (`-1` in Kafka).
    pub const UNKNOWN: Self = Self(-1);

    /// The time `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
