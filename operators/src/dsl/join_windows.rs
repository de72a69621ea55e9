//! How far apart the records of two streams may be to be joined.

use std::time::Duration;

use super::time_windows::millis;
use crate::error::BuildError;
use crate::ops::stream_join::Span;

/// The time between records that are joined (Kafka Streams' `JoinWindows`): a record of the left stream with time `t` is
/// joined with those of the right stream between `t - before` and `t + after`, both included.
///
/// Records are kept for before + after + grace. A result that needs the absence of a partner comes once stream time (the
/// highest timestamp of both sides) has passed the window and the grace.
///
/// ```
/// # use millstream_operators::dsl::JoinWindows;
/// # use std::time::Duration;
/// let seconds = Duration::from_secs;
/// let within_five = JoinWindows::of_time_difference_with_no_grace(seconds(5));
/// let at_most_a_minute_later = within_five.before(seconds(0)).after(seconds(60));
/// assert_eq!(at_most_a_minute_later, JoinWindows::between_millis(0, 60_000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinWindows {
    before: i64,
    after: i64,
    grace: i64,
}

impl JoinWindows {
    /// At most `difference` apart, and up to `grace` late (Kafka Streams: `ofTimeDifferenceAndGrace`).
    pub fn of_time_difference_and_grace(difference: Duration, grace: Duration) -> Self {
        Self { before: millis(difference), after: millis(difference), grace: millis(grace) }
    }

    /// At most `difference` apart (Kafka Streams: `ofTimeDifferenceWithNoGrace`).
    pub fn of_time_difference_with_no_grace(difference: Duration) -> Self {
        Self::of_time_difference_and_grace(difference, Duration::ZERO)
    }

    /// The right record is `from` to `to` milliseconds later than the left one, without grace; negative is earlier. Both
    /// may be on the same side of the left record, as with a negative `before` in Kafka Streams.
    pub fn between_millis(from: i64, to: i64) -> Self {
        Self { before: from.saturating_neg(), after: to, grace: 0 }
    }

    /// Sets how much earlier than the left record the right one may be.
    #[must_use]
    pub fn before(self, before: Duration) -> Self {
        Self { before: millis(before), ..self }
    }

    /// Sets how much later than the left record the right one may be.
    #[must_use]
    pub fn after(self, after: Duration) -> Self {
        Self { after: millis(after), ..self }
    }

    /// Sets the grace.
    #[must_use]
    pub fn grace(self, grace: Duration) -> Self {
        Self { grace: millis(grace), ..self }
    }

    pub(crate) fn size(&self) -> i64 {
        self.before.saturating_add(self.after)
    }

    pub(crate) fn retention(&self) -> i64 {
        self.size().saturating_add(self.grace)
    }

    /// As the left side sees it.
    pub(crate) fn span(&self) -> Span {
        Span { before: self.before, after: self.after, grace: self.grace }
    }

    /// Whether these windows can be used.
    pub(crate) fn check(&self, node: &str) -> Result<(), BuildError> {
        let Self { before, after, grace } = self;
        let length = before.checked_add(*after);
        let reason = match length {
            Some(length) if length < 0 => {
                format!(
                    "its windows end {after} ms after a record and begin {} ms after it; let them begin first",
                    -before
                )
            }
            Some(length) if length.checked_add(*grace).is_some() => return Ok(()),
            _ => "window size plus grace is longer than time can be counted; make them shorter".to_owned(),
        };
        Err(BuildError::BadSetting { node: node.to_owned(), reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_cannot_be_say_why() {
        let second = Duration::from_secs(1);
        assert!(JoinWindows::of_time_difference_and_grace(second, second).check("n").is_ok());
        assert!(JoinWindows::between_millis(100, 200).check("n").is_ok());
        let reversed = JoinWindows::between_millis(200, 100).check("n");
        assert!(reversed.is_err_and(|error| error.to_string().contains("begin 200 ms after it")));
        assert!(JoinWindows::of_time_difference_and_grace(second, Duration::MAX).check("n").is_err());
        assert!(JoinWindows::of_time_difference_with_no_grace(Duration::MAX).check("n").is_err());
    }
}
