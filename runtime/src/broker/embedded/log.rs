//! One partition's log: segments, the transactions that are open or were aborted in it, and who waits for its records.
//!
//! ```text
//!   start ──[segment]──[segment]──[open segment]── next offset = high watermark
//!                          ^ last stable offset = first record of the oldest open transaction
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::{Isolation, OutRecord, Wake};
use super::segment::{Kind, Place, Run, Segment, size};

/// A transaction that was aborted: its records between these offsets are invisible to read_committed.
#[derive(Clone, Copy, Debug)]
struct Aborted {
    producer: u32,
    first: i64,
    marker: i64,
}

/// Who reads the partition, and from where on news is of interest.
#[derive(Debug)]
struct Reader {
    id: u64,
    isolation: Isolation,
    wake: Wake,
    /// Set while the reader has seen everything before this offset.
    waiting_at: Option<i64>,
}

/// What a read found.
#[derive(Debug)]
pub(super) struct Found {
    /// Visible records, if there are any.
    pub(super) run: Option<Run>,
    /// Where to go on.
    pub(super) next: i64,
}

/// The position is not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutOfRange {
    pub(super) start: i64,
    pub(super) end: i64,
}

/// One partition's log.
#[derive(Debug, Default)]
pub(super) struct PartitionLog {
    /// In offset order; none is empty but perhaps the last.
    pub(super) segments: VecDeque<Arc<Segment>>,
    start: i64,
    next: i64,
    /// Producers with an open transaction here, with its first offset.
    open: Vec<(u32, i64)>,
    /// By marker.
    aborted: Vec<Aborted>,
    readers: Vec<Reader>,
    waiting: usize,
}

impl PartitionLog {
    pub(super) fn start(&self) -> i64 {
        self.start
    }

    pub(super) fn high_watermark(&self) -> i64 {
        self.next
    }

    pub(super) fn end(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::ReadUncommitted => self.next,
            Isolation::ReadCommitted => {
                let stable = self.open.iter().map(|(_, first)| *first).fold(self.next, i64::min);
                // Records of an open transaction may have been deleted already.
                stable.max(self.start)
            }
        }
    }

    /// Whether this producer has a transaction open here.
    pub(super) fn has_open(&self, producer: u32) -> bool {
        self.open.iter().any(|(open, _)| *open == producer)
    }

    /// Appends a record; with a producer it belongs to that producer's transaction.
    pub(super) fn append(&mut self, record: &OutRecord<'_>, timestamp: i64, producer: Option<u32>) -> i64 {
        let offset = self.next;
        if let Some(producer) = producer.filter(|producer| !self.has_open(*producer)) {
            self.open.push((producer, offset));
        }
        let place = Place { offset, timestamp, producer };
        self.writable(size(record)).append(place, record.key, record.value, record.headers);
        self.next += 1;
        offset
    }

    /// Ends a producer's transaction with a marker, which takes an offset.
    pub(super) fn end_transaction(&mut self, producer: u32, timestamp: i64, kind: Kind) {
        let marker = self.next;
        if let Some(index) = self.open.iter().position(|(open, _)| *open == producer) {
            let (_, first) = self.open.swap_remove(index);
            if kind == Kind::Abort {
                self.aborted.push(Aborted { producer, first, marker });
            }
        }
        let place = Place { offset: marker, timestamp, producer: Some(producer) };
        self.writable(0).append_control(place, kind);
        self.next += 1;
    }

    fn writable(&mut self, more: usize) -> &mut Segment {
        // A segment that a reader holds, or that is full, is left as it is.
        let usable = self.segments.back_mut().and_then(Arc::get_mut).is_some_and(|last| !last.is_full(more));
        if !usable {
            self.segments.push_back(Arc::default());
        }
        let last = self.segments.len() - 1;
        // Unshared by the check above, or new: `make_mut` would never copy, but needs `Clone`.
        match Arc::get_mut(&mut self.segments[last]) {
            Some(segment) => segment,
            None => unreachable!("the last segment was found unshared under the cluster's lock"),
        }
    }

    /// Reads up to `max` neighbouring visible records.
    pub(super) fn read(&self, from: i64, isolation: Isolation, max: usize) -> Result<Found, OutOfRange> {
        if from < self.start || from > self.next {
            return Err(OutOfRange { start: self.start, end: self.next });
        }
        let limit = self.end(isolation);
        let aborted = match isolation {
            Isolation::ReadCommitted => &self.aborted[self.aborted.partition_point(|gone| gone.marker < from)..],
            Isolation::ReadUncommitted => &[],
        };
        let first = self.segments.partition_point(|segment| segment.last_offset().is_some_and(|last| last < from));
        for segment in self.segments.range(first..) {
            let entries = segment.entries();
            let end = entries.partition_point(|entry| entry.offset < limit);
            let visible = |index: &usize| {
                let entry = &entries[*index];
                entry.kind == Kind::Data && (aborted.is_empty() || !is_aborted(aborted, entry.producer(), entry.offset))
            };
            let begin = entries.partition_point(|entry| entry.offset < from);
            if let Some(begin) = (begin..end).find(visible) {
                let most = end.min(begin.saturating_add(max));
                let end = (begin + 1..most).find(|index| !visible(index)).unwrap_or(most);
                let next = entries[end - 1].offset + 1;
                return Ok(Found { run: Some(Run { segment: segment.clone(), range: begin..end }), next });
            }
        }
        Ok(Found { run: None, next: limit.max(from) })
    }

    /// Moves the start of the log on and frees what lies before it.
    pub(super) fn delete_before(&mut self, position: i64) {
        self.start = self.start.max(position.min(self.next));
        while self.segments.front().and_then(|segment| segment.last_offset()).is_some_and(|last| last < self.start) {
            self.segments.pop_front();
        }
        let start = self.start;
        self.aborted.retain(|gone| gone.marker >= start);
    }

    /// Frees the oldest segments in which no record is younger than `oldest`. The open segment is no exception: Kafka
    /// rolls it first, with the same result.
    pub(super) fn expire(&mut self, oldest: i64) -> bool {
        let expired = self.segments.iter().take_while(|segment| segment.max_timestamp() < oldest).count();
        let Some(last) = expired.checked_sub(1).and_then(|last| self.segments[last].last_offset()) else {
            return false;
        };
        self.delete_before(last + 1);
        true
    }

    /// Whether a record is invisible to everybody who reads committed data.
    pub(super) fn is_aborted(&self, producer: Option<u32>, offset: i64) -> bool {
        is_aborted(&self.aborted, producer, offset)
    }

    pub(super) fn subscribe(&mut self, id: u64, isolation: Isolation, wake: Wake) {
        self.readers.push(Reader { id, isolation, wake, waiting_at: None });
    }

    pub(super) fn unsubscribe(&mut self, id: u64) {
        self.readers.retain(|reader| reader.id != id);
        self.waiting = self.readers.iter().filter(|reader| reader.waiting_at.is_some()).count();
    }

    /// Replaces a reader's wake.
    pub(super) fn set_wake(&mut self, id: u64, wake: &Wake) {
        for reader in self.readers.iter_mut().filter(|reader| reader.id == id) {
            reader.wake = wake.clone();
        }
    }

    /// Notes that a reader has seen everything before `position`, so that it is woken by what comes after.
    pub(super) fn wait(&mut self, id: u64, position: i64) {
        for reader in self.readers.iter_mut().filter(|reader| reader.id == id) {
            self.waiting += usize::from(reader.waiting_at.is_none());
            reader.waiting_at = Some(position);
        }
    }

    /// The wakes of the waiting readers for whom there is news; they wait no longer.
    pub(super) fn news(&mut self, woken: &mut Vec<Wake>) {
        if self.waiting == 0 {
            return;
        }
        let (committed, uncommitted) = (self.end(Isolation::ReadCommitted), self.next);
        for reader in &mut self.readers {
            let end = if reader.isolation == Isolation::ReadCommitted { committed } else { uncommitted };
            if reader.waiting_at.is_some_and(|at| at < end || at < self.start) {
                reader.waiting_at = None;
                self.waiting -= 1;
                woken.push(reader.wake.clone());
            }
        }
    }

    /// All readers' wakes, for when the log goes away.
    pub(super) fn everybody(&self) -> impl Iterator<Item = Wake> {
        self.readers.iter().map(|reader| reader.wake.clone())
    }
}

fn is_aborted(aborted: &[Aborted], producer: Option<u32>, offset: i64) -> bool {
    producer.is_some_and(|producer| {
        aborted.iter().any(|gone| gone.producer == producer && gone.first <= offset && offset < gone.marker)
    })
}
