//! Joins of two streams.
//!
//! ```text
//!  left ──▶ [keep] ──▶ [join] ─┐          each record first looks into the other side's window store, then goes into
//!             │  ╳       │     ├─▶ merge   its own; outer sides remember who found nobody, and say so once nobody
//!  right ─▶ [keep] ──▶ [join] ─┘          can come any more
//! ```

mod keep;
mod one_store;
mod side;
mod tracker;
mod waiting;

pub(crate) use keep::{Keep, KeepSettings};
pub(crate) use one_store::{OneStoreJoin, OneStoreSettings};
pub(crate) use side::{SideJoin, SideSettings, SideStores};
pub(crate) use tracker::Tracker;
pub(crate) use waiting::{Emission, Waiting};

use millstream_state::model::Timestamp;

/// From when to when the other record may be, relative to a record's time, and how much longer it may take to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// How far before, in milliseconds.
    pub(crate) before: i64,
    /// How far after.
    pub(crate) after: i64,
    /// How much later than that it may come.
    pub(crate) grace: i64,
}

impl Span {
    /// As the other side sees it.
    pub(crate) fn reversed(self) -> Self {
        Self { before: self.after, after: self.before, grace: self.grace }
    }

    /// The times of possible partners.
    pub(crate) fn around(self, time: Timestamp) -> (Timestamp, Timestamp) {
        let at = |time: i64| Timestamp::from_millis(time.max(0));
        (at(time.millis().saturating_sub(self.before)), at(time.millis().saturating_add(self.after)))
    }
}

/// What a result is made of: the key, the values of both sides (of which one may be missing). `None` is no result.
pub(crate) trait Joiner<K, A, B, R>: Fn(&K, Option<&A>, Option<&B>) -> Option<R> {}
impl<K, A, B, R, J: Fn(&K, Option<&A>, Option<&B>) -> Option<R>> Joiner<K, A, B, R> for J {}
