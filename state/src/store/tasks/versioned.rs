//! Reads and writes of versioned stores: the latest value of each key, and its history in segments that expire.
//!
//! ```text
//!  latest:   key | MAX (8) | 0 (4)        → valid from (8) | value          in a segment that never expires
//!  history:  key | valid to (8) | 0 (4)   → valid from (8) | 1 | value      in the segment of «valid to»
//!                                           valid from (8) | 0              nothing was valid then
//! ```
//! What is valid until after a time is found by one seek. A delete leaves the former value with its end; where there was
//! none, a version from that time to that time, so that older values that come late know that they are not the latest.

use std::ops::Bound;

use super::super::segments::Segments;
use super::super::{StoreId, StoreKind, Version};
use super::{StoreScan, TaskStores};
use crate::engine::Direction;
use crate::error::StateError;
use crate::key_order::{split_window_key, window_key};
use crate::model::Timestamp;

const FOREVER: i64 = i64::MAX;

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It is the latest version of its key.
    Latest,
    /// There is a later version: this one is valid until that one's time.
    Until(Timestamp),
    /// It is older than the history: nothing is kept of it.
    TooOld,
}

/// A version in the history.
struct Past {
    from: i64,
    to: i64,
    value: Option<Vec<u8>>,
}

impl Segments {
    fn too_old(&self, time: i64) -> bool {
        time < self.times.observed.saturating_sub(self.shape.retention)
    }
}

impl TaskStores {
    /// Puts a version (`None` deletes as of that time) into the uncommitted layer. Kafka Streams:
    /// `VersionedKeyValueStore.put`.
    ///
    /// # Errors
    /// If the engine cannot read, or the store is not a versioned one.
    pub fn versioned_put(
        &mut self,
        store: StoreId,
        key: &[u8],
        value: Option<&[u8]>,
        time: Timestamp,
    ) -> Result<Placed, StateError> {
        let time = time.millis();
        let segments = self.versioned_mut(store)?;
        if segments.too_old(time) {
            return Ok(Placed::TooOld);
        }
        segments.times.observed = segments.times.observed.max(time);
        let latest = self.latest(store, key)?;
        let mut found = None;
        if let Some((from, former)) = latest {
            if time >= from {
                if time > from {
                    self.put_past(store, key, &Past { from, to: time, value: Some(former) })?;
                }
                self.put_latest(store, key, value, time)?;
                return Ok(Placed::Latest);
            }
            found = Some(from);
        }
        if let Some(later) = self.past_after(store, key, time)? {
            if later.from <= time {
                let Past { from, to, value: former } = later;
                if from < time {
                    self.put_past(store, key, &Past { from, to: time, value: former })?;
                }
                self.put_past(store, key, &Past { from: time, to, value: value.map(<[u8]>::to_vec) })?;
                return Ok(Placed::Until(Timestamp::from_millis(to)));
            }
            found = Some(later.from);
        }
        match found {
            Some(to) => {
                self.put_past(store, key, &Past { from: time, to, value: value.map(<[u8]>::to_vec) })?;
                Ok(Placed::Until(Timestamp::from_millis(to)))
            }
            None => {
                match value {
                    Some(_) => self.put_latest(store, key, value, time)?,
                    None if self.has_end(store, key, time)? => {}
                    None => self.put_past(store, key, &Past { from: time, to: time, value: None })?,
                }
                Ok(Placed::Latest)
            }
        }
    }

    /// The latest version of a key.
    ///
    /// # Errors
    /// As [`TaskStores::versioned_put`].
    pub fn versioned_get(&self, store: StoreId, key: &[u8]) -> Result<Option<Version<Vec<u8>>>, StateError> {
        Ok(self.latest(store, key)?.map(|(from, value)| version(value, from, None)))
    }

    /// The version of a key that was valid at a time; never one from before the history, unless it is the latest.
    ///
    /// # Errors
    /// As [`TaskStores::versioned_put`].
    pub fn versioned_get_as_of(
        &mut self,
        store: StoreId,
        key: &[u8],
        as_of: Timestamp,
    ) -> Result<Option<Version<Vec<u8>>>, StateError> {
        let as_of = as_of.millis();
        if let Some((from, value)) = self.latest(store, key)?
            && from <= as_of
        {
            return Ok(Some(version(value, from, None)));
        }
        if self.versioned_mut(store)?.too_old(as_of) {
            return Ok(None);
        }
        let found = self.past_after(store, key, as_of)?.filter(|past| past.from <= as_of);
        Ok(found.and_then(|Past { from, to, value }| Some(version(value?, from, Some(to)))))
    }

    /// The latest versions of all keys in the order of the keys' bytes, each as a timestamped store keeps it: the time from
    /// which it is valid, and the value.
    ///
    /// # Errors
    /// As [`TaskStores::versioned_put`].
    pub fn versioned_scan(&mut self, store: StoreId) -> Result<StoreScan<'_>, StateError> {
        let segments = self.versioned_mut(store)?;
        let id = segments.segment(FOREVER);
        if let Some(layer) = segments.layers.get_mut(&id) {
            layer.sort();
        }
        let opened = self.store(store)?;
        let all = self.segment_scan(opened, id, (Bound::Unbounded, Bound::Unbounded), Direction::Forward);
        Ok(Box::new(all.filter_map(|entry| match entry {
            Ok((key, value)) => {
                let parts = split_window_key(&key).filter(|parts| parts.start.millis() == FOREVER)?;
                Some(Ok((parts.key.into(), value)))
            }
            Err(error) => Some(Err(error)),
        })))
    }

    /// The highest time that was put; [`Timestamp::UNKNOWN`] before the first.
    ///
    /// # Errors
    /// If the store is not a versioned one.
    pub fn versioned_observed(&self, store: StoreId) -> Result<Timestamp, StateError> {
        Ok(Timestamp::from_millis(self.store(store)?.window()?.times.observed))
    }

    fn versioned_mut(&mut self, store: StoreId) -> Result<&mut Segments, StateError> {
        let versioned = self.is_versioned(store);
        let store = self.store_mut(store)?;
        if !versioned {
            return Err(store.wrong_kind("versioned"));
        }
        store.window_mut()
    }

    pub(super) fn is_versioned(&self, store: StoreId) -> bool {
        self.specs.get(store.0 as usize).is_some_and(|spec| matches!(spec.kind, StoreKind::VersionedKeyValue(_)))
    }

    fn latest(&self, store: StoreId, key: &[u8]) -> Result<Option<(i64, Vec<u8>)>, StateError> {
        let mut bytes = Vec::new();
        if !self.raw_get(store, FOREVER, key, &mut bytes)? {
            return Ok(None);
        }
        let (from, value) = self.split_from(store, &bytes)?;
        Ok(Some((from, value.to_vec())))
    }

    fn put_latest(&mut self, store: StoreId, key: &[u8], value: Option<&[u8]>, from: i64) -> Result<(), StateError> {
        let bytes = value.map(|value| [&from.to_be_bytes()[..], value].concat());
        self.raw_put(store, FOREVER, key, bytes.as_deref())
    }

    fn put_past(&mut self, store: StoreId, key: &[u8], past: &Past) -> Result<(), StateError> {
        let mut bytes = past.from.to_be_bytes().to_vec();
        bytes.push(u8::from(past.value.is_some()));
        bytes.extend_from_slice(past.value.as_deref().unwrap_or_default());
        self.raw_put(store, past.to, key, Some(&bytes))
    }

    /// Whether something ends at a time, so that nothing need be written to say so.
    fn has_end(&self, store: StoreId, key: &[u8], time: i64) -> Result<bool, StateError> {
        self.raw_get(store, time, key, &mut Vec::new())
    }

    /// The version whose end is the first after a time.
    fn past_after(&mut self, store: StoreId, key: &[u8], time: i64) -> Result<Option<Past>, StateError> {
        let first = window_key(key, Timestamp::from_millis(time.saturating_add(1).max(0)), 0);
        let last = window_key(key, Timestamp::from_millis(FOREVER - 1), u32::MAX);
        let range = (Bound::Included(&first[..]), Bound::Included(&last[..]));
        let segments = self.versioned_mut(store)?;
        let from = segments.segment(time.saturating_add(1)).max(segments.oldest_segment());
        let ids = segments.between(from, segments.segment(FOREVER) - 1);
        for id in &ids {
            if let Some(layer) = segments.layers.get_mut(id) {
                layer.sort();
            }
        }
        let opened = self.store(store)?;
        for id in ids {
            for entry in self.segment_scan(opened, id, range, Direction::Forward) {
                let (found, bytes) = entry?;
                let parts = split_window_key(&found).ok_or_else(|| opened.too_short(&found))?;
                if parts.key != key {
                    continue;
                }
                let (from, rest) = self.split_from(store, &bytes)?;
                let (flag, value) = rest.split_first().ok_or_else(|| opened.wrong_kind("versioned"))?;
                let value = (*flag == 1).then(|| value.to_vec());
                return Ok(Some(Past { from, to: parts.start.millis(), value }));
            }
        }
        Ok(None)
    }

    fn split_from<'b>(&self, store: StoreId, bytes: &'b [u8]) -> Result<(i64, &'b [u8]), StateError> {
        match bytes.split_first_chunk::<8>() {
            Some((from, rest)) => Ok((i64::from_be_bytes(*from), rest)),
            None => Err(self.store(store)?.wrong_kind("versioned")),
        }
    }

    fn raw_get(&self, store: StoreId, to: i64, key: &[u8], out: &mut Vec<u8>) -> Result<bool, StateError> {
        let store = self.store(store)?;
        let segments = store.window()?;
        let (id, key) = (segments.segment(to), window_key(key, Timestamp::from_millis(to), 0));
        if let Some(value) = segments.layers.get(&id).and_then(|layer| layer.get(&key)) {
            out.extend_from_slice(value.unwrap_or_default());
            return Ok(value.is_some());
        }
        match segments.committed.get(&id) {
            Some(&family) => self.engine(store).get(family, &key, out).map_err(|source| store.error(source)),
            None => Ok(false),
        }
    }

    fn raw_put(&mut self, store: StoreId, to: i64, key: &[u8], value: Option<&[u8]>) -> Result<(), StateError> {
        let segments = self.versioned_mut(store)?;
        let id = segments.segment(to);
        if id < segments.oldest_segment() {
            return Ok(());
        }
        let layer = segments.layers.entry(id).or_default();
        let before = layer.bytes();
        layer.put(&window_key(key, Timestamp::from_millis(to), 0), value);
        let grown = layer.bytes() - before;
        self.uncommitted += grown;
        Ok(())
    }
}

fn version(value: Vec<u8>, from: i64, to: Option<i64>) -> Version<Vec<u8>> {
    Version { value, valid_from: Timestamp::from_millis(from), valid_to: to.map(Timestamp::from_millis) }
}

#[cfg(test)]
mod tests;
