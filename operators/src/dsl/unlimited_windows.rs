//! One window without an end.

use millstream_state::model::{Timestamp, Window};

use super::time_windows::FixedWindows;
use crate::error::BuildError;

/// A single window that begins at a time and never ends (Kafka Streams' `UnlimitedWindows`): a count of all records
/// from then on. Records before its start fall into no window and have no effect; none is ever late.
///
/// ```
/// # use millstream_operators::dsl::*;
/// # use millstream_state::model::Timestamp;
/// # let builder = StreamsBuilder::new();
/// let since_launch = UnlimitedWindows::of().start_on(Timestamp::from_millis(1_700_000_000_000));
/// let signups = builder.stream::<String, String>("signups").group_by_key().windowed_by(since_launch);
/// signups.count(Materialized::named("since-launch")).to_stream_with_key(|key, _| key.key.clone()).to("out");
/// # builder.build()?;
/// # Ok::<(), millstream_operators::error::BuildError>(())
/// ```
/// A window that never closes cannot be emitted on close:
/// ```compile_fail
/// # use millstream_operators::dsl::*;
/// # let builder = StreamsBuilder::new();
/// let all = builder.stream::<String, String>("in").group_by_key().windowed_by(UnlimitedWindows::of());
/// all.emit_strategy(EmitStrategy::OnWindowClose);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnlimitedWindows {
    start: i64,
}

impl UnlimitedWindows {
    /// A window that begins at the epoch.
    pub fn of() -> Self {
        Self { start: 0 }
    }

    /// Has the window begin at this time; before the epoch is not possible.
    #[must_use]
    pub fn start_on(self, start: Timestamp) -> Self {
        Self { start: start.millis() }
    }
}

impl FixedWindows for UnlimitedWindows {
    fn size(&self) -> i64 {
        i64::MAX
    }

    fn grace(&self) -> i64 {
        0
    }

    fn check(&self, node: &str) -> Result<(), BuildError> {
        if self.start >= 0 {
            return Ok(());
        }
        let reason = format!("its window begins at {} ms; begin at 0 or later", self.start);
        Err(BuildError::BadSetting { node: node.to_owned(), reason })
    }

    fn of(&self, time: Timestamp) -> impl Iterator<Item = Window> {
        let window = Window { start: Timestamp::from_millis(self.start), end: Timestamp::from_millis(i64::MAX) };
        (time.millis() >= self.start).then_some(window).into_iter()
    }
}
