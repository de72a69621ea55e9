//! Typed looks into the stores of a topology under test.

use std::cell::RefCell;
use std::ops::Bound;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::changelog::split_headers;
use millstream_state::engine::{Direction, Entry};
use millstream_state::error::{SerdeError, StateError};
use millstream_state::key_order;
use millstream_state::model::{Timestamp, Window, Windowed};
use millstream_state::serdes::SerdeRef;
use millstream_state::store::{Stamped, StoreId, StoreKind, TaskStores, WindowShape};

use super::TestError;
use super::core::Core;

/// A window with its key, and the value with its time.
pub type WindowEntry<K, V> = (Windowed<K>, Stamped<V>);

/// What both kinds of stores need: where the bytes are, and how to read them.
struct Handle<K, V> {
    core: Rc<RefCell<Core>>,
    store: Arc<str>,
    key: SerdeRef<K>,
    value: SerdeRef<V>,
    timestamped: bool,
    headers: bool,
    partition: i32,
}

impl<K, V> Handle<K, V> {
    /// Reads the bytes of the store; they hold everything, because a commit follows every record.
    fn with<T>(&self, read: impl FnOnce(&mut TaskStores, StoreId) -> Result<T, StateError>) -> Result<T, TestError> {
        self.core.borrow_mut().with_store((&self.store, self.partition), "open", read)
    }

    fn encode_key(&self, key: &K) -> Result<Vec<u8>, StateError> {
        let mut bytes = Vec::new();
        self.key.encode(key, &mut bytes).map_err(|source| self.serde_error("key", source))?;
        Ok(bytes)
    }

    fn decode_key(&self, bytes: &[u8]) -> Result<K, StateError> {
        self.key.decode(Some(bytes)).map_err(|source| self.serde_error("key", source))
    }

    fn decode_value(&self, bytes: &[u8]) -> Result<Stamped<V>, StateError> {
        let bytes = match split_headers(bytes) {
            Some((_, rest)) if self.headers => rest,
            _ => bytes,
        };
        let (timestamp, value) = if self.timestamped {
            let (time, value) = bytes.split_first_chunk::<8>().ok_or_else(|| self.too_short(bytes))?;
            (Timestamp::from_millis(i64::from_be_bytes(*time)), value)
        } else {
            (Timestamp::UNKNOWN, bytes)
        };
        let value = self.value.decode(Some(value)).map_err(|source| self.serde_error("value", source))?;
        Ok(Stamped::new(value, timestamp))
    }

    fn serde_error(&self, what: &'static str, source: SerdeError) -> StateError {
        StateError::Serde { store: self.store.to_string(), what, source }
    }

    fn too_short(&self, bytes: &[u8]) -> StateError {
        StateError::Format { store: self.store.to_string(), reason: format!("{} bytes are too few", bytes.len()) }
    }
}

/// A key-value store of the topology, to be looked into.
pub struct TestKeyValueStore<K, V>(Handle<K, V>);

impl<K, V> TestKeyValueStore<K, V> {
    pub(super) fn new(
        core: Rc<RefCell<Core>>,
        store: &str,
        key: SerdeRef<K>,
        value: SerdeRef<V>,
    ) -> Result<Self, TestError> {
        let headers = core.borrow().has_headers(store);
        let timestamped = match core.borrow().store_kind(store, "key-value")? {
            StoreKind::KeyValue => false,
            StoreKind::TimestampedKeyValue => true,
            _ => return Err(core.borrow().unknown_store(store, "key-value")),
        };
        Ok(Self(Handle { core, store: store.into(), key, value, timestamped, headers, partition: 0 }))
    }

    /// The part of the store that the task of this partition has; by default that of partition 0.
    #[must_use]
    pub fn in_partition(mut self, partition: i32) -> Self {
        self.0.partition = partition;
        self
    }

    /// The value of a key.
    ///
    /// # Errors
    /// If the bytes in the store are not of the handle's types.
    pub fn get(&self, key: &K) -> Result<Option<V>, TestError> {
        Ok(self.get_stamped(key)?.map(|stamped| stamped.value))
    }

    /// The value of a key and its time ([`Timestamp::UNKNOWN`] in a plain store).
    ///
    /// # Errors
    /// If the bytes in the store are not of the handle's types.
    pub fn get_stamped(&self, key: &K) -> Result<Option<Stamped<V>>, TestError> {
        self.0.with(|stores, id| {
            let mut bytes = Vec::new();
            let found = stores.get(id, &self.0.encode_key(key)?, &mut bytes)?;
            found.then(|| self.0.decode_value(&bytes)).transpose()
        })
    }

    /// All entries in the order of the keys' bytes.
    ///
    /// # Errors
    /// If the bytes in the store are not of the handle's types.
    pub fn all(&self) -> Result<Vec<(K, V)>, TestError> {
        self.range(None, None)
    }

    /// As [`TestKeyValueStore::all`], from the largest key down.
    ///
    /// # Errors
    /// If the bytes in the store are not of the handle's types.
    pub fn reverse_all(&self) -> Result<Vec<(K, V)>, TestError> {
        self.reverse_range(None, None)
    }

    /// The entries of the keys between two (both included, `None` is open), in the order of the keys' bytes.
    ///
    /// # Errors
    /// If the bytes in the store are not of the handle's types.
    pub fn range(&self, from: Option<&K>, to: Option<&K>) -> Result<Vec<(K, V)>, TestError> {
        self.scan(from, to, Direction::Forward)
    }

    /// As [`TestKeyValueStore::range`], from the largest key down.
    ///
    /// # Errors
    /// If the bytes in the store are not of the handle's types.
    pub fn reverse_range(&self, from: Option<&K>, to: Option<&K>) -> Result<Vec<(K, V)>, TestError> {
        self.scan(from, to, Direction::Backward)
    }

    /// The entries whose keys' bytes begin with `prefix`, in the order of the keys' bytes.
    ///
    /// # Errors
    /// If the bytes in the store are not of the handle's types.
    pub fn prefix_scan(&self, prefix: &[u8]) -> Result<Vec<(K, V)>, TestError> {
        self.0.with(|stores, id| self.decode(stores.scan_prefix(id, prefix, Direction::Forward)?))
    }

    fn scan(&self, from: Option<&K>, to: Option<&K>, direction: Direction) -> Result<Vec<(K, V)>, TestError> {
        self.0.with(|stores, id| {
            let encode = |key: Option<&K>| key.map(|key| self.0.encode_key(key)).transpose();
            let (from, to) = (encode(from)?, encode(to)?);
            let bound = |key: &'_ Option<Vec<u8>>| key.clone().map_or(Bound::Unbounded, Bound::Included);
            let (from, to) = (bound(&from), bound(&to));
            let range = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
            self.decode(stores.scan(id, range, direction)?)
        })
    }

    fn decode(&self, entries: impl Iterator<Item = Result<Entry, StateError>>) -> Result<Vec<(K, V)>, StateError> {
        let decode = |(key, value): Entry| Ok((self.0.decode_key(&key)?, self.0.decode_value(&value)?.value));
        entries.map(|entry| entry.and_then(decode)).collect()
    }
}

/// A window store of the topology, to be looked into.
pub struct TestWindowStore<K, V> {
    handle: Handle<K, V>,
    shape: WindowShape,
}

impl<K, V> TestWindowStore<K, V> {
    pub(super) fn new(
        core: Rc<RefCell<Core>>,
        store: &str,
        key: SerdeRef<K>,
        value: SerdeRef<V>,
    ) -> Result<Self, TestError> {
        let headers = core.borrow().has_headers(store);
        let (shape, timestamped) = match core.borrow().store_kind(store, "window")? {
            StoreKind::Window(shape) => (shape, false),
            StoreKind::TimestampedWindow(shape) => (shape, true),
            _ => return Err(core.borrow().unknown_store(store, "window")),
        };
        Ok(Self { handle: Handle { core, store: store.into(), key, value, timestamped, headers, partition: 0 }, shape })
    }

    /// The part of the store that the task of this partition has; by default that of partition 0.
    #[must_use]
    pub fn in_partition(mut self, partition: i32) -> Self {
        self.handle.partition = partition;
        self
    }

    /// The value of a key in the window that starts at `start`.
    ///
    /// # Errors
    /// If the bytes in the store are not of the handle's types.
    pub fn get(&self, key: &K, start: Timestamp) -> Result<Option<V>, TestError> {
        self.handle.with(|stores, id| {
            let mut bytes = Vec::new();
            let key = key_order::window_key(&self.handle.encode_key(key)?, start, 0);
            let found = stores.window_get(id, &key, &mut bytes)?;
            found.then(|| Ok(self.handle.decode_value(&bytes)?.value)).transpose()
        })
    }

    /// The windows of a key that start between two times (both included), in the order of time.
    ///
    /// # Errors
    /// If the bytes in the store are not of the handle's types.
    pub fn fetch(&self, key: &K, from: Timestamp, to: Timestamp) -> Result<Vec<WindowEntry<K, V>>, TestError> {
        self.scan_key(key, (from, to), Direction::Forward)
    }

    /// As [`TestWindowStore::fetch`], from the last window back.
    ///
    /// # Errors
    /// If the bytes in the store are not of the handle's types.
    pub fn backward_fetch(&self, key: &K, from: Timestamp, to: Timestamp) -> Result<Vec<WindowEntry<K, V>>, TestError> {
        self.scan_key(key, (from, to), Direction::Backward)
    }

    fn scan_key(
        &self,
        key: &K,
        times: (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<Vec<WindowEntry<K, V>>, TestError> {
        self.handle.with(|stores, id| {
            let key = self.handle.encode_key(key)?;
            self.decode(stores.window_fetch(id, &key, times, direction)?)
        })
    }

    /// The windows of the keys between two (both included, `None` is open) that start between two times (both
    /// included), by segment and then by key.
    ///
    /// # Errors
    /// If the bytes in the store are not of the handle's types.
    pub fn fetch_keys(
        &self,
        keys: (Option<&K>, Option<&K>),
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<WindowEntry<K, V>>, TestError> {
        self.scan_keys(keys, (from, to), Direction::Forward)
    }

    /// As [`TestWindowStore::fetch_keys`], the other way round.
    ///
    /// # Errors
    /// If the bytes in the store are not of the handle's types.
    pub fn backward_fetch_keys(
        &self,
        keys: (Option<&K>, Option<&K>),
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<WindowEntry<K, V>>, TestError> {
        self.scan_keys(keys, (from, to), Direction::Backward)
    }

    fn scan_keys(
        &self,
        keys: (Option<&K>, Option<&K>),
        times: (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<Vec<WindowEntry<K, V>>, TestError> {
        self.handle.with(|stores, id| {
            let first = keys.0.map(|key| self.handle.encode_key(key)).transpose()?;
            let last = keys.1.map(|key| self.handle.encode_key(key)).transpose()?;
            let keys = (first.as_deref(), last.as_deref());
            self.decode(stores.window_fetch_keys(id, keys, times, direction)?)
        })
    }

    /// All windows that have not expired, by segment and then by key.
    ///
    /// # Errors
    /// If the bytes in the store are not of the handle's types.
    pub fn all(&self) -> Result<Vec<WindowEntry<K, V>>, TestError> {
        self.fetch_keys((None, None), Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX))
    }

    /// As [`TestWindowStore::all`], the other way round.
    ///
    /// # Errors
    /// If the bytes in the store are not of the handle's types.
    pub fn backward_all(&self) -> Result<Vec<WindowEntry<K, V>>, TestError> {
        self.backward_fetch_keys((None, None), Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX))
    }

    fn decode(
        &self,
        entries: impl Iterator<Item = Result<Entry, StateError>>,
    ) -> Result<Vec<WindowEntry<K, V>>, StateError> {
        let decode = |(key, value): Entry| {
            // A window store's key ends in the start (8 bytes) and a sequence number (4 bytes).
            let (rest, _) = key.split_last_chunk::<4>().ok_or_else(|| self.handle.too_short(&key))?;
            let (bytes, start) = rest.split_last_chunk::<8>().ok_or_else(|| self.handle.too_short(&key))?;
            let start = i64::from_be_bytes(*start);
            let end = Timestamp::from_millis(start.saturating_add(self.shape.size));
            let window = Window { start: Timestamp::from_millis(start), end };
            Ok((Windowed { key: self.handle.decode_key(bytes)?, window }, self.handle.decode_value(&value)?))
        };
        entries.map(|entry| entry.and_then(decode)).collect()
    }
}
