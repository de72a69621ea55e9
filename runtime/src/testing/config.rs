//! What a test may set.

use std::sync::Arc;

use millstream_state::engine::{MemoryStorage, Storage};
use millstream_state::model::Timestamp;

use super::Partitions;
use crate::task::{DeserializationHandler, ProcessingHandler};

/// Settings of a test driver.
#[derive(Clone)]
pub struct TestConfig {
    /// The application's id: the prefix of its internal topics.
    pub application_id: String,
    /// The bound of the record caches in bytes; 0 forwards every update at once.
    pub cache_max_bytes: usize,
    /// The wall-clock time at the start.
    pub wall_clock: Timestamp,
    /// Where durable stores live.
    pub storage: Arc<dyn Storage>,
    /// What to do with a record that cannot be decoded.
    pub undecodable: DeserializationHandler,
    /// What to do with a record that the program's own code refuses.
    pub refused: ProcessingHandler,
    /// How many partitions topics have; `None` is one partition each, and one task for all, as in Kafka Streams' driver.
    pub partitions: Option<Partitions>,
    /// Whether a commit follows every record, as in Kafka Streams' driver. If not, the record caches hold updates back,
    /// and what a task has written is seen by nobody, until
    /// [`TopologyTestDriver::commit`](super::TopologyTestDriver::commit) is called.
    pub commit_each_record: bool,
    /// Whether closed windows, and records of outer joins that found no partner, come out with the pauses of wall-clock
    /// time between them that [`TopologySettings`](crate::operators::topology::TopologySettings) names. By default they
    /// come at once, as in Kafka Streams' driver.
    pub emit_pauses: bool,
    /// Lets chance, from this seed, say which of the tasks with waiting records is next; otherwise it is the one whose
    /// record has the smallest time.
    pub interleave: Option<u64>,
}

impl Default for TestConfig {
    fn default() -> Self {
        Self {
            application_id: "test".to_owned(),
            cache_max_bytes: 10 << 20,
            wall_clock: Timestamp::from_millis(0),
            storage: Arc::new(MemoryStorage::new()),
            undecodable: DeserializationHandler::Fail,
            refused: ProcessingHandler::Fail,
            partitions: None,
            commit_each_record: true,
            emit_pauses: false,
            interleave: None,
        }
    }
}
