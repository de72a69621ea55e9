//! Typed key-value stores, plain or timestamped, with the record cache in front.
//!
//! ```text
//!  operator --take/put--> record cache (typed) --take_dirty--> uncommitted layer + changelog --> operator forwards
//! ```
//! A store without a cache behaves like one whose every update is to be flushed at once, so operators have one path.

use std::ops::{Bound, RangeBounds};

use super::typed::{Typed, Update};
use super::{CacheBudget, Flushed, Stamped, StoreId, StoreSpec};
use crate::context::HasState;
use crate::engine::{Direction, KeyRange};
use crate::error::{SerdeError, StateError};
use crate::key_order::prefix_end;
use crate::merge::Merge;
use crate::model::Timestamp;
use crate::serdes::SerdeRef;

/// The entries of a typed scan.
pub type Entries<'a, K, V> = Box<dyn Iterator<Item = Result<(K, Stamped<V>), StateError>> + 'a>;

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
    typed: Typed<V>,
    key: SerdeRef<K>,
    /// A key that came back, whose memory the next one uses.
    spare: Option<K>,
}

impl<K, V> KeyValue<K, V> {
    /// The store `id` of a task, which is the one that `spec` describes. It is cached if the spec says so and the
    /// budget is not 0.
    pub fn new(id: StoreId, spec: &StoreSpec, key: SerdeRef<K>, value: SerdeRef<V>, budget: &CacheBudget) -> Self {
        Self { typed: Typed::new(id, spec, value, budget), key, spare: None }
    }

    /// From now on the store keeps with each value the headers of the record that is current when it is put: in its
    /// changelog, and in the store if its values have headers.
    pub fn keep_headers(&mut self) {
        self.typed.keep_headers();
    }

    /// Whether updates are held back in the record cache.
    pub fn is_cached(&self) -> bool {
        self.typed.is_cached()
    }

    /// The value of a key.
    ///
    /// # Errors
    /// If the store cannot be read or the bytes are not of these types.
    pub fn get(&mut self, cx: &mut impl HasState, key: &K) -> Result<Option<&V>, StateError> {
        Ok(self.read(cx, key)?.map(|found| found.value))
    }

    /// The value of a key and its time.
    ///
    /// # Errors
    /// As [`KeyValue::get`].
    pub fn read(&mut self, cx: &mut impl HasState, key: &K) -> Result<Option<Stamped<&V>>, StateError> {
        self.begin(key)?;
        self.typed.read(cx.state())
    }

    /// The value of a key that was valid at a time, in a versioned store; others give the value they have.
    ///
    /// # Errors
    /// As [`KeyValue::get`].
    pub fn read_as_of(
        &mut self,
        cx: &mut impl HasState,
        key: &K,
        as_of: Timestamp,
    ) -> Result<Option<Stamped<&V>>, StateError> {
        self.begin(key)?;
        self.typed.read_as_of(cx.state(), as_of)
    }

    /// The value of a key that has been handed out: an update that waits in the cache for [`KeyValue::take_dirty`] is not
    /// seen.
    ///
    /// # Errors
    /// As [`KeyValue::get`].
    pub fn read_handed_on(&mut self, cx: &mut impl HasState, key: &K) -> Result<Option<Stamped<&V>>, StateError> {
        self.begin(key)?;
        self.typed.read_handed_on(cx.state())
    }

    /// Moves the value of a key out of the store, to be replaced by [`KeyValue::put_taken`] (or put back as it was).
    /// A value that is neither is lost if it was not flushed yet.
    ///
    /// # Errors
    /// As [`KeyValue::get`].
    pub fn take(&mut self, cx: &mut impl HasState, key: &K) -> Result<Option<Stamped<V>>, StateError> {
        self.begin(key)?;
        self.typed.take(cx.state())
    }

    /// Sets (or with `None` deletes) the value of the key that was taken last, as an update to be forwarded:
    /// [`KeyValue::take_dirty`] hands it out, at once if [`KeyValue::must_flush`]. `time` is the value's time; without
    /// a cache it is also the time a delete is forwarded with.
    ///
    /// # Errors
    /// If the value cannot be encoded or written.
    pub fn put_taken(&mut self, cx: &mut impl HasState, new: Option<V>, time: Timestamp) -> Result<(), StateError> {
        self.typed.put_taken(cx.state(), new, time)
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
        self.begin(key)?;
        self.typed.update(cx.state(), new, time)
    }

    /// Sets or deletes a key, with nobody below to tell. Flushed by [`KeyValue::write_back`].
    ///
    /// # Errors
    /// If key or value cannot be encoded or written.
    pub fn put(&mut self, cx: &mut impl HasState, key: &K, new: Option<Stamped<V>>) -> Result<(), StateError> {
        self.begin(key)?;
        self.typed.put(cx.state(), new)
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
        self.begin(key)?;
        let state = cx.state();
        if self.typed.read(state)?.is_none() {
            self.typed.put(state, Some(new))?;
            return Ok(None);
        }
        self.typed.read(state)
    }

    /// Whether [`KeyValue::take_dirty`] must be called until it has no more: without a cache after each update, with
    /// one when it is over its budget and clean entries are not enough to drop.
    pub fn must_flush(&mut self) -> bool {
        self.typed.must_flush()
    }

    /// Writes the next update to the store and the changelog and hands it out to be forwarded; `None` when this round
    /// is done. Order: the evicted entry, then by last update. Cached updates that change nothing (no new value, none
    /// in the store) are dropped. No borrow is held while the nodes below run: they may read and write this store.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub fn take_dirty(&mut self, cx: &mut impl HasState, need_old: bool) -> Result<Option<Flushed<K, V>>, StateError> {
        let Some(update) = self.typed.take_dirty(cx.state(), need_old, true)? else { return Ok(None) };
        let key = self.decode_key()?;
        let Update { new, old, timestamp, record, latest, lent } = update;
        Ok(Some(Flushed { key, new, old, timestamp, record, latest, lent }))
    }

    /// Gives a forwarded update back, so that its value stays in the cache.
    pub fn put_back(&mut self, flushed: Flushed<K, V>) {
        self.spare = Some(flushed.key);
        self.typed.put_back(flushed.lent, flushed.new);
    }

    /// Writes everything held back to the store and the changelog, with nobody below to tell.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn write_back(&mut self, cx: &mut impl HasState) -> Result<(), StateError> {
        self.typed.write_back(cx.state())
    }

    /// The entries of a range of keys in the order of their bytes, those held back in the cache included. A bound that
    /// is `None` is open.
    ///
    /// # Errors
    /// If the store cannot be read or a key cannot be encoded.
    pub fn range<'a>(
        &mut self,
        cx: &'a mut impl HasState,
        (from, to): (Option<&K>, Option<&K>),
        direction: Direction,
    ) -> Result<Entries<'a, K, V>, StateError>
    where
        K: 'static,
        V: 'static,
    {
        let encode = |key: Option<&K>| match key {
            Some(key) => {
                let mut bytes = Vec::new();
                let encoded = self.key.encode(key, &mut bytes);
                encoded.map_err(|source| self.typed.serde_error("key", source))?;
                Ok(Bound::Included(bytes))
            }
            None => Ok(Bound::Unbounded),
        };
        let (from, to) = (encode(from)?, encode(to)?);
        self.entries(cx, (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice)), direction)
    }

    /// All entries in the order of their keys' bytes.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn all<'a>(&mut self, cx: &'a mut impl HasState, direction: Direction) -> Result<Entries<'a, K, V>, StateError>
    where
        K: 'static,
        V: 'static,
    {
        self.entries(cx, (Bound::Unbounded, Bound::Unbounded), direction)
    }

    /// The entries whose encoded keys begin with `prefix`, in the order of their keys' bytes.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn prefix<'a>(
        &mut self,
        cx: &'a mut impl HasState,
        prefix: &[u8],
        direction: Direction,
    ) -> Result<Entries<'a, K, V>, StateError>
    where
        K: 'static,
        V: 'static,
    {
        let end = prefix_end(prefix);
        self.entries(cx, (Bound::Included(prefix), end.as_ref().map(Vec::as_slice)), direction)
    }

    /// About how many entries there are, those held back in the cache not counted.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn approximate_count(&self, cx: &mut impl HasState) -> Result<u64, StateError> {
        cx.state().stores.approximate_count(self.typed.id())
    }

    /// Whether a key is what its serde writes as null: no store has such a key.
    ///
    /// # Errors
    /// If it is.
    fn refuse_null(&self, key: &K) -> Result<(), StateError> {
        if self.key.is_null(key) {
            return Err(self.typed.serde_error("key", SerdeError::new("a key", "found null")));
        }
        Ok(())
    }

    fn entries<'a>(
        &mut self,
        cx: &'a mut impl HasState,
        range: KeyRange<'_>,
        direction: Direction,
    ) -> Result<Entries<'a, K, V>, StateError>
    where
        K: 'static,
        V: 'static,
    {
        let mut overlay = self.typed.overlay(|key| RangeBounds::<[u8]>::contains(&range, key))?;
        if direction == Direction::Backward {
            overlay.reverse();
        }
        let base = cx.state().stores.scan(self.typed.id(), range, direction)?;
        let entries = Merge::new(overlay.into_iter(), base, direction);
        let (keys, values) = (self.key.clone(), self.typed.decoder());
        Ok(Box::new(entries.map(move |entry| {
            let (key, value) = entry?;
            let key = keys.decode(Some(&key)).map_err(|source| values.serde_error("key", source))?;
            Ok((key, values.decode(&value)?))
        })))
    }

    fn begin(&mut self, key: &K) -> Result<(), StateError> {
        self.refuse_null(key)?;
        self.typed.begin();
        let encoded = self.key.encode(key, &mut self.typed.key);
        encoded.map_err(|source| self.typed.serde_error("key", source))
    }

    fn decode_key(&mut self) -> Result<K, StateError> {
        let mut key = self.spare.take();
        let decoded = self.key.decode_into(Some(&self.typed.key), &mut key);
        decoded.map_err(|source| self.typed.serde_error("key", source))?;
        match key {
            Some(key) => Ok(key),
            // A serde that fills no slot: ask it for the key itself.
            None => self.key.decode(Some(&self.typed.key)).map_err(|source| self.typed.serde_error("key", source)),
        }
    }
}
