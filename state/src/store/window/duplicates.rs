//! Window stores that keep duplicates, as stream–stream joins use them: a window per record, no cache.

use super::WindowStore;
use crate::context::HasState;
use crate::engine::Direction;
use crate::error::StateError;
use crate::key_order::split_window_key;
use crate::model::{Headers, Timestamp};

impl<K, V> WindowStore<K, V> {
    /// Adds a value beside those with equal key and time. What is older than the retention is not kept, but logged all
    /// the same; so is a `None`, which changes nothing. The changelog has the headers. Not for stores with a cache.
    ///
    /// Store and changelog use the same numbers to tell duplicates apart. Kafka Streams' store does not count a `None`
    /// and its changelog does; here what is replayed must find itself.
    ///
    /// # Errors
    /// If key or value cannot be encoded or written.
    pub fn append(
        &mut self,
        cx: &mut impl HasState,
        key: &K,
        (time, headers): (Timestamp, &Headers),
        value: Option<&V>,
    ) -> Result<(), StateError> {
        let state = cx.state();
        let sequence = state.stores.window_next_sequence(self.typed.id())?;
        self.begin(key, time, sequence)?;
        self.typed.append(state, value, headers)
    }

    /// Appends the values of one key between two times (both included) to `out`, in the order of time and, for equal
    /// times, in that in which they were added. Not for stores with a cache.
    ///
    /// # Errors
    /// If the store cannot be read, or the bytes are not of these types.
    pub fn collect(
        &mut self,
        cx: &mut impl HasState,
        key: &K,
        times: (Timestamp, Timestamp),
        out: &mut Vec<(Timestamp, V)>,
    ) -> Result<(), StateError> {
        self.typed.begin();
        let encoded = self.key.encode(key, &mut self.typed.key);
        encoded.map_err(|source| self.typed.serde_error("key", source))?;
        let found = cx.state().stores.window_fetch(self.typed.id(), &self.typed.key, times, Direction::Forward)?;
        for entry in found {
            let (key, value) = entry?;
            let start = split_window_key(&key).ok_or(StateError::Unusable)?.start;
            out.push((start, self.typed.decode_entry(&value)?.value));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
