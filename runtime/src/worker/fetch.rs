//! The worker's main work: fetch, process, send, for each task in turn.

use super::input::Fetching;
use super::outbox::ToTransaction;
use super::user::guarded;
use super::{Cause, FromWorker, Mode, Worker, WorkerError};
use crate::broker::{BrokerError, ErrorClass};
use crate::task::{Now, Task, TaskError, TaskId};

/// Records that a task takes at most before the next one has its turn.
const TURN: usize = 2_000;
/// Records that all tasks together take in one step, or a commit would be late by as much as there are tasks.
const STEP: usize = 8_000;
/// Records that a task takes at least in its turn, however many tasks there are.
const LEAST: usize = 250;

/// A step that took fewer records is one of many that wait for what trickles in.
const FEW: usize = 64;

/// What ended a step early.
enum Broken {
    Task(TaskId, TaskError),
    Producer(BrokerError),
}

impl Worker {
    /// Gives each running task its turn.
    pub(super) fn work(&mut self, now: Now) -> Result<bool, WorkerError> {
        let (mut progress, mut taken) = (false, 0);
        let mut broken: Option<Broken> = None;
        let limit = (STEP / self.running.len().max(1)).clamp(LEAST, TURN);
        let mut fetching = Fetching {
            now,
            admin: &self.admin,
            troubles: &self.seed.transaction.troubles,
            application: &self.seed.settings.application_id,
            missing: false,
        };
        for (id, running) in &mut self.running {
            progress |= fetching.fetch(running)?;
            if let Err(error) = guarded(&mut running.task, |task| task.prepare(now)) {
                broken = Some(Broken::Task(*id, error));
                break;
            }
            let due = running.task.punctuation_due(now);
            if !due
                && !(0..running.queues.len()).any(|input| running.task.waiting(input) > 0)
                && !running.task.has_unsent()
                && !running.task.needs_commit()
            {
                continue;
            }
            let mut turn = || -> Result<Result<bool, TaskError>, BrokerError> {
                self.transaction.begin(now.monotonic)?;
                let mut outbox =
                    ToTransaction { transaction: &mut self.transaction, routes: self.routes.at(now.monotonic) };
                // What an earlier turn could not hand over goes first; with a full queue nothing more is processed.
                if !running.task.send(&mut outbox)? {
                    return Ok(Ok(false));
                }
                let work = |task: &mut Task| Ok((task.punctuate(now)?, task.process(now, limit)?));
                let (punctuated, processed) = match guarded(&mut running.task, work) {
                    Ok(done) => done,
                    Err(error) => return Ok(Err(error)),
                };
                taken += processed;
                running.task.send(&mut outbox)?;
                Ok(Ok(punctuated || processed > 0))
            };
            match turn() {
                Ok(Ok(did)) => progress |= did,
                Ok(Err(error)) => broken = Some(Broken::Task(*id, error)),
                Err(error) => broken = Some(Broken::Producer(error)),
            }
            if broken.is_some() {
                break;
            }
        }
        if taken > 0 {
            self.trickles = taken < FEW;
        }
        let missing = fetching.missing;
        if missing {
            self.tell(FromWorker::MissesTopic);
        }
        match broken {
            None => return Ok(progress),
            Some(Broken::Task(id, error)) => self.task_failed(now, id, error)?,
            Some(Broken::Producer(error)) => self.produce_failed(now, &error),
        }
        Ok(true)
    }

    /// The producer refused: the transaction ends, and with it the worker only if that is of no help.
    pub(super) fn produce_failed(&mut self, now: Now, error: &BrokerError) {
        self.cause = Cause::Broker;
        self.transaction.abort(now.monotonic, false, error);
        if error.class == ErrorClass::UnknownTopic {
            self.tell(FromWorker::MissesTopic);
        }
        self.close_soon();
    }

    /// What has been begun is to be closed before anything else is processed.
    pub(super) fn close_soon(&mut self) {
        if self.mode == Mode::Working {
            self.mode = Mode::Closing { park: false };
        }
    }
}
