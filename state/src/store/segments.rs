//! The segments of a window store: which there are, which are alive, and what was written to them.

use std::collections::BTreeMap;

use super::meta::Times;
use super::{Persistence, WindowShape};
use crate::engine::FamilyId;
use crate::uncommitted::Uncommitted;

/// A window store's segments. A segment is a family of its own, so that expiry drops it whole.
pub(super) struct Segments {
    pub(super) shape: WindowShape,
    /// Stores in memory drop what is too late to the millisecond, those on disk by whole segments, as Kafka Streams'.
    exact: bool,
    pub(super) committed: BTreeMap<i64, FamilyId>,
    pub(super) layers: BTreeMap<i64, Uncommitted>,
    pub(super) times: Times,
    pub(super) committed_times: Times,
}

impl Segments {
    pub(super) fn new(shape: WindowShape, persistence: Persistence, times: Times) -> Self {
        Self {
            shape: WindowShape { segment_interval: shape.segment_interval.max(1), ..shape },
            exact: persistence == Persistence::InMemory,
            committed: BTreeMap::new(),
            layers: BTreeMap::new(),
            times,
            committed_times: times,
        }
    }

    pub(super) fn segment(&self, start: i64) -> i64 {
        start.div_euclid(self.shape.segment_interval)
    }

    /// The first window start that can still be read.
    pub(super) fn oldest(&self) -> i64 {
        self.times.observed.saturating_sub(self.shape.retention).saturating_add(1)
    }

    /// The first segment that is not expired.
    pub(super) fn oldest_segment(&self) -> i64 {
        self.segment(self.times.observed.saturating_sub(self.shape.retention))
    }

    pub(super) fn is_live(&self, start: i64) -> bool {
        start >= self.oldest()
    }

    /// Moves the observed time on, and answers whether a window that starts at `start` is to be kept.
    pub(super) fn observe(&mut self, start: i64) -> bool {
        self.times.observed = self.times.observed.max(start);
        if self.exact { self.is_live(start) } else { self.segment(start) >= self.oldest_segment() }
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
