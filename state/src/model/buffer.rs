//! Records on their way out, kept as values until the worker hands them to a producer.
//!
//! ```text
//!  operator --append(target, …)--> [ metas | one arena of bytes ] --iter--> producer
//! ```
//! Keys and values are encoded straight into one arena, so that a record costs no allocation of its own.

use std::ops::Range;

use super::{Headers, Timestamp};

/// Everything about a buffered record but its bytes.
#[derive(Clone, Copy, Debug)]
pub struct RecordMeta {
    /// Where it goes: the index of a sink, or of a store for changelog records.
    pub target: u32,
    /// The partition, where a partitioner chose one; otherwise the key's hash decides.
    pub partition: Option<i32>,
    /// The record's timestamp; `None` leaves it to the producer (as Kafka Streams does for suppress buffers).
    pub timestamp: Option<Timestamp>,
}

/// A record borrowed from the buffer.
#[derive(Clone, Copy, Debug)]
pub struct BufferedRecord<'a> {
    /// Target, partition and timestamp.
    pub meta: RecordMeta,
    /// The key's bytes; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The value's bytes; `None` is null.
    pub value: Option<&'a [u8]>,
    /// The record's headers.
    pub headers: &'a Headers,
}

#[derive(Debug)]
struct Entry {
    meta: RecordMeta,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    /// Index into `headers`, for the few records that have any.
    headers: Option<u32>,
}

/// An append-only list of records over one arena of bytes.
#[derive(Debug, Default)]
pub struct RecordBuffer {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    headers: Vec<Headers>,
}

static NO_HEADERS: Headers = Headers::new();

impl RecordBuffer {
    /// Appends a record whose key and value are written by the closures straight into the arena; a closure that
    /// answers `Ok(false)` means null, and whatever it wrote is dropped.
    ///
    /// # Errors
    /// What a closure answers; the record is then not appended.
    pub fn append_with<E>(
        &mut self,
        meta: RecordMeta,
        headers: &Headers,
        key: impl FnOnce(&mut Vec<u8>) -> Result<bool, E>,
        value: impl FnOnce(&mut Vec<u8>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let begin = self.bytes.len();
        let written = Self::write(&mut self.bytes, key)
            .and_then(|key| Self::write(&mut self.bytes, value).map(|value| (key, value)));
        match written {
            Ok((key, value)) => {
                let headers = (!headers.is_empty()).then(|| {
                    self.headers.push(headers.clone());
                    (self.headers.len() - 1) as u32
                });
                self.entries.push(Entry { meta, key, value, headers });
                Ok(())
            }
            Err(error) => {
                self.bytes.truncate(begin);
                Err(error)
            }
        }
    }

    /// Appends a record whose bytes exist already.
    pub fn append(&mut self, meta: RecordMeta, headers: &Headers, key: Option<&[u8]>, value: Option<&[u8]>) {
        let copy = |bytes: Option<&[u8]>, arena: &mut Vec<u8>| match bytes {
            Some(bytes) => {
                arena.extend_from_slice(bytes);
                Ok::<_, std::convert::Infallible>(true)
            }
            None => Ok(false),
        };
        match self.append_with(meta, headers, |arena| copy(key, arena), |arena| copy(value, arena)) {
            Ok(()) => {}
            Err(never) => match never {},
        }
    }

    fn write<E>(
        bytes: &mut Vec<u8>,
        fill: impl FnOnce(&mut Vec<u8>) -> Result<bool, E>,
    ) -> Result<Option<Range<usize>>, E> {
        let begin = bytes.len();
        if fill(bytes)? {
            Ok(Some(begin..bytes.len()))
        } else {
            bytes.truncate(begin);
            Ok(None)
        }
    }

    /// The record at `index`, counted from 0 since the last `clear`.
    pub fn get(&self, index: usize) -> Option<BufferedRecord<'_>> {
        self.entries.get(index).map(|entry| self.view(entry))
    }

    /// The records in the order in which they were appended.
    pub fn iter(&self) -> impl Iterator<Item = BufferedRecord<'_>> {
        self.entries.iter().map(|entry| self.view(entry))
    }

    fn view<'a>(&'a self, entry: &'a Entry) -> BufferedRecord<'a> {
        BufferedRecord {
            meta: entry.meta,
            key: entry.key.clone().map(|range| &self.bytes[range]),
            value: entry.value.clone().map(|range| &self.bytes[range]),
            headers: entry.headers.map_or(&NO_HEADERS, |index| &self.headers[index as usize]),
        }
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many bytes of keys and values are held.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets all records, keeping the memory for the next ones.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.headers.clear();
    }
}
