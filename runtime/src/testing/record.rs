//! Records as a test hands them in and reads them back.

use millstream_state::model::{Headers, Timestamp};

/// A record with typed key and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestRecord<K, V> {
    /// The key.
    pub key: K,
    /// The value.
    pub value: V,
    /// The record's time.
    pub timestamp: Timestamp,
    /// The record's headers.
    pub headers: Headers,
}

impl<K, V> TestRecord<K, V> {
    /// A record of this time without headers.
    pub fn new(key: K, value: V, timestamp: Timestamp) -> Self {
        Self { key, value, timestamp, headers: Headers::new() }
    }
}

/// A record as bytes, as it lies in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawTestRecord {
    /// The key's bytes; `None` is Kafka's null.
    pub key: Option<Vec<u8>>,
    /// The value's bytes; `None` is Kafka's null.
    pub value: Option<Vec<u8>>,
    /// The record's time; `None` where the writer left it to the producer.
    pub timestamp: Option<Timestamp>,
    /// The record's headers.
    pub headers: Headers,
}

/// What waits in the buffer of a suppression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestBuffer {
    /// How many keys wait.
    pub records: usize,
    /// How many bytes they count for.
    pub bytes: usize,
    /// The smallest time of all; `None` if nothing waits.
    pub first_time: Option<Timestamp>,
}

/// A key and a value as a store keeps them.
pub type RawEntry = (Vec<u8>, Vec<u8>);
