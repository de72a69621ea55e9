//! Tumbling and hopping windows.

use std::time::Duration;

use millstream_state::model::{Timestamp, Window};

use crate::error::BuildError;

/// Windows of a fixed size, aligned to the epoch (Kafka Streams' `TimeWindows`): tumbling, or hopping with
/// [`TimeWindows::advance_by`]. Start inclusive, end exclusive.
///
/// A window is closed once stream time (the highest timestamp its operator has seen) has reached its end plus the
/// grace; records for it are late from then on, dropped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWindows {
    size: i64,
    advance: i64,
    grace: i64,
}

/// Windows whose bounds do not depend on the records: [`TimeWindows`] and
/// [`UnlimitedWindows`](super::UnlimitedWindows).
pub trait FixedWindows: Copy + Send + Sync + 'static {
    /// The windows that `time` falls into, earliest first.
    #[doc(hidden)]
    fn of(&self, time: Timestamp) -> impl Iterator<Item = Window>;

    /// How long a window is, in milliseconds.
    #[doc(hidden)]
    fn size(&self) -> i64;

    /// How long after its end a window takes records, in milliseconds.
    #[doc(hidden)]
    fn grace(&self) -> i64;

    /// Whether these windows can be used.
    #[doc(hidden)]
    fn check(&self, node: &str) -> Result<(), BuildError>;

    /// Windows that end at this time or earlier are closed.
    #[doc(hidden)]
    fn closed_until(&self, stream_time: Timestamp) -> Timestamp {
        Timestamp::from_millis(stream_time.millis().saturating_sub(self.grace()))
    }
}

/// A duration in milliseconds; what is longer than 292 million years is cut to that.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl TimeWindows {
    /// Tumbling windows of `size` that take late records until `grace` after their end.
    pub fn of_size_and_grace(size: Duration, grace: Duration) -> Self {
        Self { size: millis(size), advance: millis(size), grace: millis(grace) }
    }

    /// Tumbling windows of `size` that take no record after their end.
    pub fn of_size_with_no_grace(size: Duration) -> Self {
        Self::of_size_and_grace(size, Duration::ZERO)
    }

    /// Makes the windows hop: one begins every `advance`, so that they overlap.
    #[must_use]
    pub fn advance_by(mut self, advance: Duration) -> Self {
        self.advance = millis(advance);
        self
    }
}

impl FixedWindows for TimeWindows {
    fn size(&self) -> i64 {
        self.size
    }

    fn grace(&self) -> i64 {
        self.grace
    }

    fn check(&self, node: &str) -> Result<(), BuildError> {
        let reason = if self.size < 1 {
            "its windows are shorter than a millisecond; make them longer".to_owned()
        } else if self.advance < 1 || self.advance > self.size {
            let Self { size, advance, .. } = self;
            format!("its windows of {size} ms advance by {advance} ms; advance by 1 ms to {size} ms")
        } else if self.size.checked_add(self.grace).is_none() {
            "window size plus grace is longer than time can be counted; make the grace shorter".to_owned()
        } else {
            return Ok(());
        };
        Err(BuildError::BadSetting { node: node.to_owned(), reason })
    }

    fn of(&self, time: Timestamp) -> impl Iterator<Item = Window> {
        let Self { size, advance, .. } = *self;
        let time = time.millis();
        let first = (time - size + advance).max(0) / advance * advance;
        std::iter::successors(Some(first), move |start| start.checked_add(advance))
            .take_while(move |start| *start <= time)
            .map(move |start| Window {
                start: Timestamp::from_millis(start),
                end: Timestamp::from_millis(start.saturating_add(size)),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(windows: TimeWindows, time: i64) -> Vec<i64> {
        windows.of(Timestamp::from_millis(time)).map(|window| window.start.millis()).collect()
    }

    #[test]
    fn a_time_falls_into_one_tumbling_window() {
        let windows = TimeWindows::of_size_with_no_grace(Duration::from_millis(10));
        assert_eq!(starts(windows, 0), [0]);
        assert_eq!(starts(windows, 9), [0]);
        assert_eq!(starts(windows, 10), [10]);
    }

    #[test]
    fn hopping_windows_overlap_and_none_begins_before_the_epoch() {
        let windows =
            TimeWindows::of_size_with_no_grace(Duration::from_millis(10)).advance_by(Duration::from_millis(4));
        assert_eq!(starts(windows, 3), [0]);
        assert_eq!(starts(windows, 9), [0, 4, 8]);
        assert_eq!(starts(windows, 12), [4, 8, 12]);
    }

    #[test]
    fn windows_that_cannot_be_say_why() {
        let second = Duration::from_secs(1);
        assert!(TimeWindows::of_size_with_no_grace(Duration::ZERO).check("n").is_err());
        assert!(TimeWindows::of_size_with_no_grace(second).advance_by(2 * second).check("n").is_err());
        assert!(TimeWindows::of_size_and_grace(second, Duration::MAX).check("n").is_err());
        assert!(TimeWindows::of_size_and_grace(second, second).check("n").is_ok());
    }
}
