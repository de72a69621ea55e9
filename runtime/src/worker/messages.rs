//! What controller and worker tell each other.

use std::sync::Arc;

use super::WorkerError;
use crate::broker::{AssignedPartition, Ownership};
use crate::task::{TaskId, TaskPlan, TaskState};

/// A task that a worker is to run.
pub struct AssignedTask {
    /// The task.
    pub id: TaskId,
    /// What it shares with the other tasks of its sub-topology.
    pub plan: Arc<TaskPlan>,
    /// Its open stores, if this instance had it before.
    pub parked: Option<TaskState>,
    /// Its inputs, in the order of [`TaskPlan::inputs_of`].
    pub inputs: Vec<AssignedPartition>,
}

/// From the controller to a worker.
pub enum ToWorker {
    /// Run these tasks under this ownership. Comes only while the worker has none.
    Assign {
        /// The right to commit their inputs.
        ownership: Ownership,
        /// The tasks; may be none.
        tasks: Vec<AssignedTask>,
    },
    /// Commit, give all tasks back.
    Revoke,
    /// The ownership is gone: abort, give all tasks back.
    Lost,
    /// Close everything. Comes only while the worker has no tasks.
    Stop,
}

/// From a worker to the controller.
pub enum FromWorker {
    /// The transactional id is initialised.
    Ready,
    /// All tasks of the last assignment process records.
    AllRunning,
    /// All tasks are back, settled.
    Parked(Vec<TaskState>),
    /// The worker has closed everything.
    Stopped,
    /// A topic seems to be gone: it is to be looked for.
    MissesTopic,
    /// The worker cannot go on; its transaction will be aborted by its successor.
    Failed(WorkerError),
}
