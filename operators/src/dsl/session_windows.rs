//! Session windows.

use std::time::Duration;

use millstream_state::model::Timestamp;

use super::time_windows::millis;
use crate::error::BuildError;

/// Windows that last as long as records of a key come (Kafka Streams' `SessionWindows`): a session ends when none has
/// come for longer than the inactivity gap. Start and end are the times of its first and last record, both inclusive.
/// A record between two sessions merges them.
///
/// A session is closed once stream time (the highest timestamp its operator has seen) has passed its end by more than
/// gap plus grace; a record for which there is no session that is open is late then, dropped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionWindows {
    gap: i64,
    grace: i64,
}

impl SessionWindows {
    /// Sessions with this inactivity gap that take late records until `grace` after they could have ended.
    pub fn of_inactivity_gap_and_grace(gap: Duration, grace: Duration) -> Self {
        Self { gap: millis(gap), grace: millis(grace) }
    }

    /// Sessions with this inactivity gap that take no record once they have ended.
    pub fn of_inactivity_gap_with_no_grace(gap: Duration) -> Self {
        Self::of_inactivity_gap_and_grace(gap, Duration::ZERO)
    }

    pub(crate) fn gap(&self) -> i64 {
        self.gap
    }

    /// How long after its end a session is not closed yet.
    pub(crate) fn open_for(&self) -> i64 {
        self.gap.saturating_add(self.grace)
    }

    /// Whether these windows can be used.
    pub(crate) fn check(&self, node: &str) -> Result<(), BuildError> {
        let reason = if self.gap < 1 {
            "its sessions end after a gap of less than a millisecond; make the gap longer"
        } else if self.gap.checked_add(self.grace).is_none() {
            "inactivity gap plus grace is longer than time can be counted; make the grace shorter"
        } else {
            return Ok(());
        };
        Err(BuildError::BadSetting { node: node.to_owned(), reason: reason.to_owned() })
    }

    /// Sessions that end before this time are closed.
    pub(crate) fn closed_before(&self, stream_time: Timestamp) -> Timestamp {
        Timestamp::from_millis(stream_time.millis().saturating_sub(self.open_for()))
    }
}
