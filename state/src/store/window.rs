//! Typed window stores: a value per key and window start, with the record cache in front. The flow is that of
//! [`KeyValue`](super::KeyValue).

use super::{CacheBudget, Flushed, Stamped, StoreId, StoreSpec};
use crate::context::HasState;
use crate::error::StateError;
use crate::model::{Timestamp, Windowed};
use crate::serdes::SerdeRef;

/// A window store of one task.
pub struct WindowStore<K, V> {
    _p: std::marker::PhantomData<(K, V)>,
}

impl<K, V> WindowStore<K, V> {
    /// The store `id` of a task, which is the one that `spec` describes (its kind must be one of windows).
    pub fn new(id: StoreId, spec: &StoreSpec, key: SerdeRef<K>, value: SerdeRef<V>, budget: &CacheBudget) -> Self {
        todo!()
    }

    /// Whether updates are held back in the record cache.
    pub fn is_cached(&self) -> bool {
        todo!()
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
        todo!()
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
        todo!()
    }

    /// Sets or deletes the value that was taken last, as [`KeyValue::put_taken`](super::KeyValue::put_taken).
    ///
    /// # Errors
    /// If the value cannot be encoded or written.
    pub fn put_taken(&mut self, cx: &mut impl HasState, new: Option<V>, time: Timestamp) -> Result<(), StateError> {
        todo!()
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
        todo!()
    }

    /// As [`KeyValue::must_flush`](super::KeyValue::must_flush).
    pub fn must_flush(&mut self) -> bool {
        todo!()
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
        todo!()
    }

    /// Gives a forwarded update back, so that its value stays in the cache.
    pub fn put_back(&mut self, flushed: Flushed<Windowed<K>, V>) {
        todo!()
    }

    /// Writes everything held back to the store and the changelog, with nobody below to tell.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn write_back(&mut self, cx: &mut impl HasState) -> Result<(), StateError> {
        todo!()
    }
}
