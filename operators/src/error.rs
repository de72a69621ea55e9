//! What can go wrong while a topology is built, and while a record goes through it.

use std::sync::Arc;

use millstream_state::error::{BoxError, SerdeError, StateError};

/// A record could not be processed. The task adds topic, partition and offset.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The key or value of an input record could not be decoded; the deserialization handler decides what follows.
    #[error("the {what} of a record for {node} is not {source}")]
    Decode {
        /// The source node.
        node: Arc<str>,
        /// `key` or `value`.
        what: &'static str,
        /// Why.
        source: SerdeError,
    },
    /// The key or value of an output record could not be encoded.
    #[error("{node} could not encode the {what} of its output: {source}")]
    Encode {
        /// The sink or repartition node.
        node: Arc<str>,
        /// `key` or `value`.
        what: &'static str,
        /// Why.
        source: SerdeError,
    },
    /// A record's timestamp is invalid and the timestamp extractor says to fail.
    #[error("{node} got a record with the invalid timestamp {timestamp}; use another timestamp extractor to go on")]
    Timestamp {
        /// The source node.
        node: Arc<str>,
        /// The timestamp.
        timestamp: i64,
    },
    /// A store failed.
    #[error("{node}: {source}")]
    State {
        /// The node that owns or uses the store.
        node: Arc<str>,
        /// Why.
        source: StateError,
    },
    /// A processor forwards to a child that it does not have.
    #[error("{node} has no child {child} to forward to; it has {known}")]
    UnknownChild {
        /// The processor.
        node: Arc<str>,
        /// The child it named.
        child: String,
        /// The children there are.
        known: String,
    },
    /// A suppression has to hold back more than its buffer may hold, and is told to stop then.
    #[error(
        "the buffer of {node} is full: it holds {records} of {max_records} records and {bytes} of {max_bytes} bytes; \
         give it more room, or let it emit early"
    )]
    BufferFull {
        /// The node.
        node: Arc<str>,
        /// How many records it holds.
        records: usize,
        /// How many it may hold.
        max_records: usize,
        /// How many bytes it holds.
        bytes: usize,
        /// How many it may hold.
        max_bytes: usize,
    },
    /// A record without a key has come where it would have to wait by its key.
    #[error("{node} cannot hold back a record without a key until its grace period ends; drop such records before")]
    NullKey {
        /// The node.
        node: Arc<str>,
    },
    /// The user's function refused the record.
    #[error("{node} refused the record: {source}")]
    User {
        /// The node.
        node: Arc<str>,
        /// Why.
        source: BoxError,
    },
}

/// A topology that cannot run.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Two nodes have one name.
    #[error("two nodes are named {name}; give one of them another name")]
    DuplicateNode {
        /// The name.
        name: String,
    },
    /// Two stores have one name.
    #[error("two stores are named {name} (used by {nodes}); give one of them another name")]
    DuplicateStore {
        /// The name.
        name: String,
        /// The nodes that use them.
        nodes: String,
    },
    /// A name that Kafka does not take for a topic.
    #[error("{node}: {name:?} cannot be (part of) a topic name: {reason}")]
    BadName {
        /// The node at fault.
        node: String,
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// One topic is read by two sources that disagree.
    #[error("topic {topic} is read by {first} and by {second}; read it once and use the stream twice")]
    TopicReadTwice {
        /// The topic.
        topic: String,
        /// The node that came first.
        first: String,
        /// The node that came second.
        second: String,
    },
    /// A node refers to another that does not exist, or is of another type.
    #[error("{node} refers to {missing}, which {reason}")]
    BadReference {
        /// The node at fault.
        node: String,
        /// What it refers to.
        missing: String,
        /// What is wrong.
        reason: String,
    },
    /// A setting that cannot work.
    #[error("{node}: {reason}")]
    BadSetting {
        /// The node at fault.
        node: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// Stores or internal topics have generated names, and the settings refuse them.
    #[error(
        "generated names change with the program and are refused by require_explicit_names; name these: {resources}"
    )]
    GeneratedNames {
        /// Each node with its stores and topics that have generated names.
        resources: String,
    },
    /// Nothing is read.
    #[error("the topology has no source; start with StreamsBuilder::stream or StreamsBuilder::table")]
    Empty,
}
