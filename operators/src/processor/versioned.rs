//! Versioned stores as processors see them.

use std::cell::RefCell;
use std::rc::Rc;

use millstream_state::error::StateError;
use millstream_state::model::Timestamp;
use millstream_state::serdes::SerdeRef;
use millstream_state::store::{Placed, Version, VersionedStore};

use super::context::StoreScope;
use super::handle::{Opener, StoreType};

/// A versioned key-value store (Kafka Streams' `VersionedKeyValueStore`), as
/// [`Stores::versioned`](super::Stores::versioned) describes it: the values of a key by the time from which they were
/// valid. It has no record cache.
pub struct VersionedKeyValueStore<K, V>(Rc<RefCell<VersionedStore<K, V>>>);

impl<K, V> Clone for VersionedKeyValueStore<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: 'static, V: 'static> StoreType for VersionedKeyValueStore<K, V> {
    type Serdes = (SerdeRef<K>, SerdeRef<V>);

    fn open(opener: &mut Opener<'_, '_>, name: &str, (key, value): &Self::Serdes) -> Self {
        let make = |id, spec: &_| RefCell::new(VersionedStore::new(id, spec, key.clone(), value.clone()));
        Self(opener.chain.shared_store(name, |_, id, spec| make(id, spec), |_, _, _| {}))
    }
}

impl<K: 'static, V: 'static> VersionedKeyValueStore<K, V> {
    /// Sets the value of a key from a time on; answers until when that is so, or that it is too old to be kept (`put`).
    ///
    /// # Errors
    /// If key or value has no encoding, or the store cannot be read or written.
    pub fn put(&self, cx: &mut impl StoreScope, key: &K, value: V, time: Timestamp) -> Result<Placed, StateError> {
        self.set(cx, key, Some(value), time)
    }

    /// Sets the value of a key from a time on, or with `None` deletes it from that time on.
    ///
    /// # Errors
    /// As [`VersionedKeyValueStore::put`].
    pub fn set(
        &self,
        cx: &mut impl StoreScope,
        key: &K,
        value: Option<V>,
        time: Timestamp,
    ) -> Result<Placed, StateError> {
        self.0.borrow_mut().put(cx.context(), key, value, time)
    }

    /// Deletes a key from a time on; answers what was valid at that time (`delete`).
    ///
    /// # Errors
    /// As [`VersionedKeyValueStore::put`].
    pub fn delete(&self, cx: &mut impl StoreScope, key: &K, time: Timestamp) -> Result<Option<Version<V>>, StateError> {
        self.0.borrow_mut().delete(cx.context(), key, time)
    }

    /// The latest value of a key (`get`).
    ///
    /// # Errors
    /// If the store cannot be read, or holds something else than `V`.
    pub fn get(&self, cx: &mut impl StoreScope, key: &K) -> Result<Option<Version<V>>, StateError> {
        self.0.borrow_mut().get(cx.context(), key)
    }

    /// The value of a key that was valid at a time (`get` with a time); `None` if that is before the history.
    ///
    /// # Errors
    /// As [`VersionedKeyValueStore::get`].
    pub fn get_as_of(
        &self,
        cx: &mut impl StoreScope,
        key: &K,
        as_of: Timestamp,
    ) -> Result<Option<Version<V>>, StateError> {
        self.0.borrow_mut().get_as_of(cx.context(), key, as_of)
    }
}
