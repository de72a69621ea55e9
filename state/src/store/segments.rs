//! The segments of a window or session store: which there are, which are alive, and what was written to them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::meta::Times;
use super::{Persistence, SegmentOrder, SessionShape, StoreKind, VersionedShape, WindowShape};
use crate::engine::FamilyId;
use crate::key_order::{
    from_time_first_session_key, from_time_first_window_key, index_key, split_session_key, split_window_key,
    time_first_session_key, time_first_window_key,
};
use crate::uncommitted::Uncommitted;

/// Whether keys end in a window's start or in a session's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spans {
    Windows,
    Sessions,
}

/// What a store's segments are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentShape {
    pub(super) spans: Spans,
    pub(super) retention: i64,
    pub(super) interval: i64,
    pub(super) retain_duplicates: bool,
    pub(super) order: SegmentOrder,
}

impl SegmentShape {
    /// The segments of a store of this kind; `None` if it has none.
    pub(super) fn of(kind: StoreKind) -> Option<Self> {
        match kind {
            StoreKind::Window(shape) | StoreKind::TimestampedWindow(shape) => Some(Self::windows(shape)),
            StoreKind::Session(shape) => Some(Self::sessions(shape)),
            StoreKind::VersionedKeyValue(shape) => Some(Self::history(shape)),
            StoreKind::KeyValue | StoreKind::TimestampedKeyValue | StoreKind::TimeOrderedBuffer => None,
        }
    }

    fn windows(shape: WindowShape) -> Self {
        let WindowShape { retention, segment_interval, retain_duplicates, order, .. } = shape;
        Self { spans: Spans::Windows, retention, interval: segment_interval.max(1), retain_duplicates, order }
    }

    /// The history of a versioned store, by the ends of its versions.
    fn history(shape: VersionedShape) -> Self {
        let VersionedShape { history_retention: retention, segment_interval } = shape;
        let (interval, order) = (segment_interval.max(1), SegmentOrder::ByKey);
        Self { spans: Spans::Windows, retention, interval, retain_duplicates: false, order }
    }

    fn sessions(shape: SessionShape) -> Self {
        let SessionShape { retention, segment_interval, order } = shape;
        Self { spans: Spans::Sessions, retention, interval: segment_interval.max(1), retain_duplicates: false, order }
    }

    /// The time that a key is kept by: a window's start, a session's end. `None` if the key is too short.
    pub(super) fn time(&self, key: &[u8]) -> Option<i64> {
        match self.spans {
            Spans::Windows => Some(split_window_key(key)?.start.millis()),
            Spans::Sessions => Some(split_session_key(key)?.1.end.millis()),
        }
    }

    /// The key that the value of `key` is found by. `None` if the key is too short.
    pub(super) fn stored<'k>(&self, key: &'k [u8]) -> Option<Cow<'k, [u8]>> {
        match (self.order, self.spans) {
            (SegmentOrder::ByKey, _) => Some(Cow::Borrowed(key)),
            (SegmentOrder::ByTime { .. }, Spans::Windows) => time_first_window_key(key).map(Cow::Owned),
            (SegmentOrder::ByTime { .. }, Spans::Sessions) => time_first_session_key(key).map(Cow::Owned),
        }
    }

    /// The key whose value is found by `stored`, in a store laid out by time. `None` for an index entry.
    pub(super) fn key_of(&self, stored: &[u8]) -> Option<Vec<u8>> {
        match self.spans {
            Spans::Windows => from_time_first_window_key(stored),
            Spans::Sessions => from_time_first_session_key(stored),
        }
    }

    /// Writes a change of `key` to a segment's layer: the value, and its index entry if there is an index.
    pub(super) fn write(&self, layer: &mut Uncommitted, key: &[u8], value: Option<&[u8]>) {
        if self.order == (SegmentOrder::ByTime { indexed: true }) {
            layer.put(&index_key(key), value.map(|_| &[][..]));
        }
        if let Some(stored) = self.stored(key) {
            layer.put(&stored, value);
        }
    }
}

/// A store's segments. A segment is a family of its own, so that expiry drops it whole.
pub(super) struct Segments {
    pub(super) shape: SegmentShape,
    /// Stores in memory drop what is too late to the millisecond, those on disk by whole segments, as Kafka Streams'.
    exact: bool,
    pub(super) committed: BTreeMap<i64, FamilyId>,
    pub(super) layers: BTreeMap<i64, Uncommitted>,
    pub(super) times: Times,
    pub(super) committed_times: Times,
    /// What is kept though it has expired: everything from this time on.
    pub(super) hold: i64,
    pub(super) committed_hold: i64,
}

impl Segments {
    pub(super) fn new(shape: SegmentShape, persistence: Persistence, times: Times) -> Self {
        let hold = if shape.order == SegmentOrder::ByKey { i64::MAX } else { i64::MIN };
        Self {
            shape,
            exact: persistence == Persistence::InMemory,
            committed: BTreeMap::new(),
            layers: BTreeMap::new(),
            times,
            committed_times: times,
            hold,
            committed_hold: hold,
        }
    }

    pub(super) fn segment(&self, time: i64) -> i64 {
        time.div_euclid(self.shape.interval)
    }

    /// The first time that can still be read.
    pub(super) fn oldest(&self) -> i64 {
        let expired = self.times.observed.saturating_sub(self.shape.retention);
        // Kafka Streams keeps windows that are laid out by time a millisecond longer.
        let longer = self.shape.spans == Spans::Windows && self.shape.order != SegmentOrder::ByKey && !self.exact;
        if longer { expired } else { expired.saturating_add(1) }
    }

    /// The first segment that is not expired.
    pub(super) fn oldest_segment(&self) -> i64 {
        self.segment(self.times.observed.saturating_sub(self.shape.retention))
    }

    /// The first segment that is kept, expired or not.
    pub(super) fn oldest_held(&self) -> i64 {
        self.oldest_segment().min(self.segment(self.hold))
    }

    pub(super) fn is_live(&self, time: i64) -> bool {
        time >= self.oldest()
    }

    /// Moves the observed time on, and answers whether what belongs to `time` is to be kept.
    pub(super) fn observe(&mut self, time: i64) -> bool {
        self.times.observed = self.times.observed.max(time);
        if self.exact {
            time > self.times.observed.saturating_sub(self.shape.retention)
        } else {
            self.segment(time) >= self.oldest_segment()
        }
    }

    /// The segments with data between two, in order.
    pub(super) fn between(&self, from: i64, to: i64) -> Vec<i64> {
        if from > to {
            return Vec::new();
        }
        let committed = self.committed.range(from..=to).map(|(id, _)| *id);
        let written = self.layers.range(from..=to).filter(|(_, layer)| !layer.is_empty()).map(|(id, _)| *id);
        let mut ids: Vec<i64> = committed.chain(written).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    pub(super) fn family_name(store: &str, segment: i64) -> String {
        format!("{store}.{segment}")
    }

    /// The segment that a family of this name is, if it is one of this store.
    pub(super) fn parse_family(store: &str, family: &str) -> Option<i64> {
        let id: i64 = family.strip_prefix(store)?.strip_prefix('.')?.parse().ok()?;
        (Self::family_name(store, id) == family).then_some(id)
    }

    pub(super) fn clear_layers(&mut self) {
        self.layers.retain(|_, layer| !layer.is_empty());
        self.layers.values_mut().for_each(Uncommitted::clear);
    }
}
