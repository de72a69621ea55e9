//! What can be set, each with its default.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use millstream_operators::topology::OffsetReset;

use crate::task::{DeserializationHandler, IdlePolicy, PanicHandler, ProcessingHandler, TaskRules};

/// How often a record may be counted (`processing.guarantee`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// State, output and input offsets are committed in one Kafka transaction.
    ExactlyOnce {
        /// After this long without an end the broker aborts a transaction; also how long a killed instance that never
        /// comes back can hold up readers.
        transaction_timeout: Duration,
    },
    /// The same path without the transaction: after a crash records may be processed again.
    AtLeastOnce,
}

/// State, output and input offsets are committed in one Kafka transaction, which times out after 10 seconds.
#[allow(non_upper_case_globals, reason = "reads like a variant in a builder chain")]
pub const ExactlyOnce: Guarantee = Guarantee::ExactlyOnce { transaction_timeout: Duration::from_secs(10) };

/// Records may be processed again after a crash.
#[allow(non_upper_case_globals, reason = "reads like a variant in a builder chain")]
pub const AtLeastOnce: Guarantee = Guarantee::AtLeastOnce;

/// Where an instance keeps its identity and its stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateDir {
    /// This directory, for this process alone.
    Exactly(PathBuf),
    /// The first directory below this one that no live process holds (`slot-0`, `slot-1`, …): several processes on one
    /// machine can share the setting, and one that is started again after a crash finds its state.
    Slot(PathBuf),
}

/// Records that wait to be sent, per worker: a bound of the Kafka client that is not a setting.
pub(crate) const TO_SEND: usize = 60 << 20;

/// Bounds of memory. The sum of what they allow is logged at start.
///
/// The most that a process has resident is `record_cache + rows + block_cache + workers × (uncommitted + 60 MiB of records to
/// be sent) + input partitions × fetched_per_partition`, and about 70 MiB for the program and the Kafka client. With the
/// defaults, one worker and four partitions that is 256 MiB, whatever the number of keys and however slow the broker.
/// It holds for records that are small beside these bounds, and does not count what the program's own code keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Typed record caches of all stores together (`statestore.cache.max.bytes`). Zero turns caching off.
    pub record_cache: usize,
    /// Copies of rows that were written or looked up lately, and where the journals before RocksDB have the others: 8 to 15
    /// bytes for each key. Shared by all tasks. With zero every commit is written to RocksDB at once. (The journals take up
    /// to 512 MiB of the disk, those of all tasks together.)
    pub rows: usize,
    /// RocksDB's block cache, shared by all tasks; the write buffers are charged to it.
    pub block_cache: usize,
    /// RocksDB's write buffers, shared by all tasks.
    pub write_buffers: usize,
    /// Uncommitted changes of a worker: a transaction is committed early when it passes this.
    pub uncommitted: usize,
    /// Fetched records that wait, per input partition.
    pub fetched_per_partition: usize,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self {
            record_cache: 10 << 20,
            rows: 40 << 20,
            block_cache: 28 << 20,
            write_buffers: 24 << 20,
            uncommitted: 32 << 20,
            fetched_per_partition: 4 << 20,
        }
    }
}

/// The settings of an application.
///
/// ```
/// use millstream::prelude::*;
/// use std::time::Duration;
///
/// let config = StreamsConfig::new("word-count", "localhost:9092")
///     .processing_guarantee(ExactlyOnce)
///     .commit_interval(Duration::from_millis(100))
///     .workers(2);
/// assert_eq!(config.application_id, "word-count");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamsConfig {
    /// The application's name: its consumer group, and the prefix of its internal topics and transactional ids.
    pub application_id: String,
    /// `host:port`, comma-separated.
    pub bootstrap_servers: String,
    /// How often a record may be counted. Default: exactly once.
    pub guarantee: Guarantee,
    /// How often to commit. Default: 100 ms under exactly-once; 30 s under at-least-once, as in Kafka Streams.
    pub commit_interval: Option<Duration>,
    /// How long to wait at start for a cluster that does not answer. Default: 60 s.
    pub startup_timeout: Duration,
    /// How many worker threads. Default: the number of cores.
    pub workers: usize,
    /// Where state is kept. Default: a slot in the system's directory for temporary files.
    pub state_dir: StateDir,
    /// After this long without a sign of life an instance's tasks go to others. Default: 45 s.
    pub session_timeout: Duration,
    /// After this long without progress an instance gives up its tasks. Default: 5 min.
    pub max_poll_interval: Duration,
    /// Where to begin in a topic without a committed offset. Default: at the oldest record.
    pub offset_reset: OffsetReset,
    /// What to do with a record that cannot be decoded. Default: stop.
    pub undecodable: DeserializationHandler,
    /// What to do with a record that the program's own code refuses. Default: stop.
    pub refused: ProcessingHandler,
    /// What to do when the program's own code panics. Default: stop.
    pub panics: PanicHandler,
    /// How long a task waits for an input without records. Default: zero.
    pub max_task_idle: IdlePolicy,
    /// Replication of internal topics; `None` takes the broker's default.
    pub replication: Option<i16>,
    /// How often processed records are deleted from repartition topics. Default: 30 s.
    pub repartition_purge_interval: Duration,
    /// Kept in a window store's changelog beyond the store's retention. Default: one day.
    pub window_changelog_grace: Duration,
    /// Bounds of memory.
    pub memory: MemoryLimits,
    /// Properties passed to the Kafka client as they are. Those that Millstream's guarantees rest on are refused.
    pub client_properties: Vec<(String, String)>,
}

impl StreamsConfig {
    /// The defaults for an application.
    pub fn new(application_id: impl Into<String>, bootstrap_servers: impl Into<String>) -> Self {
        Self {
            application_id: application_id.into(),
            bootstrap_servers: bootstrap_servers.into(),
            guarantee: ExactlyOnce,
            commit_interval: None,
            startup_timeout: Duration::from_secs(60),
            workers: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            state_dir: StateDir::Slot(std::env::temp_dir().join("millstream")),
            session_timeout: Duration::from_secs(45),
            max_poll_interval: Duration::from_secs(300),
            offset_reset: OffsetReset::Earliest,
            undecodable: DeserializationHandler::Fail,
            refused: ProcessingHandler::Fail,
            panics: PanicHandler::Fail,
            max_task_idle: IdlePolicy::default(),
            replication: None,
            repartition_purge_interval: Duration::from_secs(30),
            window_changelog_grace: Duration::from_secs(24 * 60 * 60),
            memory: MemoryLimits::default(),
            client_properties: Vec::new(),
        }
    }

    /// Sets how often a record may be counted.
    pub fn processing_guarantee(mut self, guarantee: Guarantee) -> Self {
        self.guarantee = guarantee;
        self
    }

    /// Sets how often to commit.
    pub fn commit_interval(mut self, interval: Duration) -> Self {
        self.commit_interval = Some(interval);
        self
    }

    /// Sets how long to wait at start for a cluster that does not answer.
    pub fn startup_timeout(mut self, timeout: Duration) -> Self {
        self.startup_timeout = timeout;
        self
    }

    /// Sets how many worker threads there are.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Keeps state in this directory, which must not be another process's.
    pub fn state_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.state_dir = StateDir::Exactly(directory.into());
        self
    }

    /// Keeps state in a slot of its own below this directory.
    pub fn state_slots(mut self, directory: impl Into<PathBuf>) -> Self {
        self.state_dir = StateDir::Slot(directory.into());
        self
    }

    /// Sets after how long without a sign of life an instance's tasks go to others.
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// Sets after how long without progress an instance gives up its tasks.
    pub fn max_poll_interval(mut self, interval: Duration) -> Self {
        self.max_poll_interval = interval;
        self
    }

    /// Sets where to begin in a topic without a committed offset.
    pub fn offset_reset(mut self, reset: OffsetReset) -> Self {
        self.offset_reset = reset;
        self
    }

    /// Sets what to do with a record that cannot be decoded.
    pub fn on_undecodable(mut self, handler: DeserializationHandler) -> Self {
        self.undecodable = handler;
        self
    }

    /// Sends records that cannot be decoded to this topic.
    pub fn dead_letters(self, topic: impl Into<Arc<str>>) -> Self {
        self.on_undecodable(DeserializationHandler::DeadLetter(topic.into()))
    }

    /// Sets what to do with a record that the program's own code refuses: a `try_` operator's function or a processor
    /// that answers an error.
    pub fn on_refused(mut self, handler: ProcessingHandler) -> Self {
        self.refused = handler;
        self
    }

    /// Sets what to do when the program's own code panics.
    ///
    /// ```
    /// use millstream::prelude::*;
    ///
    /// let config = StreamsConfig::new("orders", "localhost:9092")
    ///     .on_panic(PanicHandler::DeadLetter("orders-that-failed".into()));
    /// ```
    pub fn on_panic(mut self, handler: PanicHandler) -> Self {
        self.panics = handler;
        self
    }

    /// Sets how long a task waits for an input without records.
    pub fn max_task_idle(mut self, idle: IdlePolicy) -> Self {
        self.max_task_idle = idle;
        self
    }

    /// Sets the bounds of memory.
    pub fn memory(mut self, limits: MemoryLimits) -> Self {
        self.memory = limits;
        self
    }

    /// Sets the replication of internal topics.
    pub fn replication(mut self, factor: i16) -> Self {
        self.replication = Some(factor);
        self
    }

    /// Passes a property to the Kafka client as it is.
    pub fn client_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.client_properties.push((name.into(), value.into()));
        self
    }

    /// The commit interval in force.
    pub fn effective_commit_interval(&self) -> Duration {
        self.commit_interval.unwrap_or(match self.guarantee {
            Guarantee::ExactlyOnce { .. } => Duration::from_millis(100),
            Guarantee::AtLeastOnce => Duration::from_secs(30),
        })
    }

    pub(crate) fn rules(&self) -> TaskRules {
        TaskRules {
            undecodable: self.undecodable.clone(),
            refused: self.refused.clone(),
            panics: self.panics.clone(),
            idle: self.max_task_idle,
            at_least_once: self.guarantee == Guarantee::AtLeastOnce,
        }
    }
}
