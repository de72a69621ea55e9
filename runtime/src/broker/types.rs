//! What goes in and out of the broker seam.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_state::model::{Headers, Position, RawRecord, Timestamp, TopicId, TopicPartition};

/// Which records a reader sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// Only those of committed transactions, up to the last stable offset.
    ReadCommitted,
    /// All, up to the high watermark.
    ReadUncommitted,
}

/// A topic as the broker describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// The topic's name.
    pub name: Arc<str>,
    /// The topic's id.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: i32,
    /// All its settings, defaults included, as the broker writes them (`retention.ms` → `604800000`).
    pub config: BTreeMap<String, String>,
}

/// A topic to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// The topic's name.
    pub name: Arc<str>,
    /// How many partitions.
    pub partitions: i32,
    /// On how many brokers; `None` takes the broker's default.
    pub replication: Option<i16>,
    /// Settings over the broker's defaults.
    pub config: BTreeMap<String, String>,
}

/// What became of a topic that was to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicOutcome {
    /// It is new.
    Created,
    /// It was there already.
    Existed,
    /// The broker refused; its words.
    Refused(String),
}

/// A committed position of a group, with the text that was committed beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// What to read next.
    pub position: Position,
    /// The commit's metadata.
    pub metadata: String,
}

/// A position to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommit {
    /// The partition.
    pub partition: TopicPartition,
    /// What to read next.
    pub position: Position,
    /// Text to keep beside it: at most 4096 bytes.
    pub metadata: String,
}

/// How a producer is made.
#[derive(Clone, Debug)]
pub struct ProducerSettings {
    /// For logs and quotas.
    pub client_id: String,
    /// Makes the producer transactional.
    pub transactional_id: Option<String>,
    /// After this long without an end the broker aborts a transaction.
    pub transaction_timeout: Duration,
}

/// A record to be sent.
#[derive(Clone, Copy, Debug)]
pub struct OutRecord<'a> {
    /// The topic.
    pub topic: &'a Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The record's time; `None` lets the producer take the present.
    pub timestamp: Option<Timestamp>,
    /// The key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is null.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: &'a Headers,
}

/// Records that were fetched together, borrowed from the client's buffers. Dropping it frees them.
pub trait Batch: Send {
    /// How many records there are; at least one.
    fn len(&self) -> usize;

    /// Whether there is none; never so for a batch that was drained.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The record at `index`, counted from 0; in offset order. `index` must be below [`Batch::len`].
    fn get(&self, index: usize) -> RawRecord<'_>;
}
