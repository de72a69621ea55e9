//! Why global stores cannot be kept up to date.

use millstream_operators::error::ProcessError;
use millstream_state::error::{EngineError, StateError};
use millstream_state::model::{Offset, TopicPartition};

use crate::broker::BrokerError;

/// Why global stores cannot be kept up to date.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum GlobalError {
    /// The database could not be opened.
    #[error("the database of the global stores cannot be opened: {source}")]
    Storage {
        /// Why.
        source: EngineError,
    },
    /// The stores failed.
    #[error("global stores: {source}")]
    State {
        /// Why.
        source: StateError,
    },
    /// The broker failed for good.
    #[error("the topics of global stores cannot be read: {source}")]
    Broker {
        /// Why.
        source: BrokerError,
    },
    /// A topic is gone.
    #[error("topic {topic} of a global store does not exist any more")]
    Missing {
        /// The topic.
        topic: String,
    },
    /// A record could not be processed.
    #[error(
        "a global store stopped at topic {}, partition {}, offset {offset}: {source}", partition.topic, partition.partition
    )]
    Record {
        /// The partition the record came from.
        partition: TopicPartition,
        /// Where in it.
        offset: Offset,
        /// Why.
        source: Box<ProcessError>,
    },
}

impl From<StateError> for GlobalError {
    fn from(source: StateError) -> Self {
        Self::State { source }
    }
}
