//! The times that both sides of a join share.

use std::sync::Arc;

use millstream_state::model::Timestamp;

use crate::context::Context;
use crate::topology::chain::ChainBuilder;

/// Where the shared times are in [`Context::operator_times`]: they are committed with the offsets, so that a restart or
/// an aborted transaction does not change what is emitted when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tracker {
    stream: usize,
    least: usize,
    next: usize,
}

impl Tracker {
    /// Takes places for the join of this name.
    pub(crate) fn new(chain: &mut ChainBuilder<'_>, node: &Arc<str>) -> Self {
        let mut slot = |what: &str| chain.time_slot(&format!("{node}{what}").into());
        Self { stream: slot(""), least: slot(".least"), next: slot(".next") }
    }

    /// The largest time seen on either side.
    pub(crate) fn stream_time(self, cx: &Context) -> Timestamp {
        cx.operator_times[self.stream]
    }

    /// Moves stream time on.
    pub(crate) fn observe(self, cx: &mut Context, time: Timestamp) {
        let stream = &mut cx.operator_times[self.stream];
        *stream = (*stream).max(time);
    }

    /// The least time of a record that waits for a partner, as far as known: `i64::MAX` if none is.
    pub(crate) fn least(self, cx: &Context) -> i64 {
        match cx.operator_times[self.least] {
            Timestamp::UNKNOWN => i64::MAX,
            least => least.millis(),
        }
    }

    /// Says what the least time is; `None` if nobody waits.
    pub(crate) fn set_least(self, cx: &mut Context, least: Option<Timestamp>) {
        cx.operator_times[self.least] = least.unwrap_or(Timestamp::UNKNOWN);
    }

    /// Lowers the least time.
    pub(crate) fn waits(self, cx: &mut Context, time: Timestamp) {
        if time.millis() < self.least(cx) {
            self.set_least(cx, Some(time));
        }
    }

    /// Whether it is time to look for those who wait in vain: at most once per `interval` of wall-clock time.
    pub(crate) fn may_emit(self, cx: &mut Context, interval: i64) -> bool {
        let now = cx.wall_clock.millis();
        let interval = if cx.emit_pauses { interval } else { 0 };
        // Nothing was emitted yet: UNKNOWN is before every time.
        if now < cx.operator_times[self.next].millis() {
            return false;
        }
        cx.operator_times[self.next] = Timestamp::from_millis(now.saturating_add(interval));
        true
    }
}
