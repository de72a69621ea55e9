//! Reads and writes of window stores, and what session stores have in common with them: keys as
//! [`crate::key_order`] lays them out, data in segments that expire.

use std::ops::Bound;

use super::super::segments::Segments;
use super::super::{SegmentOrder, StoreId};
use super::key_value::{StoreScan, with_errors};
use super::{Body, Store, TaskStores};
use crate::engine::{Direction, Entry, KeyRange, Scan};
use crate::error::StateError;
use crate::key_order::{BY_KEY, BY_TIME, index_key, split_window_key, window_key};
use crate::merge::Merge;
use crate::model::Timestamp;

/// A range of keys of a scan.
pub(super) type OwnedRange = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// Where and which way a scan of segments goes.
pub(super) struct Wanted {
    /// The times that the segments searched hold, both included.
    pub(super) segments: (i64, i64),
    /// Of keys, as a store laid out by key has them.
    pub(super) range: OwnedRange,
    /// Of times, where a store laid out by time has nothing better; both included.
    pub(super) times: (i64, i64),
    pub(super) direction: Direction,
    /// Where a forward scan by time goes on: after this key, as the store has it.
    pub(super) after: Option<Vec<u8>>,
}

impl Store {
    pub(super) fn too_short(&self, key: &[u8]) -> StateError {
        StateError::Format {
            store: self.name.to_string(),
            reason: format!("a key of {} bytes is too short for a store of windows or sessions", key.len()),
        }
    }

    pub(super) fn window_mut(&mut self) -> Result<&mut Segments, StateError> {
        if !matches!(self.body, Body::Window(_)) {
            return Err(self.wrong_kind("window or session"));
        }
        match &mut self.body {
            Body::Window(segments) => Ok(segments),
            // Checked above: the borrow checker does not let the error be made here.
            Body::KeyValue { .. } | Body::Buffer(_) => Err(StateError::Unusable),
        }
    }
}

impl TaskStores {
    /// Appends the value of a window or session to `out` and answers whether there is one; never one older than the
    /// retention. `key` is a [`window_key`] or a [`session_key`](crate::key_order::session_key).
    ///
    /// # Errors
    /// If the engine cannot read, or the store or the key is of another kind.
    #[inline]
    pub fn window_get(&self, store: StoreId, key: &[u8], out: &mut Vec<u8>) -> Result<bool, StateError> {
        let store = self.store(store)?;
        let segments = store.window()?;
        let time = segments.shape.time(key).ok_or_else(|| store.too_short(key))?;
        if !segments.is_live(time) {
            return Ok(false);
        }
        self.segment_get(store, segments, (time, key), out)
    }

    fn segment_get(
        &self,
        store: &Store,
        segments: &Segments,
        (time, key): (i64, &[u8]),
        out: &mut Vec<u8>,
    ) -> Result<bool, StateError> {
        let stored = segments.shape.stored(key).ok_or_else(|| store.too_short(key))?;
        let id = segments.segment(time);
        if let Some(value) = segments.layers.get(&id).and_then(|layer| layer.get(&stored)) {
            out.extend_from_slice(value.unwrap_or_default());
            return Ok(value.is_some());
        }
        match segments.committed.get(&id) {
            Some(&family) => self.engine(store).get(family, &stored, out).map_err(|source| store.error(source)),
            None => Ok(false),
        }
    }

    /// Sets or deletes a window or session in the uncommitted layer and moves the store's observed time on. Answers
    /// `false` if it has expired: then nothing is kept.
    ///
    /// # Errors
    /// If the store or the key is of another kind.
    #[inline]
    pub fn window_put(&mut self, store: StoreId, key: &[u8], value: Option<&[u8]>) -> Result<bool, StateError> {
        let store = self.store_mut(store)?;
        let Some(time) = store.window()?.shape.time(key) else { return Err(store.too_short(key)) };
        let segments = store.window_mut()?;
        if !segments.observe(time) {
            return Ok(false);
        }
        let (id, shape) = (segments.segment(time), segments.shape);
        let layer = segments.layers.entry(id).or_default();
        let before = layer.bytes();
        shape.write(layer, key, value);
        let grown = layer.bytes() - before;
        self.uncommitted += grown;
        Ok(true)
    }

    /// The largest window start or session end this store has seen, [`Timestamp::UNKNOWN`] before the first.
    ///
    /// # Errors
    /// If the store is neither a window nor a session store.
    pub fn window_observed(&self, store: StoreId) -> Result<Timestamp, StateError> {
        Ok(Timestamp::from_millis(self.store(store)?.window()?.times.observed))
    }

    /// Whether what has this key can still be read: it is not older than the retention.
    ///
    /// # Errors
    /// If the store or the key is of another kind.
    pub fn window_is_live(&self, store: StoreId, key: &[u8]) -> Result<bool, StateError> {
        let store = self.store(store)?;
        let segments = store.window()?;
        let time = segments.shape.time(key).ok_or_else(|| store.too_short(key))?;
        Ok(segments.is_live(time))
    }

    /// Keeps what has expired from this time on (a window's start, a session's end), until a later call says
    /// otherwise. Of effect only in a store that is laid out by time; until the first call such a store keeps
    /// everything. Rolled back with the rest.
    ///
    /// # Errors
    /// If the store is neither a window nor a session store.
    pub fn hold(&mut self, store: StoreId, from: Timestamp) -> Result<(), StateError> {
        let segments = self.store_mut(store)?.window_mut()?;
        if segments.shape.order != SegmentOrder::ByKey {
            segments.hold = from.millis();
        }
        Ok(())
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
        let (from, to) = (self.live_from(store, from)?, to.millis());
        // Stored times are not negative; as bytes negative ones would sort behind all others.
        let bound = |time: i64| Timestamp::from_millis(time.max(0));
        let range =
            (Bound::Included(window_key(key, bound(from), 0)), Bound::Included(window_key(key, bound(to), u32::MAX)));
        let key = key.to_vec();
        let wanted = Wanted { segments: (from, to), range, times: (from, to), direction, after: None };
        self.segments_scan(store, wanted, in_windows((from, to), move |found| found == key))
    }

    /// The windows of the keys between two (both included, `None` is open) that start between `from` and `to`: by
    /// segment, then in the order of the store.
    ///
    /// # Errors
    /// As [`TaskStores::window_fetch`].
    pub fn window_fetch_keys(
        &mut self,
        store: StoreId,
        keys: (Option<&[u8]>, Option<&[u8]>),
        (from, to): (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<StoreScan<'_>, StateError> {
        let (from, to) = (self.live_from(store, from)?, to.millis());
        let first = keys.0.map_or(Bound::Unbounded, |first| Bound::Included(first.to_vec()));
        let wanted = Wanted {
            segments: (from, to),
            range: (first, Bound::Unbounded),
            times: (from, to),
            direction,
            after: None,
        };
        self.segments_scan(store, wanted, in_windows((from, to), between(keys)))
    }

    /// The windows of all keys that start between `from` and `to`: by segment, then in the order of the store.
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

    /// All windows that start, or sessions that end, between two times (both included), expired ones that are held
    /// included: by time, then by key; with `after`, only what comes after this key. Only in a store that is laid out by
    /// time.
    ///
    /// # Errors
    /// If the engine cannot read, or the store is another.
    pub fn fetch_held(
        &mut self,
        store: StoreId,
        (from, to): (Timestamp, Timestamp),
        after: Option<&[u8]>,
    ) -> Result<StoreScan<'_>, StateError> {
        let shape = self.store(store)?.window()?.shape;
        let begin = after.and_then(|after| shape.time(after)).unwrap_or(from.millis());
        let times = (begin, to.millis());
        let range = (Bound::Unbounded, Bound::Unbounded);
        let after = after.and_then(|after| shape.stored(after)).map(std::borrow::Cow::into_owned);
        let wanted = Wanted { segments: times, range, times, direction: Direction::Forward, after };
        let within = move |key: &[u8]| shape.time(key).is_some_and(|time| (times.0..=times.1).contains(&time));
        self.segments_scan(store, wanted, within)
    }

    /// `from`, or if that has expired the first time that has not.
    pub(super) fn live_from(&self, store: StoreId, from: Timestamp) -> Result<i64, StateError> {
        Ok(from.millis().max(self.store(store)?.window()?.oldest()))
    }

    /// The entries of a scan that `wanted` accepts by key.
    pub(super) fn segments_scan<'s>(
        &'s mut self,
        store: StoreId,
        place: Wanted,
        wanted: impl Fn(&[u8]) -> bool + 's,
    ) -> Result<StoreScan<'s>, StateError> {
        let Wanted { segments: (from, to), range, times, direction, after } = place;
        let segments = self.store_mut(store)?.window_mut()?;
        let mut ids = segments.between(segments.segment(from), segments.segment(to));
        for id in &ids {
            if let Some(layer) = segments.layers.get_mut(id) {
                layer.sort();
            }
        }
        if direction == Direction::Backward {
            ids.reverse();
        }
        let order = segments.shape.order;
        let by_index = order == (SegmentOrder::ByTime { indexed: true }) && range.0 != Bound::Unbounded;
        let range = match order {
            SegmentOrder::ByKey => range,
            SegmentOrder::ByTime { .. } if by_index => indexed(&range),
            SegmentOrder::ByTime { .. } => {
                let (first, last) = by_time(times);
                (after.map_or(first, Bound::Excluded), last)
            }
        };
        let this: &'s Self = self;
        let store = this.store(store)?;
        let scans = ids.into_iter().flat_map(move |id| {
            let range = (range.0.as_ref().map(Vec::as_slice), range.1.as_ref().map(Vec::as_slice));
            this.segment_scan(store, id, range, direction)
        });
        if order == SegmentOrder::ByKey {
            return Ok(Box::new(scans.filter(move |entry| entry.as_ref().map_or(true, |(key, _)| wanted(key)))));
        }
        let resolved = scans.filter_map(move |entry| this.resolve(store, by_index, entry).transpose());
        Ok(Box::new(resolved.filter(move |entry| entry.as_ref().map_or(true, |(key, _)| wanted(key)))))
    }

    /// The key and value that an entry of a store laid out by time stands for.
    fn resolve(
        &self,
        store: &Store,
        by_index: bool,
        entry: Result<Entry, StateError>,
    ) -> Result<Option<Entry>, StateError> {
        let (found, value) = entry?;
        let segments = store.window()?;
        if !by_index {
            return Ok(segments.shape.key_of(&found).map(|key| (key.into_boxed_slice(), value)));
        }
        let Some(key) = found.strip_prefix(&[BY_KEY]) else { return Ok(None) };
        let time = segments.shape.time(key).ok_or_else(|| store.too_short(key))?;
        let mut value = Vec::new();
        let there = self.segment_get(store, segments, (time, key), &mut value)?;
        Ok(there.then(|| (key.into(), value.into_boxed_slice())))
    }

    pub(super) fn segment_scan<'s>(
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

/// Whether a window store's key is one of these times and `wanted` by its record's key.
fn in_windows((from, to): (i64, i64), wanted: impl Fn(&[u8]) -> bool) -> impl Fn(&[u8]) -> bool {
    move |key| {
        split_window_key(key).is_some_and(|parts| (from..=to).contains(&parts.start.millis()) && wanted(parts.key))
    }
}

/// Whether a key is between two, both included.
pub(super) fn between((least, most): (Option<&[u8]>, Option<&[u8]>)) -> impl Fn(&[u8]) -> bool + use<> {
    let (least, most) = (least.map(<[u8]>::to_vec), most.map(<[u8]>::to_vec));
    move |key: &[u8]| {
        least.as_deref().is_none_or(|least| key >= least) && most.as_deref().is_none_or(|most| key <= most)
    }
}

/// The index entries of a range of keys.
fn indexed((from, to): &OwnedRange) -> OwnedRange {
    let from = match from {
        Bound::Unbounded => Bound::Included(vec![BY_KEY]),
        other => other.as_ref().map(|key| index_key(key)),
    };
    let to = match to {
        Bound::Unbounded => Bound::Excluded(vec![BY_KEY + 1]),
        other => other.as_ref().map(|key| index_key(key)),
    };
    (from, to)
}

/// The values of a range of times, both included, in a store that is laid out by time.
fn by_time((from, to): (i64, i64)) -> OwnedRange {
    let prefix = |time: i64| [&[BY_TIME][..], &time.max(0).to_be_bytes()].concat();
    let to = to.checked_add(1).map_or_else(|| Bound::Excluded(vec![BY_KEY]), |end| Bound::Excluded(prefix(end)));
    (Bound::Included(prefix(from)), to)
}
