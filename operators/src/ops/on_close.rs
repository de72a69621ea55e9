//! When closed windows go down, and which.
//!
//! ```text
//!  last time ──┬── windows closed since then: handed down now ──┬── windows that are open
//!              └ kept by the store, expired or not, until here ─┘
//! ```
//! The last time is committed with the offsets, under the name of the store, as Kafka Streams does it. Unlike there, no
//! window is lost if stream time passes its retention before it was handed down: the store holds it.

use millstream_state::error::StateError;
use millstream_state::model::Timestamp;
use millstream_state::store::StoreId;

use crate::context::Context;

/// How the windows of an aggregation end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Windows of this length; the end is exclusive.
    Exclusive(i64),
    /// Windows of this length; the end is inclusive.
    Inclusive(i64),
}

/// The state of emission on window close.
pub(crate) struct OnClose {
    /// Where the last time is kept.
    slot: usize,
    ends: Ends,
    /// How much wall-clock time passes at least between two looks.
    interval: i64,
    /// When to look again.
    next: i64,
    begun: bool,
}

impl OnClose {
    pub(crate) fn new(slot: usize, ends: Ends, interval: i64) -> Self {
        Self { slot, ends, interval, next: 0, begun: false }
    }

    /// The first time whose windows (by start; sessions by end) have not been handed down.
    fn first(&self, last: Timestamp) -> Timestamp {
        if last == Timestamp::UNKNOWN {
            return Timestamp::from_millis(0);
        }
        Timestamp::from_millis(match self.ends {
            Ends::Exclusive(size) => last.millis().saturating_sub(size).max(0) + 1,
            Ends::Inclusive(size) => last.millis().saturating_sub(size).max(0),
        })
    }

    /// The starts (of sessions, the ends) between which windows are to be handed down now, if any.
    pub(crate) fn range(&mut self, cx: &Context, closed: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let now = cx.wall_clock.millis();
        if now < self.next {
            return None;
        }
        self.next = now.saturating_add(if cx.emit_pauses { self.interval } else { 0 });
        let last = cx.operator_times[self.slot];
        if last != Timestamp::UNKNOWN && last >= closed {
            return None;
        }
        let to = Timestamp::from_millis(match self.ends {
            Ends::Exclusive(size) => closed.millis().saturating_sub(size),
            Ends::Inclusive(size) => closed.millis().saturating_sub(size) - 1,
        });
        let from = self.first(last);
        (to.millis() >= 0 && from <= to).then_some((from, to))
    }

    /// Notes that everything closed until now was handed down: the store need not hold it any more.
    pub(crate) fn done(&mut self, cx: &mut Context, store: StoreId, closed: Timestamp) -> Result<(), StateError> {
        cx.operator_times[self.slot] = closed;
        cx.state.stores.hold(store, self.first(closed))
    }

    /// Tells the store what it need not hold, once per chain.
    pub(crate) fn begin(&mut self, cx: &mut Context, store: StoreId) -> Result<(), StateError> {
        if self.begun {
            return Ok(());
        }
        self.begun = true;
        let last = cx.operator_times[self.slot];
        if last == Timestamp::UNKNOWN { Ok(()) } else { cx.state.stores.hold(store, self.first(last)) }
    }
}
