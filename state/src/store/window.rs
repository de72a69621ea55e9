//! Typed window stores: a value per key and window start, with the record cache in front. The flow is that of
//! [`KeyValue`](super::KeyValue).

use std::collections::BTreeSet;

use super::key_value::Entries;
use super::typed::{Typed, Update};
use super::{CacheBudget, Flushed, Stamped, StoreId, StoreKind, StoreSpec};
use crate::context::HasState;
use crate::engine::{Direction, Entry};
use crate::error::StateError;
use crate::key_order::{push_window_suffix, split_window_key};
use crate::merge::Merge;
use crate::model::{Timestamp, Window, Windowed};
use crate::serdes::SerdeRef;
use crate::uncommitted::Written;

/// A window store of one task.
pub struct WindowStore<K, V> {
    typed: Typed<V>,
    key: SerdeRef<K>,
    size: i64,
    duplicates: bool,
    /// A key that came back, whose memory the next one uses.
    spare: Option<K>,
}

impl<K, V> WindowStore<K, V> {
    /// The store `id` of a task, which is the one that `spec` describes (its kind must be one of windows).
    pub fn new(id: StoreId, spec: &StoreSpec, key: SerdeRef<K>, value: SerdeRef<V>, budget: &CacheBudget) -> Self {
        let (size, duplicates) = match spec.kind {
            StoreKind::Window(shape) | StoreKind::TimestampedWindow(shape) => (shape.size, shape.retain_duplicates),
            // The first use of the store will say that it is of another kind.
            StoreKind::KeyValue | StoreKind::TimestampedKeyValue => (0, false),
        };
        Self { typed: Typed::new(id, spec, value, budget), key, size, duplicates, spare: None }
    }

    /// Whether updates are held back in the record cache.
    pub fn is_cached(&self) -> bool {
        self.typed.is_cached()
    }

    /// The value of a key in the window that starts at `start`.
    ///
    /// # Errors
    /// If the store cannot be read or the bytes are not of these types.
    pub fn read(
        &mut self,
        cx: &mut impl HasState,
        key: &K,
        start: Timestamp,
    ) -> Result<Option<Stamped<&V>>, StateError> {
        self.begin(key, start, 0)?;
        self.typed.read(cx.state())
    }

    /// Moves a value out, as [`KeyValue::take`](super::KeyValue::take).
    ///
    /// # Errors
    /// As [`WindowStore::read`].
    pub fn take(
        &mut self,
        cx: &mut impl HasState,
        key: &K,
        start: Timestamp,
    ) -> Result<Option<Stamped<V>>, StateError> {
        self.begin(key, start, 0)?;
        self.typed.take(cx.state())
    }

    /// Sets or deletes the value that was taken last, as [`KeyValue::put_taken`](super::KeyValue::put_taken).
    ///
    /// # Errors
    /// If the value cannot be encoded or written.
    pub fn put_taken(&mut self, cx: &mut impl HasState, new: Option<V>, time: Timestamp) -> Result<(), StateError> {
        self.typed.put_taken(cx.state(), new, time)
    }

    /// Sets or deletes a value, as [`KeyValue::update`](super::KeyValue::update).
    ///
    /// # Errors
    /// If key or value cannot be encoded or written.
    pub fn update(
        &mut self,
        cx: &mut impl HasState,
        key: &Windowed<K>,
        new: Option<V>,
        time: Timestamp,
    ) -> Result<(), StateError> {
        self.begin(&key.key, key.window.start, 0)?;
        self.typed.update(cx.state(), new, time)
    }

    /// Sets or deletes a value, with nobody below to tell. A window that has expired is left as it is.
    ///
    /// # Errors
    /// If key or value cannot be encoded or written.
    pub fn put(
        &mut self,
        cx: &mut impl HasState,
        key: &K,
        start: Timestamp,
        new: Option<Stamped<V>>,
    ) -> Result<(), StateError> {
        let state = cx.state();
        let mut sequence = 0;
        if self.duplicates {
            if new.is_none() {
                return Ok(());
            }
            sequence = state.stores.window_next_sequence(self.typed.id())?;
        }
        self.begin(key, start, sequence)?;
        self.typed.put(state, new)
    }

    /// As [`KeyValue::must_flush`](super::KeyValue::must_flush).
    pub fn must_flush(&mut self) -> bool {
        self.typed.must_flush()
    }

    /// As [`KeyValue::take_dirty`](super::KeyValue::take_dirty).
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub fn take_dirty(
        &mut self,
        cx: &mut impl HasState,
        need_old: bool,
    ) -> Result<Option<Flushed<Windowed<K>, V>>, StateError> {
        let Some(update) = self.typed.take_dirty(cx.state(), need_old, true)? else { return Ok(None) };
        let mut key = self.spare.take();
        let raw = split_window_key(&self.typed.key).ok_or(StateError::Unusable)?;
        let decoded = self.key.decode_into(Some(raw.key), &mut key);
        decoded.map_err(|source| self.typed.serde_error("key", source))?;
        let key = match key {
            Some(key) => key,
            None => self.decode_key(raw.key)?,
        };
        let key = Windowed { key, window: self.window(raw.start) };
        let Update { new, old, timestamp, record, lent } = update;
        Ok(Some(Flushed { key, new, old, timestamp, record, lent }))
    }

    /// Gives a forwarded update back, so that its value stays in the cache.
    pub fn put_back(&mut self, flushed: Flushed<Windowed<K>, V>) {
        self.spare = Some(flushed.key.key);
        self.typed.put_back(flushed.lent, flushed.new);
    }

    /// Writes everything held back to the store and the changelog, with nobody below to tell.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn write_back(&mut self, cx: &mut impl HasState) -> Result<(), StateError> {
        self.typed.write_back(cx.state())
    }

    /// The values of one key in windows that start between two times (both included), in the order of time, those held
    /// back in the cache included.
    ///
    /// # Errors
    /// If the store cannot be read or the key cannot be encoded.
    pub fn fetch<'a>(
        &'a mut self,
        cx: &'a mut impl HasState,
        key: &K,
        times: (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<Entries<'a, Windowed<K>, V>, StateError> {
        let mut bytes = Vec::new();
        let encoded = self.key.encode(key, &mut bytes);
        encoded.map_err(|source| self.typed.serde_error("key", source))?;
        let overlay = self.overlay(times, direction, |found| found == bytes)?;
        let base = cx.state().stores.window_fetch(self.typed.id(), &bytes, times, direction)?;
        Ok(self.entries(Merge::new(overlay.into_iter(), base, direction)))
    }

    /// The values of all keys in windows that start between two times (both included). What is held back in the cache
    /// comes first, in the order of keys; then the store's by segment and key.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn fetch_all<'a>(
        &'a mut self,
        cx: &'a mut impl HasState,
        times: (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<Entries<'a, Windowed<K>, V>, StateError> {
        let overlay = self.overlay(times, direction, |_| true)?;
        let hidden: BTreeSet<Box<[u8]>> = overlay.iter().map(|(key, _)| key.clone()).collect();
        let base = cx.state().stores.window_fetch_all(self.typed.id(), times, direction)?;
        // Segments come one after the other, so that the cache cannot be merged in by key alone.
        let base = base.filter(move |entry| entry.as_ref().map_or(true, |(key, _)| !hidden.contains(key)));
        let held = overlay.into_iter().filter_map(|(key, value)| Some(Ok((key, value?))));
        Ok(self.entries(held.chain(base)))
    }

    /// The entries held back in the cache that start between two times, in the order of a scan.
    fn overlay(
        &self,
        (from, to): (Timestamp, Timestamp),
        direction: Direction,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<Written>, StateError> {
        let mut overlay = self.typed.overlay(|key| {
            split_window_key(key).is_some_and(|parts| (from..=to).contains(&parts.start) && wanted(parts.key))
        })?;
        if direction == Direction::Backward {
            overlay.reverse();
        }
        Ok(overlay)
    }

    fn entries<'a>(
        &'a self,
        entries: impl Iterator<Item = Result<Entry, StateError>> + 'a,
    ) -> Entries<'a, Windowed<K>, V> {
        Box::new(entries.map(move |entry| {
            let (key, value) = entry?;
            let raw = split_window_key(&key).ok_or(StateError::Unusable)?;
            let key = Windowed { key: self.decode_key(raw.key)?, window: self.window(raw.start) };
            Ok((key, self.typed.decode_entry(&value)?))
        }))
    }

    fn decode_key(&self, bytes: &[u8]) -> Result<K, StateError> {
        self.key.decode(Some(bytes)).map_err(|source| self.typed.serde_error("key", source))
    }

    fn window(&self, start: Timestamp) -> Window {
        Window { start, end: Timestamp::from_millis(start.millis().saturating_add(self.size)) }
    }

    fn begin(&mut self, key: &K, start: Timestamp, sequence: u32) -> Result<(), StateError> {
        self.typed.begin();
        let encoded = self.key.encode(key, &mut self.typed.key);
        encoded.map_err(|source| self.typed.serde_error("key", source))?;
        push_window_suffix(&mut self.typed.key, start, sequence);
        Ok(())
    }
}
