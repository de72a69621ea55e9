//! Typed key-value stores, plain or timestamped, with the record cache in front.
//!
//! ```text
//!  operator --take/put--> record cache (typed) --take_dirty--> uncommitted layer + changelog --> operator forwards
//! ```
//! A store without a cache behaves like one whose every update is to be flushed at once, so operators have one path.

use super::{CacheBudget, Flushed, Stamped, StoreId, StoreSpec};
use crate::context::HasState;
use crate::error::StateError;
use crate::model::Timestamp;
use crate::serdes::SerdeRef;

/// A key-value store of one task.
///
/// The flow of an aggregation; [`KeyValue::put_taken`] is followed by the loop at every record, and at a commit the
/// loop runs alone (`take_dirty` then hands out everything that was held back):
/// ```
/// # use millstream_state::{context::StateContext, error::StateError, store::*, model::Timestamp};
/// fn count(store: &mut KeyValue<String, i64>, cx: &mut StateContext, key: &String) -> Result<(), StateError> {
///     let old = store.take(cx, key)?;
///     let time = cx.record.timestamp.max(old.as_ref().map_or(Timestamp::UNKNOWN, |old| old.timestamp));
///     store.put_taken(cx, Some(old.map_or(0, |old| old.value) + 1), time)?;
///     if store.must_flush() {
///         flush(store, cx)?;
///     }
///     Ok(())
/// }
///
/// fn flush(store: &mut KeyValue<String, i64>, cx: &mut StateContext) -> Result<(), StateError> {
///     let send_old_values = false;
///     while let Some(mut update) = store.take_dirty(cx, send_old_values)? {
///         update.swap_record(cx);
///         // children.forward(cx, Update { key: &update.key, new: &update.new, old: &update.old, .. })?
///         update.swap_record(cx);
///         store.put_back(update);
///     }
///     Ok(())
/// }
/// ```
pub struct KeyValue<K, V> {
    _p: std::marker::PhantomData<(K, V)>,
}

impl<K, V> KeyValue<K, V> {
    /// The store `id` of a task, which is the one that `spec` describes. It is cached if the spec says so and the
    /// budget is not 0.
    pub fn new(id: StoreId, spec: &StoreSpec, key: SerdeRef<K>, value: SerdeRef<V>, budget: &CacheBudget) -> Self {
        todo!()
    }

    /// Whether updates are held back in the record cache.
    pub fn is_cached(&self) -> bool {
        todo!()
    }

    /// The value of a key.
    ///
    /// # Errors
    /// If the store cannot be read or the bytes are not of these types.
    pub fn get(&mut self, cx: &mut impl HasState, key: &K) -> Result<Option<&V>, StateError> {
        todo!()
    }

    /// The value of a key and its time.
    ///
    /// # Errors
    /// As [`KeyValue::get`].
    pub fn read(&mut self, cx: &mut impl HasState, key: &K) -> Result<Option<Stamped<&V>>, StateError> {
        todo!()
    }

    /// Moves the value of a key out of the store, to be replaced by [`KeyValue::put_taken`] (or put back as it was).
    /// A value that is neither is lost if it was not flushed yet.
    ///
    /// # Errors
    /// As [`KeyValue::get`].
    pub fn take(&mut self, cx: &mut impl HasState, key: &K) -> Result<Option<Stamped<V>>, StateError> {
        todo!()
    }

    /// Sets (or with `None` deletes) the value of the key that was taken last, as an update to be forwarded:
    /// [`KeyValue::take_dirty`] hands it out, at once if [`KeyValue::must_flush`]. `time` is the value's time; without
    /// a cache it is also the time a delete is forwarded with.
    ///
    /// # Errors
    /// If the value cannot be encoded or written.
    pub fn put_taken(&mut self, cx: &mut impl HasState, new: Option<V>, time: Timestamp) -> Result<(), StateError> {
        todo!()
    }

    /// Sets or deletes a key, as an update to be forwarded: [`KeyValue::put_taken`] for who does not need the old value.
    ///
    /// # Errors
    /// As [`KeyValue::put_taken`].
    pub fn update(
        &mut self,
        cx: &mut impl HasState,
        key: &K,
        new: Option<V>,
        time: Timestamp,
    ) -> Result<(), StateError> {
        todo!()
    }

    /// Sets or deletes a key, with nobody below to tell. Flushed by [`KeyValue::write_back`].
    ///
    /// # Errors
    /// If key or value cannot be encoded or written.
    pub fn put(&mut self, cx: &mut impl HasState, key: &K, new: Option<Stamped<V>>) -> Result<(), StateError> {
        todo!()
    }

    /// Puts a value where there is none, and answers what was there.
    ///
    /// # Errors
    /// As [`KeyValue::put`].
    pub fn put_if_absent(
        &mut self,
        cx: &mut impl HasState,
        key: &K,
        new: Stamped<V>,
    ) -> Result<Option<Stamped<&V>>, StateError> {
        todo!()
    }

    /// Whether [`KeyValue::take_dirty`] must be called until it has no more: without a cache after each update, with
    /// one when it is over its budget and clean entries are not enough to drop.
    pub fn must_flush(&mut self) -> bool {
        todo!()
    }

    /// Writes the next update to the store and the changelog and hands it out to be forwarded; `None` when this round
    /// is done. Order: the evicted entry, then by last update. Cached updates that change nothing (no new value, none
    /// in the store) are dropped. No borrow is held while the nodes below run: they may read and write this store.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub fn take_dirty(&mut self, cx: &mut impl HasState, need_old: bool) -> Result<Option<Flushed<K, V>>, StateError> {
        todo!()
    }

    /// Gives a forwarded update back, so that its value stays in the cache.
    pub fn put_back(&mut self, flushed: Flushed<K, V>) {
        todo!()
    }

    /// Writes everything held back to the store and the changelog, with nobody below to tell.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn write_back(&mut self, cx: &mut impl HasState) -> Result<(), StateError> {
        todo!()
    }
}
