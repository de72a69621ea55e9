//! The log that the runtime stands on, as a few traits.
//!
//! ```text
//!   Broker ─┬─ admin()    → Admin           topics, end offsets, committed offsets, delete records
//!           ├─ producer() → Producer        transactional or idempotent, one per worker
//!           ├─ fetcher()  → Fetcher         assigned partitions at an isolation level, no group (restore)
//!           └─ member()   → Member          the group: who owns which partition, and the queues of what we own
//! ```
//! Two implementations: [`kafka`] and [`embedded`]; one set of contract tests runs on both. No call blocks: what takes
//! time answers a [`Ticket`], which may complete late, complete with its effect but without its answer
//! ([`ErrorClass::Unknown`]), or fail before the effect. Whoever waits passes a [`Wake`].

pub mod embedded;
pub mod kafka;

mod error;
mod member;
mod ticket;
mod types;

use std::sync::Arc;

pub use error::{BrokerError, ErrorClass};
pub use member::{Assigned, AssignedPartition, Member, MemberEvent, MemberSettings, Ownership};
pub use ticket::{Completer, Ticket, Wake};
pub use types::{
    Batch, Committed, Isolation, NewTopic, OffsetCommit, OutRecord, ProducerSettings, TopicDescription, TopicOutcome,
};

use millstream_state::model::{Position, TopicPartition};

/// A cluster that can be talked to.
pub trait Broker: Send + Sync {
    /// Topics and offsets.
    fn admin(&self) -> Arc<dyn Admin>;

    /// A producer; transactional if the settings have a transactional id.
    ///
    /// # Errors
    /// If the settings are refused.
    fn producer(&self, settings: ProducerSettings, wake: Wake) -> Result<Box<dyn Producer>, BrokerError>;

    /// A reader of assigned partitions.
    ///
    /// # Errors
    /// If the settings are refused.
    fn fetcher(&self, isolation: Isolation, wake: Wake) -> Result<Box<dyn Fetcher>, BrokerError>;

    /// A member of a group. It joins at once; what happens is told by [`Member::poll`].
    ///
    /// # Errors
    /// If the settings are refused.
    fn member(&self, settings: MemberSettings, wake: Wake) -> Result<Box<dyn Member>, BrokerError>;
}

/// Topics and offsets. All calls answer in the order of their arguments.
pub trait Admin: Send + Sync {
    /// What the topics are; `None` for one that does not exist.
    fn describe_topics(&self, topics: Vec<Arc<str>>) -> Ticket<Vec<Option<TopicDescription>>>;

    /// Creates topics; one that exists already is left as it is and reported as such.
    fn create_topics(&self, topics: Vec<NewTopic>) -> Ticket<Vec<TopicOutcome>>;

    /// Deletes topics; one that does not exist is not an error.
    fn delete_topics(&self, topics: Vec<Arc<str>>) -> Ticket<()>;

    /// The first offset still in each log.
    fn start_positions(&self, partitions: Vec<TopicPartition>) -> Ticket<Vec<Position>>;

    /// The end of each log: the high watermark for [`Isolation::ReadUncommitted`], the last stable offset for
    /// [`Isolation::ReadCommitted`].
    fn end_positions(&self, partitions: Vec<TopicPartition>, isolation: Isolation) -> Ticket<Vec<Position>>;

    /// What a group has committed. Waits (retries) while a transaction with offsets for a partition is open.
    fn committed(&self, group: &str, partitions: Vec<TopicPartition>) -> Ticket<Vec<Option<Committed>>>;

    /// Deletes the records before each position.
    fn delete_records(&self, before: Vec<(TopicPartition, Position)>) -> Ticket<()>;
}

/// A producer. Transactional calls are an error without a transactional id.
pub trait Producer: Send {
    /// Registers the transactional id: fences an older producer of that id and aborts or completes what it left open.
    /// Once per producer.
    fn init(&mut self) -> Ticket<()>;

    /// Begins a transaction; no round trip.
    ///
    /// # Errors
    /// If a transaction is open, or the producer is fenced.
    fn begin(&mut self) -> Result<(), BrokerError>;

    /// Takes a record into the send queue. `Ok(false)` means the queue is full: the record was not taken; try again
    /// after a wake.
    ///
    /// # Errors
    /// If the record cannot be sent (too large, unknown topic) or the producer failed for good.
    fn produce(&mut self, record: OutRecord<'_>) -> Result<bool, BrokerError>;

    /// Completes when every record taken so far is acknowledged, or fails with the first that was not.
    fn flush(&mut self) -> Ticket<()>;

    /// Adds input offsets to the transaction, under the ownership they were read with.
    fn send_offsets(&mut self, offsets: Vec<OffsetCommit>, ownership: &Ownership) -> Ticket<()>;

    /// Commits the transaction. After [`ErrorClass::Unknown`] it may be called again.
    fn commit(&mut self) -> Ticket<()>;

    /// Aborts the transaction and drops what is queued.
    fn abort(&mut self) -> Ticket<()>;
}

/// A reader of assigned partitions.
pub trait Fetcher: Send {
    /// Starts reading a partition at a position.
    ///
    /// # Errors
    /// If the partition is assigned already, or the handle failed for good.
    fn assign(&mut self, partition: &TopicPartition, from: Position) -> Result<Box<dyn PartitionQueue>, BrokerError>;

    /// Stops reading a partition; its queue must have been dropped.
    ///
    /// # Errors
    /// If the handle failed for good.
    fn unassign(&mut self, partition: &TopicPartition) -> Result<(), BrokerError>;
}

/// The records of one partition that have been fetched. Dropping it stops taking records, not the ownership.
pub trait PartitionQueue: Send {
    /// Takes up to `max` waiting records, never blocking; `None` if none is waiting. The wake given to the member or
    /// fetcher is called when records arrive in an empty queue.
    ///
    /// # Errors
    /// [`ErrorClass::OffsetOutOfRange`] if the position is not in the log; others as the fetch ended.
    fn drain(&mut self, max: usize) -> Result<Option<Box<dyn Batch>>, BrokerError>;

    /// Goes on at another position. Batches taken before are of no use then; waiting records are dropped.
    ///
    /// # Errors
    /// If the handle failed for good.
    fn seek(&mut self, to: Position) -> Result<(), BrokerError>;

    /// What will be read next: after the last record drained, and after the control records that followed it, as far
    /// as the fetch has told. Only moves past control records when nothing is waiting.
    fn position(&self) -> Position;

    /// The last known end at the reader's isolation level; `None` until the first fetch has answered.
    fn end(&self) -> Option<Position>;

    /// Sets whom to wake when records arrive: the worker that now owns the partition.
    fn set_wake(&mut self, wake: Wake);
}
