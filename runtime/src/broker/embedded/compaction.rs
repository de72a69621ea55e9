//! Log compaction: of each key only the last value stays, and tombstones go when they are old enough.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::super::Isolation;
use super::log::PartitionLog;
use super::segment::{Kind, Segment};

impl PartitionLog {
    /// Compacts the segments below the last stable offset; the open one only if asked to. `now` and `delete_retention`
    /// are in milliseconds of wall-clock time; a tombstone goes that long after compaction first passed it.
    pub(super) fn compact(&mut self, now: i64, delete_retention: i64, open_too: bool) {
        let stable = self.end(Isolation::ReadCommitted);
        let closed = self
            .segments
            .iter()
            .take(self.segments.len().saturating_sub(usize::from(!open_too)))
            .take_while(|segment| segment.last_offset().is_some_and(|last| last < stable))
            .count();
        let cleaned: Vec<Arc<Segment>> = {
            let latest = self.latest(closed);
            let clean = |segment: &Arc<Segment>| self.clean(segment, &latest, (now, delete_retention));
            self.segments.iter().take(closed).map(clean).collect()
        };
        for (index, segment) in cleaned.into_iter().enumerate() {
            self.segments[index] = segment;
        }
        self.segments.retain(|segment| !segment.entries().is_empty());
    }

    fn latest(&self, closed: usize) -> FxHashMap<&[u8], i64> {
        let mut latest = FxHashMap::default();
        for segment in self.segments.iter().take(closed) {
            for entry in segment.entries().iter().filter(|entry| entry.kind == Kind::Data) {
                if let Some(key) = segment.key(entry)
                    && !self.is_aborted(entry.producer(), entry.offset)
                {
                    latest.insert(key, entry.offset);
                }
            }
        }
        latest
    }

    fn clean(&self, segment: &Arc<Segment>, latest: &FxHashMap<&[u8], i64>, time: (i64, i64)) -> Arc<Segment> {
        let (now, delete_retention) = time;
        let tombstones_go = segment.cleaned_at.is_some_and(|cleaned| now - cleaned > delete_retention);
        let stays = |entry: &super::segment::Entry| {
            let current = segment.key(entry).and_then(|key| latest.get(key)) == Some(&entry.offset);
            current && !(entry.is_tombstone() && tombstones_go)
        };
        let mut kept = segment.filtered(stays);
        kept.cleaned_at = segment.cleaned_at.or(Some(now));
        Arc::new(kept)
    }
}
