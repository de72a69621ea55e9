//! Opening a task's stores.

use std::sync::Arc;

use millstream_operators::context::Context;
use millstream_state::context::StateContext;
use millstream_state::engine::Storage;
use millstream_state::error::{EngineError, StateError};
use millstream_state::store::{Changelog, TaskStores};

use super::WorkerError;
use crate::task::{TaskId, TaskPlan, TaskState};

/// Opens the stores of a task; a corrupted database is thrown away, the changelog has it all.
pub(crate) fn open(storage: &dyn Storage, id: TaskId, plan: &Arc<TaskPlan>) -> Result<TaskState, WorkerError> {
    let stores = match stores(storage, id, plan) {
        Err(error) if is_corrupted(&error) => {
            tracing::warn!(task = %id, "the database is removed and made anew from the changelogs: {error}");
            remove(storage, id, plan)?;
            stores(storage, id, plan)
        }
        other => other,
    }?;
    tracing::debug!(task = %id, "opened its stores");
    Ok(TaskState { id, plan: plan.clone(), cx: Context::new(StateContext::new(stores)) })
}

/// Removes a task's database.
pub(super) fn remove(storage: &dyn Storage, id: TaskId, plan: &TaskPlan) -> Result<(), WorkerError> {
    for spec in plan.sub_topology().spec().stores.iter().filter(|spec| spec.changelog == Changelog::Off) {
        tracing::error!(task = %id, store = %spec.name, "the store has no changelog: its content is lost");
    }
    storage.destroy(&id.to_string()).map_err(|source| WorkerError::Storage { task: id, source })
}

fn stores(storage: &dyn Storage, id: TaskId, plan: &TaskPlan) -> Result<TaskStores, WorkerError> {
    let specs = &plan.sub_topology().spec().stores;
    let engine = storage.open(&id.to_string()).map_err(|source| WorkerError::Storage { task: id, source })?;
    TaskStores::open(specs, engine).map_err(|source| WorkerError::Stores { task: id, source: Box::new(source) })
}

/// Whether the database as such, or what is read of it when the stores are opened, does not match its checksum.
fn is_corrupted(error: &WorkerError) -> bool {
    match error {
        WorkerError::Storage { source, .. } => matches!(source, EngineError::Corrupted { .. }),
        WorkerError::Stores { source, .. } => {
            matches!(**source, StateError::Engine { source: EngineError::Corrupted { .. }, .. })
        }
        _ => false,
    }
}
