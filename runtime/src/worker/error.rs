//! Why a worker cannot go on.

use millstream_state::error::{EngineError, StateError};

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
    /// The worker's thread panicked in user code or because of a defect.
    #[error("worker {worker} panicked: {message}")]
    Panicked {
        /// The worker.
        worker: usize,
        /// What the panic said.
        message: String,
    },
}
