//! Records as they are read from the log, and the parts that travel with them.

use std::sync::Arc;

use bytes::Bytes;

use super::{Offset, Timestamp};

/// One record header: a name and, unless it is null, a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The header's name.
    pub name: Arc<str>,
    /// The header's value; `None` is Kafka's null.
    pub value: Option<Bytes>,
}

/// The headers of a record, in order; names may repeat. Empty headers hold no memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<Header>);

impl Headers {
    /// No headers.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a header at the end.
    pub fn add(&mut self, name: impl Into<Arc<str>>, value: Option<Bytes>) {
        self.0.push(Header { name: name.into(), value });
    }

    /// Removes every header of this name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|header| &*header.name != name);
    }

    /// The last header of this name.
    pub fn last(&self, name: &str) -> Option<&Header> {
        self.0.iter().rev().find(|header| &*header.name == name)
    }

    /// All headers in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Header> {
        self.0.iter()
    }

    /// How many headers there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One record as it lies in the log; key and value are borrowed from the fetch buffer.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    /// Where it is in its partition.
    pub offset: Offset,
    /// The record's own time, by the topic's `message.timestamp.type`.
    pub timestamp: Timestamp,
    /// The key's bytes; `None` is Kafka's null.
    pub key: Option<&'a [u8]>,
    /// The value's bytes; `None` is Kafka's null.
    pub value: Option<&'a [u8]>,
    /// The record's headers.
    pub headers: &'a Headers,
}

/// Which input record is being processed: Kafka Streams' record context.
#[derive(Clone, Debug)]
pub struct RecordContext {
    /// The input topic.
    pub topic: Arc<str>,
    /// The input partition.
    pub partition: i32,
    /// The record's offset.
    pub offset: Offset,
    /// The record's timestamp, as the timestamp extractor gave it.
    pub timestamp: Timestamp,
    /// The record's headers.
    pub headers: Headers,
}

impl RecordContext {
    /// Becomes a copy of `other`, without touching the count of a topic that is the same.
    pub(crate) fn clone_from_record(&mut self, other: &Self) {
        if !Arc::ptr_eq(&self.topic, &other.topic) {
            self.topic = other.topic.clone();
        }
        self.partition = other.partition;
        self.offset = other.offset;
        self.timestamp = other.timestamp;
        if !(self.headers.is_empty() && other.headers.is_empty()) {
            self.headers.clone_from(&other.headers);
        }
    }
}

impl Default for RecordContext {
    fn default() -> Self {
        Self {
            topic: Arc::from(""),
            partition: -1,
            offset: Offset::new(-1),
            timestamp: Timestamp::UNKNOWN,
            headers: Headers::new(),
        }
    }
}
