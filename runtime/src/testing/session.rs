//! Typed looks into the session stores of a topology under test.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::engine::{Direction, Entry};
use millstream_state::error::{SerdeError, StateError};
use millstream_state::key_order::{session_key, split_session_key};
use millstream_state::model::{Timestamp, Window, Windowed};
use millstream_state::serdes::SerdeRef;
use millstream_state::store::{StoreId, StoreKind, TaskStores};

use super::TestError;
use super::core::Core;

/// A session store of the topology, to be looked into.
pub struct TestSessionStore<K, V> {
    core: Rc<RefCell<Core>>,
    store: Arc<str>,
    key: SerdeRef<K>,
    value: SerdeRef<V>,
    partition: i32,
}

/// Start and end of the sessions looked for.
type Times = (Timestamp, Timestamp);

impl<K, V> TestSessionStore<K, V> {
    pub(super) fn new(
        core: Rc<RefCell<Core>>,
        store: &str,
        key: SerdeRef<K>,
        value: SerdeRef<V>,
    ) -> Result<Self, TestError> {
        let kind = core.borrow().store_kind(store, "session")?;
        if !matches!(kind, StoreKind::Session(_)) {
            return Err(core.borrow().unknown_store(store, "session"));
        }
        Ok(Self { core, store: store.into(), key, value, partition: 0 })
    }

    /// The part of the store that the task of this partition has; by default that of partition 0.
    #[must_use]
    pub fn in_partition(mut self, partition: i32) -> Self {
        self.partition = partition;
        self
    }

    /// The value of one session.
    ///
    /// # Errors
    /// If the bytes in the store are not of the handle's types.
    pub fn get(&self, key: &K, session: Window) -> Result<Option<V>, TestError> {
        self.with(|stores, id| {
            let key = self.encode(key)?;
            let wanted = session_key(&key, session);
            let mut found = stores.session_find(id, &key, (session.end, session.start), Direction::Forward)?;
            let entry = found.find(|entry| entry.as_ref().map_or(true, |(key, _)| **key == *wanted)).transpose()?;
            entry.map(|(_, value)| self.decode_value(&value)).transpose()
        })
    }

    /// The sessions of a key that end at `earliest_end` or later and start at `latest_start` or earlier, in the order of
    /// their ends or back.
    ///
    /// # Errors
    /// If the bytes in the store are not of the handle's types.
    pub fn find(
        &self,
        key: &K,
        (earliest_end, latest_start): Times,
        direction: Direction,
    ) -> Result<Vec<(Windowed<K>, V)>, TestError> {
        self.with(|stores, id| {
            let key = self.encode(key)?;
            self.decode(stores.session_find(id, &key, (earliest_end, latest_start), direction)?)
        })
    }

    /// As [`TestSessionStore::find`], of the keys between two (both included, `None` is open), by segment and then by key.
    ///
    /// # Errors
    /// If the bytes in the store are not of the handle's types.
    pub fn find_keys(
        &self,
        keys: (Option<&K>, Option<&K>),
        (earliest_end, latest_start): Times,
        direction: Direction,
    ) -> Result<Vec<(Windowed<K>, V)>, TestError> {
        self.with(|stores, id| {
            let first = keys.0.map(|key| self.encode(key)).transpose()?;
            let last = keys.1.map(|key| self.encode(key)).transpose()?;
            let keys = (first.as_deref(), last.as_deref());
            self.decode(stores.session_find_keys(id, keys, (earliest_end, latest_start), direction)?)
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut TaskStores, StoreId) -> Result<T, StateError>) -> Result<T, TestError> {
        self.core.borrow_mut().with_store((&self.store, self.partition), "session", look)
    }

    fn decode(
        &self,
        entries: impl Iterator<Item = Result<Entry, StateError>>,
    ) -> Result<Vec<(Windowed<K>, V)>, StateError> {
        let decode = |(bytes, value): Entry| {
            let (key, window) = split_session_key(&bytes).ok_or(StateError::Unusable)?;
            let key = self.key.decode(Some(key)).map_err(|source| self.serde_error("key", source))?;
            Ok((Windowed { key, window }, self.decode_value(&value)?))
        };
        entries.map(|entry| entry.and_then(decode)).collect()
    }

    fn encode(&self, key: &K) -> Result<Vec<u8>, StateError> {
        let mut bytes = Vec::new();
        self.key.encode(key, &mut bytes).map_err(|source| self.serde_error("key", source))?;
        Ok(bytes)
    }

    fn decode_value(&self, bytes: &[u8]) -> Result<V, StateError> {
        self.value.decode(Some(bytes)).map_err(|source| self.serde_error("value", source))
    }

    fn serde_error(&self, what: &'static str, source: SerdeError) -> StateError {
        StateError::Serde { store: self.store.to_string(), what, source }
    }
}
