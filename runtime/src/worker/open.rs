//! Opening a task's stores.

use std::sync::Arc;

use millstream_operators::context::Context;
use millstream_state::context::StateContext;
use millstream_state::engine::Storage;
use millstream_state::error::EngineError;
use millstream_state::store::TaskStores;

use super::WorkerError;
use crate::task::{TaskId, TaskPlan, TaskState};

/// Opens the stores of a task; a corrupted database is thrown away, the changelog has it all.
pub(crate) fn open(storage: &dyn Storage, id: TaskId, plan: &Arc<TaskPlan>) -> Result<TaskState, WorkerError> {
    let name = id.to_string();
    let specs = &plan.sub_topology().spec().stores;
    let engine = match storage.open(&name) {
        Err(EngineError::Corrupted { path, source }) => {
            tracing::warn!(task = %id, %path, "the database is corrupted and is rebuilt from the changelog: {source}");
            storage.destroy(&name).and_then(|()| storage.open(&name))
        }
        other => other,
    };
    let engine = engine.map_err(|source| WorkerError::Storage { task: id, source })?;
    let stores =
        TaskStores::open(specs, engine).map_err(|source| WorkerError::Stores { task: id, source: Box::new(source) })?;
    tracing::debug!(task = %id, "opened its stores");
    Ok(TaskState { id, plan: plan.clone(), cx: Context::new(StateContext::new(stores)) })
}
