//! Global stores as processors see them: readable everywhere, written by their own processor only.

use std::rc::Rc;

use millstream_state::engine::Direction;
use millstream_state::error::StateError;
use millstream_state::serdes::SerdeRef;
use millstream_state::store::Stamped;

use super::context::StoreScope;
use super::handle::{Opener, StoreType};
use super::key_value::{KeyValueStore, TimestampedKeyValueStore};
use crate::global::GlobalReader;

/// A kind of store that can be global, and what processors read it with.
pub trait GlobalStoreType: StoreType {
    /// What all processors get.
    type Reader: StoreType<Serdes = Self::Serdes>;
}

impl<K: 'static, V: 'static> GlobalStoreType for KeyValueStore<K, V> {
    type Reader = GlobalKeyValueStore<K, V>;
}

impl<K: 'static, V: 'static> GlobalStoreType for TimestampedKeyValueStore<K, V> {
    type Reader = GlobalKeyValueStore<K, V>;
}

/// A global key-value store (Kafka Streams: what `getStateStore` gives for a global store or table). It holds what the
/// instance has read of the topic by now, which is not in step with the records being processed.
pub struct GlobalKeyValueStore<K, V>(Rc<GlobalReader<K, V>>);

impl<K, V> Clone for GlobalKeyValueStore<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: 'static, V: 'static> StoreType for GlobalKeyValueStore<K, V> {
    type Serdes = (SerdeRef<K>, SerdeRef<V>);

    fn open(_opener: &mut Opener<'_, '_>, name: &str, (key, value): &Self::Serdes) -> Self {
        Self(Rc::new(GlobalReader::new(name, key.clone(), value.clone())))
    }
}

impl<K: 'static, V: 'static> GlobalKeyValueStore<K, V> {
    /// The value of a key (`get`).
    ///
    /// # Errors
    /// If the store cannot be read, or holds something else than `V`.
    pub fn get(&self, cx: &mut impl StoreScope, key: &K) -> Result<Option<V>, StateError> {
        Ok(self.get_stamped(cx, key)?.map(|found| found.value))
    }

    /// The value of a key and its time; a store without times gives
    /// [`Timestamp::UNKNOWN`](millstream_state::model::Timestamp::UNKNOWN).
    ///
    /// # Errors
    /// As [`GlobalKeyValueStore::get`].
    pub fn get_stamped(&self, cx: &mut impl StoreScope, key: &K) -> Result<Option<Stamped<V>>, StateError> {
        self.0.get(cx.context(), key)
    }

    /// The entries of a range of keys, both ends included (`None` is open), in the order of the keys' bytes (`range`). They
    /// are collected at once; the store does not change meanwhile.
    ///
    /// # Errors
    /// As [`GlobalKeyValueStore::get`].
    pub fn range(
        &self,
        cx: &mut impl StoreScope,
        from: Option<&K>,
        to: Option<&K>,
    ) -> Result<Vec<(K, Stamped<V>)>, StateError> {
        self.0.range(cx.context(), (from, to), Direction::Forward)
    }

    /// As [`GlobalKeyValueStore::range`], from the largest key down (`reverseRange`).
    ///
    /// # Errors
    /// As [`GlobalKeyValueStore::get`].
    pub fn reverse_range(
        &self,
        cx: &mut impl StoreScope,
        from: Option<&K>,
        to: Option<&K>,
    ) -> Result<Vec<(K, Stamped<V>)>, StateError> {
        self.0.range(cx.context(), (from, to), Direction::Backward)
    }

    /// All entries in the order of the keys' bytes (`all`), collected at once.
    ///
    /// # Errors
    /// As [`GlobalKeyValueStore::get`].
    pub fn all(&self, cx: &mut impl StoreScope) -> Result<Vec<(K, Stamped<V>)>, StateError> {
        self.range(cx, None, None)
    }

    /// About how many entries there are (`approximateNumEntries`).
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn approximate_count(&self, cx: &mut impl StoreScope) -> Result<u64, StateError> {
        self.0.approximate_count(cx.context())
    }
}
