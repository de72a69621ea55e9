//! Time-ordered buffers: what waits, and its changelog.

use super::super::time_buffer::{Buffered, TimeBuffer, Waited};
use super::super::{Changelog, StoreId};
use super::{Body, TaskStores};
use crate::context::StateContext;
use crate::error::StateError;
use crate::model::{Headers, RecordMeta, Timestamp};
use crate::serdes::buffered;

static NO_HEADERS: Headers = Headers::new();

impl TaskStores {
    fn buffer(&self, store: StoreId) -> Result<&TimeBuffer, StateError> {
        let store = self.store(store)?;
        match &store.body {
            Body::Buffer(buffer) => Ok(buffer),
            _ => Err(store.wrong_kind("time-ordered buffer")),
        }
    }

    fn buffer_mut(&mut self, store: StoreId) -> Result<&mut TimeBuffer, StateError> {
        self.buffer(store)?;
        match &mut self.store_mut(store)?.body {
            Body::Buffer(buffer) => Ok(buffer),
            // Checked above: the borrow checker does not let the error be made here.
            _ => Err(StateError::Unusable),
        }
    }

    /// How many keys wait in a buffer.
    ///
    /// # Errors
    /// If the store is not a buffer.
    pub fn buffer_len(&self, store: StoreId) -> Result<usize, StateError> {
        Ok(self.buffer(store)?.len())
    }

    /// How many bytes wait in a buffer, as Kafka Streams counts them.
    ///
    /// # Errors
    /// If the store is not a buffer.
    pub fn buffer_bytes(&self, store: StoreId) -> Result<usize, StateError> {
        Ok(self.buffer(store)?.weight())
    }

    /// The smallest buffer time of all that waits; `None` if nothing does.
    ///
    /// # Errors
    /// If the store is not a buffer.
    pub fn buffer_first_time(&self, store: StoreId) -> Result<Option<Timestamp>, StateError> {
        Ok(self.buffer(store)?.first_time().map(Timestamp::from_millis))
    }

    /// What waits for a key.
    ///
    /// # Errors
    /// If the store is not a buffer.
    pub fn buffer_get(&self, store: StoreId, key: &[u8]) -> Result<Option<&Buffered>, StateError> {
        Ok(self.buffer(store)?.get(key).map(|(_, waits)| waits))
    }

    /// Has a change wait until `time`. If one waits for its key already it takes that one's place, its time and its
    /// prior value; otherwise the old value becomes the prior one.
    ///
    /// # Errors
    /// If the store is not a buffer.
    pub fn buffer_put(
        &mut self,
        store: StoreId,
        time: Timestamp,
        key: &[u8],
        change: Buffered,
    ) -> Result<(), StateError> {
        self.buffer_mut(store)?.put(time.millis(), key, change);
        Ok(())
    }

    /// Takes out the change with the smallest buffer time, and of those the one with the smallest key.
    ///
    /// # Errors
    /// If the store is not a buffer.
    pub fn buffer_pop(&mut self, store: StoreId) -> Result<Option<Waited>, StateError> {
        Ok(self.buffer_mut(store)?.pop())
    }
}

/// Writes the changelog records of a buffer's changes since the last call, if it has a changelog: to be called before
/// every commit.
///
/// # Errors
/// If the store is not a buffer.
pub fn log_buffer(cx: &mut StateContext, store: StoreId) -> Result<(), StateError> {
    let touched = cx.stores.buffer_mut(store)?.take_touched();
    if !matches!(cx.stores.specs[store.0 as usize].changelog, Changelog::Topic(_)) {
        return Ok(());
    }
    let mut value = Vec::new();
    // Kafka Streams' writer leaves the time to the producer.
    let meta = RecordMeta { target: store.0, partition: None, timestamp: None };
    for key in touched {
        match cx.stores.buffer(store)?.get(&key) {
            Some((time, waits)) => {
                value.clear();
                buffered::encode(time, waits, &mut value);
                cx.changes.append(meta, &buffered::headers(), Some(&key), Some(&value));
            }
            None => cx.changes.append(meta, &NO_HEADERS, Some(&key), None),
        }
    }
    Ok(())
}
