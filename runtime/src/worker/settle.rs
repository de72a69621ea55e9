//! Ending transactions: when to commit, what follows from a commit or an abort, and giving tasks back.

use std::time::Duration;

use millstream_state::commit::Committed;
use millstream_state::model::{Position, TopicPartition};

use super::input::still_ours;
use super::outbox::ToTransaction;
use super::recover::Ailing;
use super::user::guarded;
use super::{Cause, FromWorker, Mode, Worker, WorkerError};
use crate::broker::{BrokerError, ErrorClass};
use crate::commit::{CommitRequest, Outcome};
use crate::deliberate::{self, Bug};
use crate::restore::Restoring;
use crate::task::{Now, StorageFault, TaskError, TaskId, TaskState};

/// How long a worker that was told that its tasks are gone waits to hear the same from the group. If it hears nothing, it
/// goes on: each commit is checked anew by the broker.
const FENCED: Duration = Duration::from_secs(3);

impl Worker {
    /// Takes the answers of a commit or abort under way.
    pub(super) fn advance_transaction(&mut self, now: Now) -> Result<bool, WorkerError> {
        let was_ready = self.transaction.ready();
        match self.transaction.poll(now.monotonic)? {
            // A producer that is initialised now has work that waited for it.
            None => Ok(self.transaction.ready() && !was_ready),
            Some(Outcome::Committed(proof)) => {
                self.apply(now, &proof);
                self.meter.committed(now);
                self.rollbacks.worked(now.monotonic);
                self.replaced = 0;
                self.close_sick(now);
                self.closed()?;
                Ok(true)
            }
            Some(Outcome::RolledBack { member_fenced, reason }) => {
                self.rolled_back(now, &reason)?;
                self.close_sick(now);
                self.rewind(now)?;
                self.closed()?;
                if member_fenced && self.mode == Mode::Working {
                    self.mode = Mode::Fenced;
                    self.resume_at = now.monotonic.after(FENCED);
                }
                Ok(true)
            }
        }
    }

    /// Writes what is committed to the stores. Where that fails, the tail is in the changelog.
    fn apply(&mut self, now: Now, proof: &Committed) {
        let markers = self.transaction.markers();
        let (mut healed, mut sick) = (Vec::new(), Vec::new());
        for (id, running) in self.running.iter_mut().filter(|(_, running)| running.task.needs_commit()) {
            match running.task.committed(proof, markers) {
                Ok(()) => healed.push(*id),
                Err(error) => sick.push((*id, error)),
            }
        }
        self.healed(now, &healed);
        for (id, error) in sick {
            self.fell_sick(id, error.storage().unwrap_or(StorageFault::Refused), &error);
        }
    }

    /// Tells of a rollback, and decides when to go on and whether to.
    fn rolled_back(&mut self, now: Now, reason: &BrokerError) -> Result<(), WorkerError> {
        let again = match std::mem::take(&mut self.cause) {
            Cause::Nothing => return Ok(()),
            // It is told already.
            Cause::Condemned | Cause::Stores => now.monotonic,
            Cause::Broker if reason.class == ErrorClass::MemberFenced => {
                tracing::warn!(
                    "nothing of the last transaction is committed, its records are processed again: {reason}"
                );
                now.monotonic
            }
            Cause::Broker | Cause::Replaced => {
                let again = self.rollbacks.refused(now.monotonic, reason);
                if self.rollbacks.is_hopeless(now.monotonic, reason.class) {
                    return Err(reason.clone().into());
                }
                // Once is an ordinary event.
                if self.rollbacks.attempts() > 1 { again } else { now.monotonic }
            }
        };
        self.meter.rolled_back();
        self.resume_at = again;
        Ok(())
    }

    fn rewind(&mut self, now: Now) -> Result<(), WorkerError> {
        if !self.transaction.transactional() && !deliberate::has(Bug::GoesBackBehindChangelog) {
            // What was written to changelogs stays there. A store that went back behind it would find nothing to delete
            // where the log still has a value, and the value would be back after the next restore.
            let again = std::mem::take(&mut self.running).into_values();
            self.restoring.extend(again.map(|running| running.start_over(now, &self.seed.transaction.troubles)));
            self.announced.running = false;
            return Ok(());
        }
        for running in self.running.values_mut() {
            running.task.rewind();
            for (input, queue) in running.queues.iter_mut().enumerate() {
                still_ours(queue.seek(running.task.position(input)))?;
            }
        }
        Ok(())
    }

    /// The transaction is over, one way or the other.
    fn closed(&mut self) -> Result<(), WorkerError> {
        match self.mode {
            Mode::Closing { park: true } => self.park(),
            Mode::Closing { park: false } => {
                self.mode = Mode::Working;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Starts to close the transaction when its time has come, and goes on with what keeps it from being committed.
    pub(super) fn close_if_due(&mut self, now: Now) -> Result<bool, WorkerError> {
        if !self.transaction.ready() {
            return Ok(false);
        }
        match self.mode {
            Mode::Working if self.is_due(now) => self.mode = Mode::Closing { park: false },
            Mode::Closing { .. } => {}
            _ => return Ok(false),
        }
        if self.transaction.open_since().is_none() {
            self.closed()?;
            return Ok(true);
        }
        match self.hand_over(now) {
            Ok(Ok(true)) => {
                self.last_commit = Some(now.monotonic);
                self.commit()?;
                Ok(true)
            }
            Ok(Ok(false)) => Ok(false),
            Ok(Err((id, error))) => {
                self.task_failed(now, id, error)?;
                Ok(true)
            }
            Err(error) => {
                self.produce_failed(now, &error);
                Ok(true)
            }
        }
    }

    fn is_due(&self, now: Now) -> bool {
        let Some(since) = self.transaction.open_since() else { return false };
        let uncommitted: usize =
            self.running.values().map(|running| running.task.context().state.stores.uncommitted_bytes()).sum();
        let asked = self.running.values().any(|running| running.task.commit_requested());
        asked || now.monotonic >= self.commit_at(since) || uncommitted > self.seed.settings.uncommitted_bytes
    }

    /// Flushes the caches and hands everything to the producer; `false` if its queue is full.
    fn hand_over(&mut self, now: Now) -> Result<Result<bool, (TaskId, TaskError)>, BrokerError> {
        let mut outbox = ToTransaction { transaction: &mut self.transaction, routes: self.routes.at(now.monotonic) };
        for (id, running) in &mut self.running {
            if !running.task.send(&mut outbox)? {
                return Ok(Ok(false));
            }
            if !deliberate::has(Bug::CommitsWithoutFlush)
                && let Err(error) = guarded(&mut running.task, crate::task::Task::flush)
            {
                return Ok(Err((*id, error)));
            }
            if !running.task.send(&mut outbox)? {
                return Ok(Ok(false));
            }
        }
        Ok(Ok(true))
    }

    fn commit(&mut self) -> Result<(), WorkerError> {
        let id = self.transaction.next_id();
        let touched = self.running.values().filter(|running| running.task.needs_commit());
        let offsets: Vec<_> = touched.flat_map(|running| running.task.offsets(id)).collect();
        self.meter.committing();
        if deliberate::has(Bug::AppliesBeforeCommit) {
            let markers = self.transaction.markers();
            for running in self.running.values_mut().filter(|running| running.task.needs_commit()) {
                running.task.committed(&Committed::testify(0), markers)?;
            }
        }
        match &self.ownership {
            Some(ownership) if !offsets.is_empty() => {
                self.transaction.commit(CommitRequest { offsets, ownership: ownership.clone(), id });
                Ok(())
            }
            // A transaction that was opened for nothing: an empty commit needs no offsets to be right.
            _ => {
                let error = BrokerError::new(ErrorClass::Abortable, "commit", "there was nothing to commit");
                self.cause = Cause::Nothing;
                self.transaction.abort(Default::default(), false, &error);
                Ok(())
            }
        }
    }

    /// Gives all tasks back. Nothing may be open.
    fn park(&mut self) -> Result<(), WorkerError> {
        let mut parked: Vec<TaskState> =
            std::mem::take(&mut self.running).into_values().map(|running| running.task.park()).collect();
        // Nobody waits for a restoration to end, which can take as long as the changelog is: the marks say what is missing.
        let ailing = self.ailing.iter().map(Ailing::id);
        self.unrestored = self.restoring.iter().map(Restoring::id).chain(ailing).collect();
        for id in &self.unrestored {
            tracing::info!(task = %id, "given back before it was restored: the next to open its stores replays the rest");
        }
        for restoring in self.restoring.drain(..) {
            parked.push(restoring.park(self.fetcher.as_deref_mut())?);
        }
        // Those that were to be opened again are opened by whoever gets them next.
        self.ailing.clear();
        self.healing.clear();
        self.rollbacks.forget();
        self.fetcher = None;
        self.ownership = None;
        self.mode = Mode::Working;
        self.resume_at = Default::default();
        self.tell(FromWorker::Parked(parked));
        Ok(())
    }

    /// The ownership is gone: nothing can be committed any more.
    pub(super) fn lose(&mut self, now: Now) -> Result<(), WorkerError> {
        self.mode = Mode::Closing { park: true };
        if self.transaction.open_since().is_some() {
            let error = BrokerError::new(ErrorClass::MemberFenced, "commit", "the group has given the tasks to others");
            self.cause = Cause::Broker;
            self.transaction.abort(now.monotonic, true, &error);
        }
        Ok(())
    }

    /// Deletes what has been processed and committed from repartition topics; source topics are never touched.
    pub(super) fn purge(&mut self, now: Now) {
        if now.monotonic.since(self.last_purge) < self.seed.settings.purge_interval.max(Duration::from_millis(1)) {
            return;
        }
        self.last_purge = now.monotonic;
        let mut before: Vec<(TopicPartition, Position)> = Vec::new();
        for running in self.running.values() {
            let settled = running.task.settled_positions();
            let inputs = running.task.plan().inputs_of(running.task.id());
            for ((topic, partition), position) in inputs.zip(settled) {
                if topic.repartition && position > Position::START {
                    before.push((partition, position));
                }
            }
        }
        if !before.is_empty() {
            self.meter.purging(self.seed.broker.admin().delete_records(before));
        }
    }
}
