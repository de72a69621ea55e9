//! What follows when processing fails: user code that panics, and stores that fail below it.
//!
//! ```text
//!  process, flush, timers ─┬─ the storage engine failed ──► the task is closed and opened again (recover)
//!                          ├─ user code panicked ──► handler: fail │ replace │ skip │ dead letter
//!                          └─ anything else ───────► the instance stops with the error
//! ```
//! In each case but the last the transaction is rolled back and operators are made anew, so that nothing half done stays.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Cause, Worker, WorkerError};
use crate::broker::{BrokerError, ErrorClass};
use crate::task::{Now, PanicHandler, Task, TaskError, TaskId};

/// What a panic said.
pub(crate) fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".to_owned())
}

/// Runs user code; a panic becomes an error.
pub(super) fn guarded<T>(task: &mut Task, run: impl FnOnce(&mut Task) -> Result<T, TaskError>) -> Result<T, TaskError> {
    // What a panic leaves half done in the task is forgotten: whoever gets the error rewinds it, which makes its operators
    // anew and drops what its stores have not committed.
    match catch_unwind(AssertUnwindSafe(|| run(task))) {
        Ok(done) => done,
        Err(panic) => Err(task.panicked(words(&*panic))),
    }
}

impl Worker {
    /// Decides what follows from a task's error; `Err` if the worker cannot go on.
    pub(super) fn task_failed(&mut self, now: Now, id: TaskId, error: TaskError) -> Result<(), WorkerError> {
        if let Some(fault) = error.storage() {
            if self.is_past_help(id) {
                return Err(error.into());
            }
            self.fell_sick(id, fault, &error);
            self.roll_back(now, Cause::Stores, &error);
            return Ok(());
        }
        if !matches!(error, TaskError::Panicked { .. }) {
            return Err(error.into());
        }
        match self.seed.settings.rules.panics {
            PanicHandler::Fail => return Err(error.into()),
            PanicHandler::Replace { attempts } => {
                if self.replaced >= attempts {
                    return Err(error.into());
                }
                self.replaced += 1;
                tracing::warn!(
                    worker = self.seed.index,
                    "user code panicked, the worker's operators are made anew ({} of {attempts} times in a row): {error}",
                    self.replaced
                );
                self.roll_back(now, Cause::Replaced, &error);
            }
            PanicHandler::Skip | PanicHandler::DeadLetter(_) => {
                if !self.running.get_mut(&id).is_some_and(|running| running.task.condemn(&error)) {
                    return Err(error.into());
                }
                tracing::info!(task = %id, "the transaction is rolled back, so that the record has no effect: {error}");
                self.roll_back(now, Cause::Condemned, &error);
            }
        }
        Ok(())
    }

    fn roll_back(&mut self, now: Now, cause: Cause, error: &TaskError) {
        let reason = BrokerError::new(ErrorClass::Abortable, "the transaction is rolled back", error.to_string());
        self.cause = cause;
        self.transaction.abort(now.monotonic, false, &reason);
        self.close_soon();
    }
}
