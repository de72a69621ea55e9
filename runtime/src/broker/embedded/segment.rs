//! A run of records in memory: one list of entries over one arena of bytes, so that a record costs no allocation.

use std::ops::Range;

use millstream_state::model::{Headers, Offset, RawRecord, Timestamp};

use super::super::{Batch, OutRecord};

/// A segment is closed when it holds this many bytes of keys and values.
const SEGMENT_BYTES: usize = 1 << 20;
/// A segment is closed when it holds this many records.
const SEGMENT_RECORDS: usize = 1 << 14;
/// Stands for null, for "no headers" and for "no producer".
const NONE: u32 = u32::MAX;

static NO_HEADERS: Headers = Headers::new();

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A record.
    Data,
    /// The marker of a committed transaction.
    Commit,
    /// The marker of an aborted transaction.
    Abort,
}

/// Everything about a record but its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) offset: i64,
    pub(super) timestamp: i64,
    producer: u32,
    start: u32,
    key: u32,
    value: u32,
    headers: u32,
    pub(super) kind: Kind,
}

impl Entry {
    /// The transactional producer that wrote it.
    pub(super) fn producer(&self) -> Option<u32> {
        (self.producer != NONE).then_some(self.producer)
    }

    pub(super) fn is_tombstone(&self) -> bool {
        self.kind == Kind::Data && self.value == NONE
    }
}

/// A run of records in offset order. Readers share closed and open segments alike; the log appends to one only while
/// nobody else holds it, and starts another otherwise.
#[derive(Debug, Default)]
pub(super) struct Segment {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    headers: Vec<Headers>,
    max_timestamp: i64,
    /// When compaction first passed, in broker wall-clock time: from then on tombstones age.
    pub(super) cleaned_at: Option<i64>,
}

/// Where an entry goes and who wrote it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) offset: i64,
    pub(super) timestamp: i64,
    pub(super) producer: Option<u32>,
}

impl Segment {
    pub(super) fn append(&mut self, place: Place, key: Option<&[u8]>, value: Option<&[u8]>, headers: &Headers) {
        let start = self.bytes.len() as u32;
        let headers = if headers.is_empty() {
            NONE
        } else {
            self.headers.push(headers.clone());
            (self.headers.len() - 1) as u32
        };
        let mut copy = |bytes: Option<&[u8]>| {
            bytes.map_or(NONE, |bytes| {
                self.bytes.extend_from_slice(bytes);
                bytes.len() as u32
            })
        };
        let (key, value) = (copy(key), copy(value));
        self.push(Entry { start, key, value, headers, ..Self::bare(place, Kind::Data) });
    }

    pub(super) fn append_control(&mut self, place: Place, kind: Kind) {
        self.push(Self::bare(place, kind));
    }

    fn bare(place: Place, kind: Kind) -> Entry {
        Entry {
            offset: place.offset,
            timestamp: place.timestamp,
            producer: place.producer.unwrap_or(NONE),
            start: 0,
            key: NONE,
            value: NONE,
            headers: NONE,
            kind,
        }
    }

    fn push(&mut self, entry: Entry) {
        self.max_timestamp =
            if self.entries.is_empty() { entry.timestamp } else { self.max_timestamp.max(entry.timestamp) };
        self.entries.push(entry);
    }

    /// Whether it takes no more of this size.
    pub(super) fn is_full(&self, more: usize) -> bool {
        self.entries.len() >= SEGMENT_RECORDS || (!self.entries.is_empty() && self.bytes.len() + more > SEGMENT_BYTES)
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn max_timestamp(&self) -> i64 {
        self.max_timestamp
    }

    pub(super) fn last_offset(&self) -> Option<i64> {
        self.entries.last().map(|entry| entry.offset)
    }

    pub(super) fn key(&self, entry: &Entry) -> Option<&[u8]> {
        let start = entry.start as usize;
        (entry.key != NONE).then(|| &self.bytes[start..start + entry.key as usize])
    }

    fn value(&self, entry: &Entry) -> Option<&[u8]> {
        let start = entry.start as usize + if entry.key == NONE { 0 } else { entry.key as usize };
        (entry.value != NONE).then(|| &self.bytes[start..start + entry.value as usize])
    }

    pub(super) fn record(&self, entry: &Entry) -> RawRecord<'_> {
        RawRecord {
            offset: Offset::new(entry.offset),
            timestamp: Timestamp::from_millis(entry.timestamp),
            key: self.key(entry),
            value: self.value(entry),
            headers: if entry.headers == NONE { &NO_HEADERS } else { &self.headers[entry.headers as usize] },
        }
    }

    /// A copy with only the data records that `keep` wants.
    pub(super) fn filtered(&self, mut keep: impl FnMut(&Entry) -> bool) -> Self {
        let mut kept = Self { cleaned_at: self.cleaned_at, ..Self::default() };
        for entry in self.entries.iter().filter(|entry| entry.kind == Kind::Data && keep(entry)) {
            let record = self.record(entry);
            let place = Place { offset: entry.offset, timestamp: entry.timestamp, producer: entry.producer() };
            kept.append(place, record.key, record.value, record.headers);
        }
        kept
    }
}

/// How many bytes a record takes of a segment.
pub(super) fn size(record: &OutRecord<'_>) -> usize {
    record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len)
}

/// Neighbouring records of one segment, shared with the log and not copied.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) segment: std::sync::Arc<Segment>,
    pub(super) range: Range<usize>,
}

impl Batch for Run {
    fn len(&self) -> usize {
        self.range.len()
    }

    fn get(&self, index: usize) -> RawRecord<'_> {
        self.segment.record(&self.segment.entries[self.range.clone()][index])
    }
}
