//! Typed looks into the versioned stores of a topology under test.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::error::{SerdeError, StateError};
use millstream_state::model::Timestamp;
use millstream_state::serdes::SerdeRef;
use millstream_state::store::{StoreKind, Version};

use super::TestError;
use super::core::Core;

/// A versioned store of the topology, to be looked into.
pub struct TestVersionedStore<K, V> {
    core: Rc<RefCell<Core>>,
    store: Arc<str>,
    key: SerdeRef<K>,
    value: SerdeRef<V>,
    partition: i32,
}

impl<K, V> TestVersionedStore<K, V> {
    pub(super) fn new(
        core: Rc<RefCell<Core>>,
        store: &str,
        key: SerdeRef<K>,
        value: SerdeRef<V>,
    ) -> Result<Self, TestError> {
        if !matches!(core.borrow().store_kind(store, "versioned")?, StoreKind::VersionedKeyValue(_)) {
            return Err(core.borrow().unknown_store(store, "versioned"));
        }
        Ok(Self { core, store: store.into(), key, value, partition: 0 })
    }

    /// The part of the store that the task of this partition has; by default that of partition 0.
    #[must_use]
    pub fn in_partition(mut self, partition: i32) -> Self {
        self.partition = partition;
        self
    }

    /// The latest version of a key.
    ///
    /// # Errors
    /// If the bytes in the store are not of the handle's types.
    pub fn get(&self, key: &K) -> Result<Option<Version<V>>, TestError> {
        self.look(key, None)
    }

    /// The version of a key that was valid at a time.
    ///
    /// # Errors
    /// If the bytes in the store are not of the handle's types.
    pub fn get_as_of(&self, key: &K, as_of: Timestamp) -> Result<Option<Version<V>>, TestError> {
        self.look(key, Some(as_of))
    }

    fn look(&self, key: &K, as_of: Option<Timestamp>) -> Result<Option<Version<V>>, TestError> {
        let mut bytes = Vec::new();
        self.key.encode(key, &mut bytes).map_err(|source| self.serde_error("key", source))?;
        let found =
            self.core.borrow_mut().with_store(
                (&self.store, self.partition),
                "versioned",
                |stores, id| match as_of {
                    Some(as_of) => stores.versioned_get_as_of(id, &bytes, as_of),
                    None => stores.versioned_get(id, &bytes),
                },
            )?;
        let Some(Version { value, valid_from, valid_to }) = found else { return Ok(None) };
        let value = self.value.decode(Some(&value)).map_err(|source| self.serde_error("value", source))?;
        Ok(Some(Version { value, valid_from, valid_to }))
    }

    fn serde_error(&self, what: &'static str, source: SerdeError) -> StateError {
        StateError::Serde { store: self.store.to_string(), what, source }
    }
}
