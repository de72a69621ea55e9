//! The worker's main work: fetch, process, send, for each task in turn.

use super::outbox::ToTransaction;
use super::{Mode, Worker, WorkerError};
use crate::broker::{BrokerError, ErrorClass};
use crate::restore::Running;
use crate::task::Now;

/// Records that a task takes at most before the next one has its turn.
const TURN: usize = 2_000;
/// Records that all tasks together take in one step, or a commit would be late by as much as there are tasks.
const STEP: usize = 8_000;
/// Records that a task takes at least in its turn, however many tasks there are.
const LEAST: usize = 250;
/// Records that are taken from a queue at once.
const DRAIN: usize = 1_000;
/// An input with fewer waiting records than this is topped up. Above it, not draining is what holds the fetch back.
const ENOUGH: usize = 1_000;

impl Worker {
    /// Gives each running task its turn.
    pub(super) fn work(&mut self, now: Now) -> Result<bool, WorkerError> {
        let mut progress = false;
        let mut broken: Option<BrokerError> = None;
        let limit = (STEP / self.running.len().max(1)).clamp(LEAST, TURN);
        for running in self.running.values_mut() {
            progress |= fetch(running)?;
            if !(0..running.queues.len()).any(|input| running.task.waiting(input) > 0)
                && !running.task.has_unsent()
                && !running.task.needs_commit()
            {
                continue;
            }
            let mut turn = || -> Result<Result<bool, WorkerError>, BrokerError> {
                self.transaction.begin(now.monotonic)?;
                let mut outbox =
                    ToTransaction { transaction: &mut self.transaction, routes: self.routes.at(now.monotonic) };
                // What an earlier turn could not hand over goes first; with a full queue nothing more is processed.
                if !running.task.send(&mut outbox)? {
                    return Ok(Ok(false));
                }
                let done = match running.task.process(now, limit) {
                    Ok(done) => done,
                    Err(error) => return Ok(Err(error.into())),
                };
                running.task.send(&mut outbox)?;
                Ok(Ok(done > 0))
            };
            match turn() {
                Ok(done) => progress |= done?,
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        if let Some(error) = broken {
            self.produce_failed(now, &error)?;
            progress = true;
        }
        Ok(progress)
    }

    /// A record that the producer refused for good ends the worker; anything else ends the transaction.
    pub(super) fn produce_failed(&mut self, now: Now, error: &BrokerError) -> Result<(), WorkerError> {
        match error.class {
            ErrorClass::Fatal | ErrorClass::UnknownTopic | ErrorClass::NotAuthorized => Err(error.clone().into()),
            _ => {
                tracing::warn!("the transaction is aborted, its records will be processed again: {error}");
                self.transaction.abort(now.monotonic, false, error);
                if self.mode == Mode::Working {
                    self.mode = Mode::Closing { park: false };
                }
                Ok(())
            }
        }
    }
}

/// Tops up the task's inputs from their queues.
fn fetch(running: &mut Running) -> Result<bool, WorkerError> {
    let mut progress = false;
    for (input, queue) in running.queues.iter_mut().enumerate() {
        while running.task.waiting(input) < ENOUGH {
            let batch = match queue.drain(DRAIN) {
                Ok(batch) => batch,
                Err(error) if matches!(error.class, ErrorClass::Retriable | ErrorClass::Unknown) => {
                    tracing::warn!("fetching is interrupted: {error}");
                    None
                }
                Err(error) => return Err(error.into()),
            };
            let Some(batch) = batch else { break };
            running.task.enqueue(input, batch);
            progress = true;
        }
        if running.task.waiting(input) == 0 {
            let position = queue.position();
            running.task.pass_control_records(input, position);
            running.task.set_caught_up(input, queue.end().is_some_and(|end| position >= end));
        }
    }
    Ok(progress)
}
