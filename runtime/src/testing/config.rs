//! What a test may set.

use std::sync::Arc;

use millstream_state::engine::{MemoryStorage, Storage};
use millstream_state::model::Timestamp;

use crate::task::DeserializationHandler;

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
}

impl Default for TestConfig {
    fn default() -> Self {
        Self {
            application_id: "test".to_owned(),
            cache_max_bytes: 10 << 20,
            wall_clock: Timestamp::from_millis(0),
            storage: Arc::new(MemoryStorage::new()),
            undecodable: DeserializationHandler::Fail,
        }
    }
}
