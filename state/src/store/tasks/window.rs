//! Reads and writes of window stores: keys as [`crate::key_order`] lays them out, data in segments that expire.

use std::ops::Bound;

use super::super::StoreId;
use super::super::segments::Segments;
use super::key_value::{StoreScan, with_errors};
use super::{Body, Store, TaskStores};
use crate::engine::{Direction, KeyRange, Scan};
use crate::error::StateError;
use crate::key_order::{WindowKey, split_window_key, window_key};
use crate::merge::Merge;
use crate::model::Timestamp;

/// Where and which way a scan of windows goes.
struct Wanted<'k> {
    range: KeyRange<'k>,
    /// Of window starts, both included.
    times: (Timestamp, Timestamp),
    direction: Direction,
}

impl Store {
    fn split<'k>(&self, key: &'k [u8]) -> Result<WindowKey<'k>, StateError> {
        split_window_key(key).ok_or_else(|| StateError::Format {
            store: self.name.to_string(),
            reason: format!("a key of {} bytes is too short for a window store", key.len()),
        })
    }

    fn window_mut(&mut self) -> Result<&mut Segments, StateError> {
        if matches!(self.body, Body::KeyValue { .. }) {
            return Err(self.wrong_kind("window"));
        }
        match &mut self.body {
            Body::Window(segments) => Ok(segments),
            // Checked above: the borrow checker does not let the error be made here.
            Body::KeyValue { .. } => Err(StateError::Unusable),
        }
    }
}

impl TaskStores {
    /// Appends the value of a window to `out` and answers whether there is one; never one older than the retention.
    /// `key` is a [`window_key`].
    ///
    /// # Errors
    /// If the engine cannot read, or the store or the key is of another kind.
    #[inline]
    pub fn window_get(&self, store: StoreId, key: &[u8], out: &mut Vec<u8>) -> Result<bool, StateError> {
        let store = self.store(store)?;
        let segments = store.window()?;
        let start = store.split(key)?.start.millis();
        if !segments.is_live(start) {
            return Ok(false);
        }
        let id = segments.segment(start);
        if let Some(value) = segments.layers.get(&id).and_then(|layer| layer.get(key)) {
            out.extend_from_slice(value.unwrap_or_default());
            return Ok(value.is_some());
        }
        match segments.committed.get(&id) {
            Some(&family) => self.engine(store).get(family, key, out).map_err(|source| store.error(source)),
            None => Ok(false),
        }
    }

    /// Sets or deletes a window in the uncommitted layer and moves the store's observed time on. Answers `false` if
    /// the window has expired: then nothing is kept.
    ///
    /// # Errors
    /// If the store or the key is of another kind.
    #[inline]
    pub fn window_put(&mut self, store: StoreId, key: &[u8], value: Option<&[u8]>) -> Result<bool, StateError> {
        let store = self.store_mut(store)?;
        let start = store.split(key)?.start.millis();
        let segments = store.window_mut()?;
        if !segments.observe(start) {
            return Ok(false);
        }
        let layer = segments.layers.entry(start.div_euclid(segments.shape.segment_interval)).or_default();
        let before = layer.bytes();
        layer.put(key, value);
        let grown = layer.bytes() - before;
        self.uncommitted += grown;
        Ok(true)
    }

    /// The largest window start this store has seen, [`Timestamp::UNKNOWN`] before the first.
    ///
    /// # Errors
    /// If the store is not a window store.
    pub fn window_observed(&self, store: StoreId) -> Result<Timestamp, StateError> {
        Ok(Timestamp::from_millis(self.store(store)?.window()?.times.observed))
    }

    /// Whether windows that start at `start` can still be read.
    ///
    /// # Errors
    /// If the store is not a window store.
    pub fn window_is_live(&self, store: StoreId, start: Timestamp) -> Result<bool, StateError> {
        Ok(self.store(store)?.window()?.is_live(start.millis()))
    }

    /// The sequence number for the next put: 0, or a new one if the store keeps duplicates.
    ///
    /// # Errors
    /// If the store is not a window store.
    pub fn window_next_sequence(&mut self, store: StoreId) -> Result<u32, StateError> {
        let segments = self.store_mut(store)?.window_mut()?;
        if segments.shape.retain_duplicates {
            segments.times.sequence = segments.times.sequence.wrapping_add(1) & 0x7fff_ffff;
        }
        Ok(if segments.shape.retain_duplicates { segments.times.sequence } else { 0 })
    }

    /// The windows of one key that start between `from` and `to` (both included), in the order of time.
    ///
    /// # Errors
    /// If the engine cannot read, or the store is not a window store.
    pub fn window_fetch(
        &mut self,
        store: StoreId,
        key: &[u8],
        (from, to): (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<StoreScan<'_>, StateError> {
        // Stored times are not negative; as bytes negative ones would sort behind all others.
        let bound = |time: Timestamp| Timestamp::from_millis(time.millis().max(0));
        let first = window_key(key, bound(from), 0);
        let last = window_key(key, bound(to), u32::MAX);
        let range = (Bound::Included(&first[..]), Bound::Included(&last[..]));
        let key = key.to_vec();
        self.segments_scan(store, Wanted { range, times: (from, to), direction }, move |found| found == key)
    }

    /// The windows of the keys between two (both included, `None` is open) that start between `from` and `to`: by
    /// segment, then by key.
    ///
    /// # Errors
    /// As [`TaskStores::window_fetch`].
    pub fn window_fetch_keys(
        &mut self,
        store: StoreId,
        keys: (Option<&[u8]>, Option<&[u8]>),
        times: (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<StoreScan<'_>, StateError> {
        let first = keys.0.map_or(Bound::Unbounded, Bound::Included);
        let (least, most) = (keys.0.map(<[u8]>::to_vec), keys.1.map(<[u8]>::to_vec));
        let within = move |key: &[u8]| {
            least.as_deref().is_none_or(|least| key >= least) && most.as_deref().is_none_or(|most| key <= most)
        };
        self.segments_scan(store, Wanted { range: (first, Bound::Unbounded), times, direction }, within)
    }

    /// The windows of all keys that start between `from` and `to`: by segment, then by key.
    ///
    /// # Errors
    /// As [`TaskStores::window_fetch`].
    pub fn window_fetch_all(
        &mut self,
        store: StoreId,
        times: (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<StoreScan<'_>, StateError> {
        self.window_fetch_keys(store, (None, None), times, direction)
    }

    fn segments_scan<'s>(
        &'s mut self,
        store: StoreId,
        Wanted { range, times: (from, to), direction }: Wanted<'_>,
        wanted: impl Fn(&[u8]) -> bool + 's,
    ) -> Result<StoreScan<'s>, StateError> {
        let segments = self.store_mut(store)?.window_mut()?;
        let (from, to) = (from.millis().max(segments.oldest()), to.millis());
        let mut ids = segments.between(segments.segment(from), segments.segment(to));
        for id in &ids {
            if let Some(layer) = segments.layers.get_mut(id) {
                layer.sort();
            }
        }
        if direction == Direction::Backward {
            ids.reverse();
        }
        let this: &'s Self = self;
        let store = this.store(store)?;
        let (first, last) = (range.0.map(<[u8]>::to_vec), range.1.map(<[u8]>::to_vec));
        let scans = ids.into_iter().flat_map(move |id| {
            let range = (first.as_ref().map(Vec::as_slice), last.as_ref().map(Vec::as_slice));
            this.segment_scan(store, id, range, direction)
        });
        Ok(Box::new(scans.filter(move |entry| {
            match entry {
                Ok((key, _)) => split_window_key(key)
                    .is_some_and(|parts| (from..=to).contains(&parts.start.millis()) && wanted(parts.key)),
                Err(_) => true,
            }
        })))
    }

    fn segment_scan<'s>(
        &'s self,
        store: &'s Store,
        id: i64,
        range: KeyRange<'_>,
        direction: Direction,
    ) -> StoreScan<'s> {
        let Body::Window(segments) = &store.body else { return Box::new(std::iter::empty()) };
        let base: Scan<'s> = match segments.committed.get(&id) {
            Some(&family) => match self.engine(store).scan(family, range, direction) {
                Ok(scan) => scan,
                Err(error) => Box::new(std::iter::once(Err(error))),
            },
            None => Box::new(std::iter::empty()),
        };
        match segments.layers.get(&id) {
            Some(layer) => with_errors(store, Merge::new(layer.scan(range, direction), base, direction)),
            None => with_errors(store, base),
        }
    }
}
