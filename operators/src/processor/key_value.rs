//! Key-value stores as processors see them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::engine::Direction;
use millstream_state::error::StateError;
use millstream_state::model::Timestamp;
use millstream_state::serdes::SerdeRef;
use millstream_state::store::{KeyValue, Stamped};

use super::context::StoreScope;
use super::handle::{Opener, StoreType};
use crate::context::Context;
use crate::error::ProcessError;
use crate::ops::stored;
use crate::push::Flush;

/// The entries of a scan. It reads as it goes and borrows the context: collect what you need before you forward or write.
pub type KeyValueEntries<'a, K, V> = Box<dyn Iterator<Item = Result<(K, V), StateError>> + 'a>;

/// As [`KeyValueEntries`], with times.
pub type TimestampedEntries<'a, K, V> = Box<dyn Iterator<Item = Result<(K, Stamped<V>), StateError>> + 'a>;

type Cell<K, V> = RefCell<KeyValue<K, V>>;

/// A cached store of a processor: nobody is below to be told, so that a commit only writes.
struct WrittenBack<K, V> {
    store: Rc<Cell<K, V>>,
    name: Arc<str>,
}

impl<K, V> Flush for WrittenBack<K, V> {
    fn flush(&mut self, cx: &mut Context) -> Result<(), ProcessError> {
        self.store.borrow_mut().write_back(cx).map_err(stored::failed(&self.name))
    }
}

/// The one store of a task under this name.
fn open<K: 'static, V: 'static>(
    opener: &mut Opener<'_, '_>,
    name: &str,
    (key, value): &(SerdeRef<K>, SerdeRef<V>),
) -> Rc<Cell<K, V>> {
    let alone = opener.alone;
    opener.chain.shared_store(
        name,
        |chain, id, spec| RefCell::new(KeyValue::new(id, spec, key.clone(), value.clone(), chain.cache())),
        |chain, id, store| {
            if alone && store.borrow().is_cached() {
                let flushed = WrittenBack { store: store.clone(), name: Arc::from(name) };
                chain.stateful(id, Rc::new(RefCell::new(flushed)));
            }
        },
    )
}

/// What both kinds of key-value stores can do; the macro writes it out for each.
macro_rules! scans {
    ($entries:ident, $show:expr) => {
        /// The entries of a range of keys, both ends included (`None` is open), in the order of the keys' bytes (Kafka
        /// Streams: `range`).
        ///
        /// # Errors
        /// If the store cannot be read, or a key has no encoding.
        pub fn range<'a>(
            &self,
            cx: &'a mut impl StoreScope,
            from: Option<&K>,
            to: Option<&K>,
        ) -> Result<$entries<'a, K, V>, StateError> {
            let entries = self.0.borrow_mut().range(cx.context(), (from, to), Direction::Forward)?;
            Ok(Box::new(entries.map($show)))
        }

        /// As [`Self::range`], from the largest key down (`reverseRange`).
        ///
        /// # Errors
        /// As [`Self::range`].
        pub fn reverse_range<'a>(
            &self,
            cx: &'a mut impl StoreScope,
            from: Option<&K>,
            to: Option<&K>,
        ) -> Result<$entries<'a, K, V>, StateError> {
            let entries = self.0.borrow_mut().range(cx.context(), (from, to), Direction::Backward)?;
            Ok(Box::new(entries.map($show)))
        }

        /// All entries in the order of the keys' bytes (`all`).
        ///
        /// # Errors
        /// If the store cannot be read.
        pub fn all<'a>(&self, cx: &'a mut impl StoreScope) -> Result<$entries<'a, K, V>, StateError> {
            self.range(cx, None, None)
        }

        /// As [`Self::all`], from the largest key down (`reverseAll`).
        ///
        /// # Errors
        /// If the store cannot be read.
        pub fn reverse_all<'a>(&self, cx: &'a mut impl StoreScope) -> Result<$entries<'a, K, V>, StateError> {
            self.reverse_range(cx, None, None)
        }

        /// The entries whose encoded keys begin with `prefix`, in the order of the keys' bytes (`prefixScan`).
        ///
        /// # Errors
        /// If the store cannot be read.
        pub fn prefix_scan<'a>(
            &self,
            cx: &'a mut impl StoreScope,
            prefix: &[u8],
        ) -> Result<$entries<'a, K, V>, StateError> {
            let entries = self.0.borrow_mut().prefix(cx.context(), prefix, Direction::Forward)?;
            Ok(Box::new(entries.map($show)))
        }

        /// About how many entries there are (`approximateNumEntries`); what the cache holds back is not counted.
        ///
        /// # Errors
        /// If the store cannot be read.
        pub fn approximate_count(&self, cx: &mut impl StoreScope) -> Result<u64, StateError> {
            self.0.borrow().approximate_count(cx.context())
        }
    };
}

/// A key-value store (Kafka Streams' `KeyValueStore`), as [`Stores::key_value`](super::Stores::key_value) describes it.
/// What the value's serde writes as null deletes the key; a null key is an error.
pub struct KeyValueStore<K, V>(Rc<Cell<K, V>>);

impl<K, V> Clone for KeyValueStore<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: 'static, V: 'static> StoreType for KeyValueStore<K, V> {
    type Serdes = (SerdeRef<K>, SerdeRef<V>);

    fn open(opener: &mut Opener<'_, '_>, name: &str, serdes: &Self::Serdes) -> Self {
        Self(open(opener, name, serdes))
    }
}

impl<K: 'static, V: 'static> KeyValueStore<K, V> {
    /// The value of a key (`get`).
    ///
    /// # Errors
    /// If the store cannot be read, or holds something else than `V`.
    pub fn get(&self, cx: &mut impl StoreScope, key: &K) -> Result<Option<V>, StateError>
    where
        V: Clone,
    {
        Ok(self.0.borrow_mut().get(cx.context(), key)?.cloned())
    }

    /// Whether there is a value for a key.
    ///
    /// # Errors
    /// As [`KeyValueStore::get`].
    pub fn contains(&self, cx: &mut impl StoreScope, key: &K) -> Result<bool, StateError> {
        Ok(self.0.borrow_mut().get(cx.context(), key)?.is_some())
    }

    /// Sets the value of a key (`put`).
    ///
    /// # Errors
    /// If key or value has no encoding, or the store cannot be written.
    pub fn put(&self, cx: &mut impl StoreScope, key: &K, value: V) -> Result<(), StateError> {
        self.set(cx, key, Some(value))
    }

    /// Sets the value of a key, or deletes it.
    ///
    /// # Errors
    /// As [`KeyValueStore::put`].
    pub fn set(&self, cx: &mut impl StoreScope, key: &K, value: Option<V>) -> Result<(), StateError> {
        let value = value.map(|value| Stamped::new(value, Timestamp::UNKNOWN));
        self.0.borrow_mut().put(cx.context(), key, value)
    }

    /// Sets the values of several keys, one after the other (`putAll`).
    ///
    /// # Errors
    /// The first error ends it.
    pub fn put_all(
        &self,
        cx: &mut impl StoreScope,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), StateError> {
        entries.into_iter().try_for_each(|(key, value)| self.put(cx, &key, value))
    }

    /// Sets the value of a key that has none; answers the one that it has (`putIfAbsent`).
    ///
    /// # Errors
    /// As [`KeyValueStore::put`].
    pub fn put_if_absent(&self, cx: &mut impl StoreScope, key: &K, value: V) -> Result<Option<V>, StateError>
    where
        V: Clone,
    {
        let value = Stamped::new(value, Timestamp::UNKNOWN);
        let mut store = self.0.borrow_mut();
        Ok(store.put_if_absent(cx.context(), key, value)?.map(|found| found.value.clone()))
    }

    /// Deletes a key; answers the value it had (`delete`).
    ///
    /// # Errors
    /// As [`KeyValueStore::put`].
    pub fn delete(&self, cx: &mut impl StoreScope, key: &K) -> Result<Option<V>, StateError>
    where
        V: Clone,
    {
        let old = self.get(cx, key)?;
        self.set(cx, key, None)?;
        Ok(old)
    }

    scans!(KeyValueEntries, |entry| entry.map(|(key, found)| (key, found.value)));
}

/// A key-value store with a time per value (Kafka Streams' `TimestampedKeyValueStore`), as
/// [`Stores::timestamped_key_value`](super::Stores::timestamped_key_value) describes it. What the value's serde writes as
/// null deletes the key; a null key is an error.
pub struct TimestampedKeyValueStore<K, V>(Rc<Cell<K, V>>);

impl<K, V> Clone for TimestampedKeyValueStore<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: 'static, V: 'static> StoreType for TimestampedKeyValueStore<K, V> {
    type Serdes = (SerdeRef<K>, SerdeRef<V>);

    fn open(opener: &mut Opener<'_, '_>, name: &str, serdes: &Self::Serdes) -> Self {
        Self(open(opener, name, serdes))
    }
}

impl<K: 'static, V: 'static> TimestampedKeyValueStore<K, V> {
    /// The value of a key and its time (`get`).
    ///
    /// # Errors
    /// If the store cannot be read, or holds something else than `V`.
    pub fn get(&self, cx: &mut impl StoreScope, key: &K) -> Result<Option<Stamped<V>>, StateError>
    where
        V: Clone,
    {
        let mut store = self.0.borrow_mut();
        let found = store.read(cx.context(), key)?;
        Ok(found.map(|found| Stamped::new(found.value.clone(), found.timestamp)))
    }

    /// Sets the value of a key and its time (`put`).
    ///
    /// # Errors
    /// If key or value has no encoding, or the store cannot be written.
    pub fn put(&self, cx: &mut impl StoreScope, key: &K, value: V, time: Timestamp) -> Result<(), StateError> {
        self.set(cx, key, Some(Stamped::new(value, time)))
    }

    /// Sets the value of a key and its time, or deletes it.
    ///
    /// # Errors
    /// As [`TimestampedKeyValueStore::put`].
    pub fn set(&self, cx: &mut impl StoreScope, key: &K, value: Option<Stamped<V>>) -> Result<(), StateError> {
        self.0.borrow_mut().put(cx.context(), key, value)
    }

    /// Sets the values of several keys, one after the other (`putAll`).
    ///
    /// # Errors
    /// The first error ends it.
    pub fn put_all(
        &self,
        cx: &mut impl StoreScope,
        entries: impl IntoIterator<Item = (K, Stamped<V>)>,
    ) -> Result<(), StateError> {
        entries.into_iter().try_for_each(|(key, value)| self.set(cx, &key, Some(value)))
    }

    /// Sets the value of a key that has none; answers the one that it has (`putIfAbsent`).
    ///
    /// # Errors
    /// As [`TimestampedKeyValueStore::put`].
    pub fn put_if_absent(
        &self,
        cx: &mut impl StoreScope,
        key: &K,
        value: Stamped<V>,
    ) -> Result<Option<Stamped<V>>, StateError>
    where
        V: Clone,
    {
        let mut store = self.0.borrow_mut();
        let found = store.put_if_absent(cx.context(), key, value)?;
        Ok(found.map(|found| Stamped::new(found.value.clone(), found.timestamp)))
    }

    /// Deletes a key; answers the value it had (`delete`).
    ///
    /// # Errors
    /// As [`TimestampedKeyValueStore::put`].
    pub fn delete(&self, cx: &mut impl StoreScope, key: &K) -> Result<Option<Stamped<V>>, StateError>
    where
        V: Clone,
    {
        let old = self.get(cx, key)?;
        self.set(cx, key, None)?;
        Ok(old)
    }

    scans!(TimestampedEntries, |entry| entry);
}
