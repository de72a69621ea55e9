//! Typed session stores: a value per key and session, with the record cache in front. The flow is that of
//! [`KeyValue`](super::KeyValue).

use std::collections::BTreeSet;

use super::key_value::Entries;
use super::typed::{Typed, Update};
use super::{CacheBudget, Flushed, Stamped, StoreId, StoreSpec};
use crate::context::HasState;
use crate::engine::{Direction, Entry};
use crate::error::StateError;
use crate::key_order::{push_session_suffix, session_key, split_session_key};
use crate::merge::Merge;
use crate::model::{Timestamp, Window, Windowed};
use crate::serdes::SerdeRef;

/// A session store of one task. Values have no timestamp of their own: a session is as old as its end.
pub struct SessionStore<K, V> {
    typed: Typed<V>,
    key: SerdeRef<K>,
    /// A key that came back, whose memory the next one uses.
    spare: Option<K>,
}

impl<K, V> SessionStore<K, V> {
    /// The store `id` of a task, which is the one that `spec` describes (its kind must be one of sessions).
    pub fn new(id: StoreId, spec: &StoreSpec, key: SerdeRef<K>, value: SerdeRef<V>, budget: &CacheBudget) -> Self {
        let mut typed = Typed::new(id, spec, value, budget);
        // Each record looks for the sessions around it.
        typed.sort_cache();
        Self { typed, key, spare: None }
    }

    /// Whether updates are held back in the record cache.
    pub fn is_cached(&self) -> bool {
        self.typed.is_cached()
    }

    /// The value of a session.
    ///
    /// # Errors
    /// If the store cannot be read or the bytes are not of these types.
    pub fn read(
        &mut self,
        cx: &mut impl HasState,
        key: &K,
        session: Window,
    ) -> Result<Option<Stamped<&V>>, StateError> {
        self.begin(key, session)?;
        self.typed.read(cx.state())
    }

    /// As [`SessionStore::read`], without an update that waits to be handed out.
    ///
    /// # Errors
    /// As [`SessionStore::read`].
    pub fn read_handed_on(
        &mut self,
        cx: &mut impl HasState,
        key: &K,
        session: Window,
    ) -> Result<Option<Stamped<&V>>, StateError> {
        self.begin(key, session)?;
        self.typed.read_handed_on(cx.state())
    }

    /// Sets or deletes a session, as [`KeyValue::update`](super::KeyValue::update).
    ///
    /// # Errors
    /// If key or value cannot be encoded or written.
    pub fn update(
        &mut self,
        cx: &mut impl HasState,
        key: &K,
        session: Window,
        new: Option<V>,
    ) -> Result<(), StateError> {
        self.begin(key, session)?;
        self.typed.update(cx.state(), new, session.end)
    }

    /// Sets or deletes a session, with nobody below to tell. One that has expired is left as it is.
    ///
    /// # Errors
    /// If key or value cannot be encoded or written.
    pub fn put(&mut self, cx: &mut impl HasState, key: &K, session: Window, new: Option<V>) -> Result<(), StateError> {
        self.begin(key, session)?;
        self.typed.put(cx.state(), new.map(|new| Stamped::new(new, session.end)))
    }

    /// As [`KeyValue::must_flush`](super::KeyValue::must_flush).
    pub fn must_flush(&mut self) -> bool {
        self.typed.must_flush()
    }

    /// As [`KeyValue::take_dirty`](super::KeyValue::take_dirty); the update's time is the session's end.
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
        let (bytes, window) = split_session_key(&self.typed.key).ok_or(StateError::Unusable)?;
        let decoded = self.key.decode_into(Some(bytes), &mut key);
        decoded.map_err(|source| self.typed.serde_error("key", source))?;
        let key = match key {
            Some(key) => key,
            None => self.decode_key(bytes)?,
        };
        let Update { new, old, record, lent, .. } = update;
        Ok(Some(Flushed { key: Windowed { key, window }, new, old, timestamp: window.end, record, latest: true, lent }))
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

    /// The sessions of one key that end at `earliest_end` or later and start at `latest_start` or earlier, in the
    /// order of their ends, those held back in the cache included.
    ///
    /// # Errors
    /// If the store cannot be read or the key cannot be encoded.
    pub fn find<'a>(
        &mut self,
        cx: &'a mut impl HasState,
        key: &K,
        (earliest_end, latest_start): (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<Entries<'a, Windowed<K>, V>, StateError>
    where
        K: 'static,
        V: 'static,
    {
        let bytes = self.encode_key(key)?;
        let bound = |start, end| session_key(&bytes, Window { start, end });
        let (zero, last) = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));
        let (first, last) = (bound(zero, earliest_end.max(zero)), bound(last, last));
        let mut overlay = self.typed.overlay_between(cx.state(), &first, &last, |found| {
            split_session_key(found).is_some_and(|(key, session)| {
                key == bytes && session.end >= earliest_end && session.start <= latest_start
            })
        })?;
        if direction == Direction::Backward {
            overlay.reverse();
        }
        let times = (earliest_end, latest_start);
        let base = cx.state().stores.session_find(self.typed.id(), &bytes, times, direction)?;
        Ok(self.entries(Merge::new(overlay.into_iter(), base, direction)))
    }

    /// As [`SessionStore::find`], of the keys between two (both included, `None` is open). What is held back in the cache
    /// comes first, in the order of keys; then the store's by segment and key.
    ///
    /// # Errors
    /// If the store cannot be read or a key cannot be encoded.
    pub fn find_keys<'a>(
        &mut self,
        cx: &'a mut impl HasState,
        (first, last): (Option<&K>, Option<&K>),
        (earliest_end, latest_start): (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<Entries<'a, Windowed<K>, V>, StateError>
    where
        K: 'static,
        V: 'static,
    {
        let encode = |key: &K| {
            let mut bytes = Vec::new();
            let encoded = self.key.encode(key, &mut bytes);
            encoded.map(|()| bytes).map_err(|source| self.typed.serde_error("key", source))
        };
        let (first, last) = (first.map(encode).transpose()?, last.map(encode).transpose()?);
        let keys = (first.as_deref(), last.as_deref());
        let within = |key: &[u8]| keys.0.is_none_or(|first| key >= first) && keys.1.is_none_or(|last| key <= last);
        let mut overlay = self.typed.overlay(|found| {
            split_session_key(found).is_some_and(|(key, session)| {
                within(key) && session.end >= earliest_end && session.start <= latest_start
            })
        })?;
        if direction == Direction::Backward {
            overlay.reverse();
        }
        let hidden: BTreeSet<Box<[u8]>> = overlay.iter().map(|(key, _)| key.clone()).collect();
        let times = (earliest_end, latest_start);
        let base = cx.state().stores.session_find_keys(self.typed.id(), keys, times, direction)?;
        let base = base.filter(move |entry| entry.as_ref().map_or(true, |(key, _)| !hidden.contains(key)));
        let held = overlay.into_iter().filter_map(|(key, value)| Some(Ok((key, value?))));
        Ok(self.entries(held.chain(base)))
    }

    /// All sessions that end between two times (both included), expired ones that are held included: by end, then by
    /// start, then by key; with `after`, only what comes after this session. Only in a store that is laid out by time,
    /// which has no cache.
    ///
    /// # Errors
    /// If the store cannot be read, or is laid out by key.
    pub fn fetch_held<'a>(
        &mut self,
        cx: &'a mut impl HasState,
        ends: (Timestamp, Timestamp),
        after: Option<&Windowed<K>>,
    ) -> Result<Entries<'a, Windowed<K>, V>, StateError>
    where
        K: 'static,
        V: 'static,
    {
        let after = after.map(|after| Ok::<_, StateError>(session_key(&self.encode_key(&after.key)?, after.window)));
        let after = after.transpose()?;
        let found = cx.state().stores.fetch_held(self.typed.id(), ends, after.as_deref())?;
        Ok(self.entries(found))
    }

    fn entries<'a>(&self, entries: impl Iterator<Item = Result<Entry, StateError>> + 'a) -> Entries<'a, Windowed<K>, V>
    where
        K: 'static,
        V: 'static,
    {
        let (keys, values) = (self.key.clone(), self.typed.decoder());
        Box::new(entries.map(move |entry| {
            let (bytes, value) = entry?;
            let (key, window) = split_session_key(&bytes).ok_or(StateError::Unusable)?;
            let key = keys.decode(Some(key)).map_err(|source| values.serde_error("key", source))?;
            let value = Stamped { timestamp: window.end, ..values.decode(&value)? };
            Ok((Windowed { key, window }, value))
        }))
    }

    fn encode_key(&self, key: &K) -> Result<Vec<u8>, StateError> {
        let mut bytes = Vec::new();
        let encoded = self.key.encode(key, &mut bytes);
        encoded.map_err(|source| self.typed.serde_error("key", source))?;
        Ok(bytes)
    }

    fn decode_key(&self, bytes: &[u8]) -> Result<K, StateError> {
        self.key.decode(Some(bytes)).map_err(|source| self.typed.serde_error("key", source))
    }

    fn begin(&mut self, key: &K, session: Window) -> Result<(), StateError> {
        self.typed.begin();
        let encoded = self.key.encode(key, &mut self.typed.key);
        encoded.map_err(|source| self.typed.serde_error("key", source))?;
        push_session_suffix(&mut self.typed.key, session);
        Ok(())
    }
}
