//! Typed window stores: a value per key and window start, with the record cache in front. The flow is that of
//! [`KeyValue`](super::KeyValue).

mod duplicates;

use std::collections::BTreeSet;

use super::key_value::Entries;
use super::typed::{Typed, Update};
use super::{CacheBudget, Flushed, Stamped, StoreId, StoreKind, StoreSpec};
use crate::context::HasState;
use crate::engine::{Direction, Entry};
use crate::error::{SerdeError, StateError};
use crate::key_order::{
    from_time_first_window_key, push_window_suffix, split_window_key, time_first_window_key, window_key,
};
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
            _ => (0, false),
        };
        Self { typed: Typed::new(id, spec, value, budget), key, size, duplicates, spare: None }
    }

    /// Makes the store ready for [`WindowStore::fetch`] at every record: the cache keeps its entries in order.
    pub fn sort_cache(&mut self) {
        self.typed.sort_cache();
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

    /// As [`WindowStore::read`], without an update that waits to be handed out.
    ///
    /// # Errors
    /// As [`WindowStore::read`].
    pub fn read_handed_on(
        &mut self,
        cx: &mut impl HasState,
        key: &K,
        start: Timestamp,
    ) -> Result<Option<Stamped<&V>>, StateError> {
        self.begin(key, start, 0)?;
        self.typed.read_handed_on(cx.state())
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
        self.update_at(cx, (&key.key, key.window.start), new, time)
    }

    /// As [`WindowStore::update`], of the window that starts at `start`.
    ///
    /// # Errors
    /// As [`WindowStore::update`].
    pub fn update_at(
        &mut self,
        cx: &mut impl HasState,
        (key, start): (&K, Timestamp),
        new: Option<V>,
        time: Timestamp,
    ) -> Result<(), StateError> {
        self.begin(key, start, 0)?;
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
        let Update { new, old, timestamp, record, latest, lent } = update;
        Ok(Some(Flushed { key, new, old, timestamp, record, latest, lent }))
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
        &mut self,
        cx: &'a mut impl HasState,
        key: &K,
        times: (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<Entries<'a, Windowed<K>, V>, StateError>
    where
        K: 'static,
        V: 'static,
    {
        let bytes = self.encode_key(key)?;
        let bound = |time: Timestamp, sequence| window_key(&bytes, time.max(Timestamp::from_millis(0)), sequence);
        let (first, last) = (bound(times.0, 0), bound(times.1, u32::MAX));
        let mut overlay = self.typed.overlay_between(cx.state(), &first, &last, |found| {
            let parts = split_window_key(found);
            parts.is_some_and(|parts| (times.0..=times.1).contains(&parts.start) && parts.key == bytes)
        })?;
        if direction == Direction::Backward {
            overlay.reverse();
        }
        let base = cx.state().stores.window_fetch(self.typed.id(), &bytes, times, direction)?;
        Ok(self.entries(Merge::new(overlay.into_iter(), base, direction)))
    }

    /// The values of all keys in windows that start between two times (both included). What is held back in the cache
    /// comes first, in the order of keys; then the store's by segment and key.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn fetch_all<'a>(
        &mut self,
        cx: &'a mut impl HasState,
        times: (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<Entries<'a, Windowed<K>, V>, StateError>
    where
        K: 'static,
        V: 'static,
    {
        self.fetch_keys(cx, (None, None), times, direction)
    }

    /// As [`WindowStore::fetch_all`], of the keys between two (both included, `None` is open).
    ///
    /// # Errors
    /// If the store cannot be read or a key cannot be encoded.
    pub fn fetch_keys<'a>(
        &mut self,
        cx: &'a mut impl HasState,
        (first, last): (Option<&K>, Option<&K>),
        times: (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<Entries<'a, Windowed<K>, V>, StateError>
    where
        K: 'static,
        V: 'static,
    {
        let first = first.map(|key| self.encode_key(key)).transpose()?;
        let last = last.map(|key| self.encode_key(key)).transpose()?;
        let keys = (first.as_deref(), last.as_deref());
        let within = |key: &[u8]| keys.0.is_none_or(|first| key >= first) && keys.1.is_none_or(|last| key <= last);
        let overlay = self.overlay(times, direction, within)?;
        let hidden: BTreeSet<Box<[u8]>> = overlay.iter().map(|(key, _)| key.clone()).collect();
        let base = cx.state().stores.window_fetch_keys(self.typed.id(), keys, times, direction)?;
        // Segments come one after the other, so that the cache cannot be merged in by key alone.
        let base = base.filter(move |entry| entry.as_ref().map_or(true, |(key, _)| !hidden.contains(key)));
        let held = overlay.into_iter().filter_map(|(key, value)| Some(Ok((key, value?))));
        Ok(self.entries(held.chain(base)))
    }

    /// The values of all keys in windows that start between two times (both included), expired ones that are held
    /// included, those held back in the cache too: by time, then by key; with `after`, only what comes after this window.
    /// Only in a store that is laid out by time.
    ///
    /// # Errors
    /// If the store cannot be read, or is laid out by key.
    pub fn fetch_held<'a>(
        &mut self,
        cx: &'a mut impl HasState,
        times: (Timestamp, Timestamp),
        after: Option<&Windowed<K>>,
    ) -> Result<Entries<'a, Windowed<K>, V>, StateError>
    where
        K: 'static,
        V: 'static,
    {
        let after =
            after.map(|after| Ok::<_, StateError>(window_key(&self.encode_key(&after.key)?, after.window.start, 0)));
        let after = after.transpose()?;
        let by_time = |key: &[u8]| time_first_window_key(key).map(Vec::into_boxed_slice);
        let overlay = self.overlay(times, Direction::Forward, |_| true)?;
        let mut overlay: Vec<Written> =
            overlay.into_iter().filter_map(|(key, value)| Some((by_time(&key)?, value))).collect();
        if let Some(after) = after.as_deref().and_then(by_time) {
            overlay.retain(|(key, _)| *key > after);
        }
        overlay.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let base = cx.state().stores.fetch_held(self.typed.id(), times, after.as_deref())?;
        let base = base.filter_map(move |entry| match entry {
            Ok((key, value)) => by_time(&key).map(|key| Ok((key, value))),
            Err(error) => Some(Err(error)),
        });
        let merged = Merge::new(overlay.into_iter(), base, Direction::Forward);
        Ok(self.entries(merged.filter_map(|entry| match entry {
            Ok((key, value)) => from_time_first_window_key(&key).map(|key| Ok((key.into_boxed_slice(), value))),
            Err(error) => Some(Err(error)),
        })))
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

    fn entries<'a>(&self, entries: impl Iterator<Item = Result<Entry, StateError>> + 'a) -> Entries<'a, Windowed<K>, V>
    where
        K: 'static,
        V: 'static,
    {
        let (keys, values, size) = (self.key.clone(), self.typed.decoder(), self.size);
        Box::new(entries.map(move |entry| {
            let (key, value) = entry?;
            let raw = split_window_key(&key).ok_or(StateError::Unusable)?;
            let key = keys.decode(Some(raw.key)).map_err(|source| values.serde_error("key", source))?;
            Ok((Windowed { key, window: window(raw.start, size) }, values.decode(&value)?))
        }))
    }

    fn encode_key(&self, key: &K) -> Result<Vec<u8>, StateError> {
        let mut bytes = Vec::new();
        if self.key.is_null(key) {
            return Err(self.typed.serde_error("key", SerdeError::new("a key", "found null")));
        }
        let encoded = self.key.encode(key, &mut bytes);
        encoded.map_err(|source| self.typed.serde_error("key", source))?;
        Ok(bytes)
    }

    fn decode_key(&self, bytes: &[u8]) -> Result<K, StateError> {
        self.key.decode(Some(bytes)).map_err(|source| self.typed.serde_error("key", source))
    }

    fn window(&self, start: Timestamp) -> Window {
        window(start, self.size)
    }

    fn begin(&mut self, key: &K, start: Timestamp, sequence: u32) -> Result<(), StateError> {
        self.typed.begin();
        let encoded = self.key.encode(key, &mut self.typed.key);
        encoded.map_err(|source| self.typed.serde_error("key", source))?;
        push_window_suffix(&mut self.typed.key, start, sequence);
        Ok(())
    }
}

fn window(start: Timestamp, size: i64) -> Window {
    Window { start, end: Timestamp::from_millis(start.millis().saturating_add(size)) }
}
