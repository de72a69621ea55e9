//! What can go wrong while a topology is tested.

use millstream_operators::error::ProcessError;
use millstream_state::error::{EngineError, SerdeError, StateError};

use crate::broker::BrokerError;
use crate::task::TaskError;
use crate::topics::TopicError;

/// A test could not go on.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// The topology does not read this topic.
    #[error("the topology reads no topic {topic}; it reads {known}")]
    UnknownTopic {
        /// The topic asked for.
        topic: String,
        /// The topics there are.
        known: String,
    },
    /// The topology has no such store, or one of another shape.
    #[error("the topology has no {shape} store {store}; it has {known}")]
    UnknownStore {
        /// The store asked for.
        store: String,
        /// The shape asked for.
        shape: &'static str,
        /// The stores there are.
        known: String,
    },
    /// A key or value of the test's own could not be encoded, or one of the topology's could not be decoded.
    #[error("topic {topic}: the {what} is not {source}")]
    Serde {
        /// The topic.
        topic: String,
        /// `key` or `value`.
        what: &'static str,
        /// Why.
        source: SerdeError,
    },
    /// The stores could not be opened.
    #[error("the stores of sub-topology {sub_topology} could not be opened: {source}")]
    Open {
        /// The sub-topology.
        sub_topology: u32,
        /// Why.
        source: EngineError,
    },
    /// A store failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The topology failed, as it would in production.
    #[error(transparent)]
    Task(Box<TaskError>),
    /// The topology cannot run with these partition counts, as it could not in production.
    #[error(transparent)]
    Topics {
        /// Why.
        source: TopicError,
    },
    /// A record could not be applied to a global store.
    #[error("topic {topic}, offset {offset}, of a global store: {source}")]
    Global {
        /// The topic.
        topic: String,
        /// Where in it.
        offset: i64,
        /// Why.
        source: Box<ProcessError>,
    },
    /// A record could not be handed on.
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

impl From<TaskError> for TestError {
    fn from(source: TaskError) -> Self {
        Self::Task(Box::new(source))
    }
}
