//! Typed versioned stores: the values of a key by the time from which they were valid.

use super::typed::Typed;
use super::{CacheBudget, Placed, StoreId, StoreSpec};
use crate::context::HasState;
use crate::error::StateError;
use crate::model::Timestamp;
use crate::serdes::SerdeRef;

/// A value and when it was valid (Kafka Streams' `VersionedRecord`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version<V> {
    /// The value.
    pub value: V,
    /// The time it is valid from.
    pub valid_from: Timestamp,
    /// The time it is valid until, exclusive; `None` while there is no later one.
    pub valid_to: Option<Timestamp>,
}

/// A versioned store of one task (Kafka Streams' `VersionedKeyValueStore`). It has no record cache. The highest time put
/// so far less the history retention bounds what can be put and looked up; the latest value of a key stays for ever.
///
/// ```
/// # use millstream_state::{context::StateContext, engine::MemoryEngine, model::Timestamp, serdes::DefaultSerde, store::*};
/// let spec = StoreSpec {
///     name: "prices".into(),
///     kind: StoreKind::VersionedKeyValue(VersionedShape::new(60_000)),
///     persistence: Persistence::InMemory,
///     changelog: Changelog::Topic(Default::default()),
///     cached: false,
///     headers: false,
/// };
/// let stores = TaskStores::open(std::slice::from_ref(&spec), Box::new(MemoryEngine::new()))?;
/// let mut cx = StateContext::new(stores);
/// let mut prices = VersionedStore::new(StoreId(0), &spec, String::serde(), i64::serde());
/// let (tea, at) = ("tea".to_owned(), Timestamp::from_millis);
/// assert_eq!(prices.put(&mut cx, &tea, Some(300), at(2_000))?, Placed::Latest);
/// assert_eq!(prices.put(&mut cx, &tea, Some(250), at(1_000))?, Placed::Until(at(2_000)));
/// assert_eq!(prices.get_as_of(&mut cx, &tea, at(1_500))?.map(|price| price.value), Some(250));
/// assert_eq!(prices.get(&mut cx, &tea)?.map(|price| price.value), Some(300));
/// # Ok::<(), millstream_state::error::StateError>(())
/// ```
pub struct VersionedStore<K, V> {
    typed: Typed<V>,
    key: SerdeRef<K>,
    value: SerdeRef<V>,
    id: StoreId,
}

impl<K, V> VersionedStore<K, V> {
    /// The store `id` of a task, which is the one that `spec` describes (its kind must be versioned).
    pub fn new(id: StoreId, spec: &StoreSpec, key: SerdeRef<K>, value: SerdeRef<V>) -> Self {
        Self { typed: Typed::new(id, spec, value.clone(), &CacheBudget::new(0)), key, value, id }
    }

    /// Sets the value of a key from a time on, or with `None` deletes it from that time on; answers until when that is so.
    ///
    /// # Errors
    /// If key or value cannot be encoded, or the store cannot be read or written.
    pub fn put(
        &mut self,
        cx: &mut impl HasState,
        key: &K,
        value: Option<V>,
        time: Timestamp,
    ) -> Result<Placed, StateError> {
        self.begin(key)?;
        self.typed.put_version(cx.state(), value, time)
    }

    /// Deletes a key from a time on, and answers what was valid at that time. Nothing happens, and there is no answer, if
    /// the time is before the history; the delete is logged all the same.
    ///
    /// # Errors
    /// As [`VersionedStore::put`].
    pub fn delete(
        &mut self,
        cx: &mut impl HasState,
        key: &K,
        time: Timestamp,
    ) -> Result<Option<Version<V>>, StateError> {
        self.begin(key)?;
        let state = cx.state();
        let before = state.stores.versioned_get_as_of(self.id, &self.typed.key, time)?;
        let placed = self.typed.put_version(state, None, time)?;
        if placed == Placed::TooOld { Ok(None) } else { self.decode(before) }
    }

    /// The latest value of a key.
    ///
    /// # Errors
    /// If the store cannot be read, or the bytes are not of these types.
    pub fn get(&mut self, cx: &mut impl HasState, key: &K) -> Result<Option<Version<V>>, StateError> {
        self.begin(key)?;
        let found = cx.state().stores.versioned_get(self.id, &self.typed.key)?;
        self.decode(found)
    }

    /// The value of a key that was valid at a time.
    ///
    /// # Errors
    /// As [`VersionedStore::get`].
    pub fn get_as_of(
        &mut self,
        cx: &mut impl HasState,
        key: &K,
        as_of: Timestamp,
    ) -> Result<Option<Version<V>>, StateError> {
        self.begin(key)?;
        let found = cx.state().stores.versioned_get_as_of(self.id, &self.typed.key, as_of)?;
        self.decode(found)
    }

    fn decode(&self, found: Option<Version<Vec<u8>>>) -> Result<Option<Version<V>>, StateError> {
        let Some(Version { value, valid_from, valid_to }) = found else { return Ok(None) };
        let value = self.value.decode(Some(&value)).map_err(|source| self.typed.serde_error("value", source))?;
        Ok(Some(Version { value, valid_from, valid_to }))
    }

    fn begin(&mut self, key: &K) -> Result<(), StateError> {
        self.typed.begin();
        let encoded = self.key.encode(key, &mut self.typed.key);
        encoded.map_err(|source| self.typed.serde_error("key", source))
    }
}
