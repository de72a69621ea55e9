//! Reads and writes of key-value stores, and what all scans have in common.

use std::ops::Bound;

use super::super::StoreId;
use super::{Body, Store, TaskStores};
use crate::engine::{Direction, Entry, KeyRange};
use crate::error::StateError;
use crate::key_order::prefix_end;
use crate::merge::Merge;

/// The entries of a scan, with the uncommitted layer laid over what is committed.
pub type StoreScan<'a> = Box<dyn Iterator<Item = Result<Entry, StateError>> + 'a>;

impl TaskStores {
    /// Appends the value of a key to `out` and answers whether there is one.
    ///
    /// # Errors
    /// If the engine cannot read, or the store is a window store.
    #[inline]
    pub fn get(&self, store: StoreId, key: &[u8], out: &mut Vec<u8>) -> Result<bool, StateError> {
        let store = self.store(store)?;
        let (family, layer) = store.key_value()?;
        match layer.get(key) {
            Some(value) => {
                out.extend_from_slice(value.unwrap_or_default());
                Ok(value.is_some())
            }
            None => self.engine(store).get(family, key, out).map_err(|source| store.error(source)),
        }
    }

    /// Sets or deletes a key in the uncommitted layer.
    ///
    /// # Errors
    /// If the store is a window store.
    #[inline]
    pub fn put(&mut self, store: StoreId, key: &[u8], value: Option<&[u8]>) -> Result<(), StateError> {
        let store = self.store_mut(store)?;
        let Body::KeyValue { layer, .. } = &mut store.body else { return Err(store.wrong_kind("key-value")) };
        let before = layer.bytes();
        layer.put(key, value);
        let grown = layer.bytes() - before;
        self.uncommitted += grown;
        Ok(())
    }

    /// About how many entries there are: an entry that is overwritten or deleted may be counted.
    ///
    /// # Errors
    /// If the engine cannot read, or the store is a window store.
    pub fn approximate_count(&self, store: StoreId) -> Result<u64, StateError> {
        let store = self.store(store)?;
        let (family, layer) = store.key_value()?;
        let committed = self.engine(store).approximate_len(family).map_err(|source| store.error(source))?;
        Ok(committed + layer.values())
    }

    /// The entries of a range of keys in the order of their bytes.
    ///
    /// # Errors
    /// If the engine cannot read, or the store is a window store.
    pub fn scan(
        &mut self,
        store: StoreId,
        range: KeyRange<'_>,
        direction: Direction,
    ) -> Result<StoreScan<'_>, StateError> {
        if let Body::KeyValue { layer, .. } = &mut self.store_mut(store)?.body {
            layer.sort();
        }
        let store = self.store(store)?;
        let (family, layer) = store.key_value()?;
        let base = self.engine(store).scan(family, range, direction).map_err(|source| store.error(source))?;
        Ok(with_errors(store, Merge::new(layer.scan(range, direction), base, direction)))
    }

    /// The entries whose keys begin with `prefix`.
    ///
    /// # Errors
    /// As [`TaskStores::scan`].
    pub fn scan_prefix(
        &mut self,
        store: StoreId,
        prefix: &[u8],
        direction: Direction,
    ) -> Result<StoreScan<'_>, StateError> {
        let end = prefix_end(prefix);
        let end = end.as_ref().map(Vec::as_slice);
        self.scan(store, (Bound::Included(prefix), end), direction)
    }
}

pub(super) fn with_errors<'a>(
    store: &'a Store,
    entries: impl Iterator<Item = Result<Entry, crate::error::EngineError>> + 'a,
) -> StoreScan<'a> {
    Box::new(entries.map(|entry| entry.map_err(|source| store.error(source))))
}
