//! Tasks whose stores have failed: closed when the transaction is settled, opened again, restored.
//!
//! ```text
//!  running ─store failed─► transaction rolled back ─► closed ─► opened again ─► restoring ─► running
//!         └─apply failed after a commit ──────────────┘  │  ▲ └─ cannot be ─┐
//!                                      corrupted: removed ┘  └── pauses ─────┘ ─► given up after a while
//! ```
//! What is on disk is committed data with its changelog position: after a write that failed the tail is replayed. Data that
//! do not match their checksum are removed and made anew from the changelogs; they are never served.

use std::sync::Arc;
use std::time::Duration;

use super::open::remove;
use super::{Worker, WorkerError, open};
use crate::broker::{AssignedPartition, BrokerError};
use crate::clock::Monotonic;
use crate::restore::{Restoring, Running, begin_again};
use crate::task::{Now, StorageFault, TaskError, TaskId, TaskPlan, TaskState};
use crate::trouble::Breaker;

/// How often in a row a task is opened again before the instance is given up.
const ATTEMPTS: u32 = 8;

/// Why a task's stores are to be opened again.
pub(super) struct Sick {
    pub(super) fault: StorageFault,
    pub(super) cause: String,
}

/// A task whose stores are closed.
pub(super) struct Ailing {
    id: TaskId,
    plan: Arc<TaskPlan>,
    inputs: Vec<AssignedPartition>,
    sick: Sick,
    at: Monotonic,
}

impl Ailing {
    pub(super) fn id(&self) -> TaskId {
        self.id
    }
}

/// How a task is doing that was closed and opened again.
pub(super) struct Healing {
    breaker: Breaker,
    /// Since when it processes again.
    running_since: Option<Monotonic>,
}

/// After this long without another failure a task is well.
const CONVALESCENCE: Duration = Duration::from_secs(10);

impl Worker {
    /// A task's stores have failed; the task is closed as soon as the transaction is settled.
    pub(super) fn fell_sick(&mut self, id: TaskId, fault: StorageFault, error: &TaskError) {
        let sick = self.sick.entry(id).or_insert_with(|| Sick { fault, cause: error.to_string() });
        if fault == StorageFault::Corrupted {
            sick.fault = fault;
        }
    }

    /// Closes the tasks that fell sick. Nothing may be open.
    pub(super) fn close_sick(&mut self, now: Now) {
        for (id, sick) in std::mem::take(&mut self.sick) {
            let Some(Running { task, queues, .. }) = self.running.remove(&id) else { continue };
            let (inputs, plan) = (begin_again(&task, queues), task.plan().clone());
            drop(task);
            self.ail(Ailing { id, plan, inputs, sick, at: now.monotonic }, now);
        }
    }

    /// The same for a task that was being restored.
    pub(super) fn restoring_failed(
        &mut self,
        index: usize,
        fault: StorageFault,
        error: &TaskError,
        now: Now,
    ) -> Result<(), BrokerError> {
        let restoring = self.restoring.swap_remove(index);
        let (state, inputs) = restoring.give_up(self.fetcher.as_deref_mut())?;
        let sick = Sick { fault, cause: error.to_string() };
        let (id, plan) = (state.id, state.plan.clone());
        drop(state);
        self.ail(Ailing { id, plan, inputs, sick, at: now.monotonic }, now);
        Ok(())
    }

    fn ail(&mut self, mut ailing: Ailing, now: Now) {
        let healing = self.healing.entry(ailing.id).or_insert_with(|| {
            let what = format!("the stores of task {} have failed; it is closed and opened again", ailing.id);
            Healing { breaker: Breaker::new(&self.seed.transaction.troubles, what), running_since: None }
        });
        healing.running_since = None;
        let later = healing.breaker.refused(now.monotonic, &ailing.sick.cause);
        // The first time at once: it may have been one write, or one block.
        ailing.at = if healing.breaker.attempts() > 1 { later } else { now.monotonic };
        metrics::counter!("millstream_tasks_reopened_total",
            "application" => self.seed.settings.application_id.clone(), "task" => ailing.id.to_string(),
            "reason" => if ailing.sick.fault == StorageFault::Corrupted { "corrupted" } else { "refused" })
        .increment(1);
        self.ailing.push(ailing);
    }

    /// When the next closed task is to be opened.
    pub(super) fn next_opening(&self) -> Option<Monotonic> {
        self.ailing.iter().map(|ailing| ailing.at).min()
    }

    /// Opens the closed tasks whose time has come.
    pub(super) fn heal(&mut self, now: Now) -> Result<bool, WorkerError> {
        if !self.healing.is_empty() {
            self.discharge(now);
        }
        if self.next_opening().is_none_or(|at| now.monotonic < at) {
            return Ok(false);
        }
        for ailing in std::mem::take(&mut self.ailing) {
            if now.monotonic < ailing.at {
                self.ailing.push(ailing);
                continue;
            }
            match self.open_again(&ailing) {
                Ok(mut state) => {
                    state.cx.globals = self.seed.globals.clone();
                    let Ailing { inputs, .. } = ailing;
                    self.restoring.push(Restoring::begin(
                        state,
                        inputs,
                        now.monotonic,
                        &self.seed.transaction.troubles,
                    ));
                }
                Err(error) if !self.is_past_help(ailing.id) => {
                    tracing::debug!(task = %ailing.id, "the stores cannot be opened yet: {error}");
                    self.ail(ailing, now);
                }
                Err(error) => {
                    let Ailing { id, sick, .. } = ailing;
                    return Err(WorkerError::NotHealed { task: id, cause: sick.cause, last: error.to_string() });
                }
            }
        }
        Ok(true)
    }

    fn open_again(&self, ailing: &Ailing) -> Result<TaskState, WorkerError> {
        let storage = &*self.seed.storage;
        if ailing.sick.fault == StorageFault::Corrupted {
            remove(storage, ailing.id, &ailing.plan)?;
        }
        open(storage, ailing.id, &ailing.plan)
    }

    /// Whether the stores of a task have failed too often without a commit in between.
    pub(super) fn is_past_help(&self, id: TaskId) -> bool {
        self.healing.get(&id).is_some_and(|healing| healing.breaker.attempts() >= ATTEMPTS)
    }

    /// The task processes again.
    pub(super) fn restored(&mut self, id: TaskId, now: Now) {
        if let Some(healing) = self.healing.get_mut(&id) {
            healing.running_since = Some(now.monotonic);
        }
    }

    /// The tasks have committed: their stores work.
    pub(super) fn healed(&mut self, now: Now, ids: &[TaskId]) {
        for id in ids {
            if let Some(mut healing) = self.healing.remove(id) {
                healing.breaker.worked(now.monotonic);
            }
        }
    }

    /// The same for those who have had nothing to commit.
    fn discharge(&mut self, now: Now) {
        let well = |healing: &Healing| healing.running_since.is_some_and(|at| now.monotonic.since(at) >= CONVALESCENCE);
        let ids: Vec<TaskId> = self.healing.iter().filter(|(_, healing)| well(healing)).map(|(id, _)| *id).collect();
        self.healed(now, &ids);
    }
}
