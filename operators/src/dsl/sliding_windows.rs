//! Sliding windows.

use std::time::Duration;

use millstream_state::model::Timestamp;

use super::time_windows::millis;
use crate::error::BuildError;

/// Windows of a fixed length that begin and end with records (Kafka Streams' `SlidingWindows`): there is one for each
/// set of records of a key that are not farther apart than the time difference. Start and end are inclusive; each
/// record is the last of one window, and the one just before another begins.
///
/// A record is late once stream time (the highest timestamp its operator has seen) has passed its own time by more than
/// time difference plus grace; it is dropped then, and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingWindows {
    difference: i64,
    grace: i64,
}

impl SlidingWindows {
    /// Windows of records that are at most `difference` apart, which take late records until `grace` after their end.
    pub fn of_time_difference_and_grace(difference: Duration, grace: Duration) -> Self {
        Self { difference: millis(difference), grace: millis(grace) }
    }

    /// Windows of records that are at most `difference` apart, which take no record after their end.
    pub fn of_time_difference_with_no_grace(difference: Duration) -> Self {
        Self::of_time_difference_and_grace(difference, Duration::ZERO)
    }

    pub(crate) fn difference(&self) -> i64 {
        self.difference
    }

    pub(crate) fn grace(&self) -> i64 {
        self.grace
    }

    /// How long the windows that a record can have to do with begin before it is late.
    pub(crate) fn least_retention(&self) -> i64 {
        self.difference.saturating_mul(2).saturating_add(self.grace)
    }

    /// Whether these windows can be used.
    pub(crate) fn check(&self, node: &str) -> Result<(), BuildError> {
        let retention = self.difference.checked_mul(2).and_then(|twice| twice.checked_add(self.grace));
        if retention.is_some() {
            return Ok(());
        }
        let reason = "time difference plus grace is longer than time can be counted; make them shorter".to_owned();
        Err(BuildError::BadSetting { node: node.to_owned(), reason })
    }

    /// Windows that end before this time are closed.
    pub(crate) fn closed_before(&self, stream_time: Timestamp) -> Timestamp {
        Timestamp::from_millis(stream_time.millis().saturating_sub(self.grace))
    }
}
