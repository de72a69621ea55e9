//! Why a worker cannot go on.

use millstream_state::error::{EngineError, StateError};
use millstream_state::model::TopicPartition;

use crate::broker::BrokerError;
use crate::restore::RestoreError;
use crate::task::{TaskError, TaskId};

/// Why a worker cannot go on.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A task failed.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// A task could not be restored.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The broker failed for good.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A task's database could not be opened.
    #[error("task {task} cannot open its database: {source}")]
    Storage {
        /// The task.
        task: TaskId,
        /// Why.
        source: EngineError,
    },
    /// A task's stores could not be opened.
    #[error("task {task} cannot open its stores: {source}")]
    Stores {
        /// The task.
        task: TaskId,
        /// Why.
        source: Box<StateError>,
    },
    /// A task's stores failed, and could not be opened again.
    #[error("task {task} could not be opened again ({last}); it was closed because of this: {cause}")]
    NotHealed {
        /// The task.
        task: TaskId,
        /// Why it was closed.
        cause: String,
        /// Why it could not be opened.
        last: String,
    },
    /// The position to go on at is not in the log, and no other is to be made up.
    #[error(
        "topic {}, partition {}: the position to go on at is not in the log any more, and the topic's offset reset is none: \
         choose earliest or latest, or commit an offset that is there ({reason})",
        partition.topic, partition.partition
    )]
    OffsetOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// What the broker said.
        reason: String,
    },
    /// The worker's thread panicked in user code or because of a defect.
    #[error("worker {worker} panicked: {message}")]
    Panicked {
        /// The worker.
        worker: usize,
        /// What the panic said.
        message: String,
    },
}
