//! What typed stores hand in and out: a value with its timestamp, and an update on its way to the nodes below.

use crate::context::{HasState, StateContext};
use crate::model::{RecordContext, Timestamp};

/// A value and the time of its last update (Kafka Streams' `ValueAndTimestamp`). A plain store keeps no time: it reads
/// [`Timestamp::UNKNOWN`] and ignores what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamped<V> {
    /// The value.
    pub value: V,
    /// When it was last updated.
    pub timestamp: Timestamp,
}

impl<V> Stamped<V> {
    /// `value` as of `timestamp`.
    pub const fn new(value: V, timestamp: Timestamp) -> Self {
        Self { value, timestamp }
    }
}

/// An update that has been written to the store and its changelog and is to be handed to the nodes below.
#[derive(Debug)]
pub struct Flushed<K, V> {
    /// The key.
    pub key: K,
    /// The value from now on; `None` deletes the key.
    pub new: Option<V>,
    /// The value until now, if it was asked for.
    pub old: Option<V>,
    /// The time to forward the update with.
    pub timestamp: Timestamp,
    /// The record that caused the update: what the nodes below are to see as the current record.
    pub record: RecordContext,
    /// Whether the store has nothing newer for the key; only a versioned store may say no.
    pub latest: bool,
    /// Where the value came from in the cache.
    pub(crate) lent: Option<Lent>,
}

impl<K, V> Flushed<K, V> {
    /// Exchanges [`Flushed::record`] with the context's current record: call it before forwarding and again after.
    pub fn swap_record(&mut self, cx: &mut impl HasState) {
        let state: &mut StateContext = cx.state();
        std::mem::swap(&mut state.record, &mut self.record);
    }
}

/// The place in the cache that waits for a value that is being forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lent {
    pub(crate) slot: u32,
    /// The number of the update: a later one makes the place somebody else's.
    pub(crate) update: u64,
}
