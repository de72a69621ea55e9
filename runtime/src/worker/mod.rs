//! A worker: a state machine that owns tasks and one producer, and is stepped by a thread or by a simulation.
//!
//! ```text
//!  step(now): messages → transaction's answers → restore → fetch, process, send → commit when due
//!                                                                  └ Progress | WaitUntil(t) | Stopped
//! ```
//! Workers share nothing mutable: tasks come and go as values, in messages.

mod error;
mod fetch;
mod input;
mod messages;
mod metering;
mod open;
mod outbox;
mod pulse;
mod recover;
mod settle;
mod user;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::Duration;

use millstream_operators::global::Globals;
use millstream_state::engine::Storage;
use millstream_state::store::CacheBudget;

pub use error::WorkerError;
pub(crate) use input::InputWatch;
pub use messages::{AssignedTask, FromWorker, ToWorker};
pub(crate) use open::open;
pub use pulse::Pulse;
pub(crate) use user::words;

use crate::broker::{Admin, Broker, ErrorClass, Fetcher, Isolation, Ownership, Wake};
use crate::clock::Monotonic;
use crate::commit::{OffsetCommitter, Transaction, TransactionSettings};
use crate::restore::{RestoreError, Restoring, Running};
use crate::task::{Now, TaskId, TaskRules};
use crate::trouble::Breaker;
use metering::Meter;
use outbox::Routes;
use recover::{Ailing, Healing, Sick};

/// What a worker is made of. It can be sent; the worker, which holds operator chains, is made on its own thread.
pub struct WorkerSeed {
    /// Its index in the instance, from 0.
    pub index: usize,
    /// The cluster.
    pub broker: Arc<dyn Broker>,
    /// Where the tasks' databases are.
    pub storage: Arc<dyn Storage>,
    /// Its producer.
    pub transaction: TransactionSettings,
    /// Its way to the membership.
    pub committer: OffsetCommitter,
    /// What else it is told.
    pub settings: WorkerSettings,
    /// The instance's global stores.
    pub globals: Globals,
    /// Messages to it.
    pub inbox: Receiver<ToWorker>,
    /// Messages from it, with its index.
    pub outbox: SyncSender<(usize, FromWorker)>,
    /// Wakes it.
    pub wake: Wake,
    /// Wakes the controller.
    pub controller: Wake,
    /// When it last began a step, for the controller to see.
    pub pulse: Arc<Pulse>,
}

/// Settings of a worker.
#[derive(Clone)]
pub struct WorkerSettings {
    /// How often to commit.
    pub commit_interval: Duration,
    /// A transaction is committed early when its uncommitted changes pass this many bytes.
    pub uncommitted_bytes: usize,
    /// A transaction is committed at the latest after this long.
    pub longest_transaction: Duration,
    /// How often processed records are deleted from repartition topics.
    pub purge_interval: Duration,
    /// Bound of the record caches of this worker's stores, in bytes.
    pub record_cache: usize,
    /// What tasks are told.
    pub rules: TaskRules,
    /// The application id, for metrics.
    pub application_id: String,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something was done; step again at once.
    Progress,
    /// Nothing to do until woken, or until this moment.
    WaitUntil(Option<Monotonic>),
    /// It is over.
    Stopped,
}

/// How many tasks a worker restores at once; the others wait for their turn.
const RESTORING: usize = 8;

/// See [`Worker::lull`].
const LONGEST_LULL: Duration = Duration::from_millis(2);

/// How often a worker with tasks looks for what nobody wakes it for.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// Why the worker does not take new records at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Working,
    /// Effects are being handed over and then committed; with `park`, all tasks are given back after it.
    Closing {
        park: bool,
    },
    /// The ownership is gone; waits to be told what comes next.
    Fenced,
    Stopped,
}

/// Why a transaction is being rolled back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Cause {
    /// The broker or the group does not let it be committed.
    #[default]
    Broker,
    /// There was nothing in it.
    Nothing,
    /// User code panicked, and all is tried once more.
    Replaced,
    /// User code panicked on a record that is left out from now on.
    Condemned,
    /// A task's stores failed.
    Stores,
}

/// A worker. See the module's description.
pub struct Worker {
    seed: WorkerSeed,
    admin: Arc<dyn Admin>,
    budget: CacheBudget,
    routes: Routes,
    meter: Meter,
    transaction: Transaction,
    ownership: Option<Ownership>,
    restoring: Vec<Restoring>,
    running: BTreeMap<TaskId, Running>,
    fetcher: Option<Box<dyn Fetcher>>,
    mode: Mode,
    announced: Announced,
    last_purge: Monotonic,
    /// When the last commit began.
    last_commit: Option<Monotonic>,
    /// Whether few records come at a time.
    trickles: bool,
    /// Why the transaction that is being rolled back is.
    cause: Cause,
    /// About transactions that cannot be committed.
    rollbacks: Breaker,
    /// Nothing is processed before this: the last transactions could not be committed.
    resume_at: Monotonic,
    /// How often in a row the operators were made anew because user code panicked.
    replaced: u32,
    /// Tasks to be closed when the transaction is settled.
    sick: BTreeMap<TaskId, Sick>,
    /// Tasks that are closed and to be opened again.
    ailing: Vec<Ailing>,
    /// Tasks that have failed since their last commit.
    healing: BTreeMap<TaskId, Healing>,
    /// Tasks that were given back before they were restored.
    unrestored: Vec<TaskId>,
}

/// What became of a task that is being restored.
enum Restored {
    /// It is there, and did something or not.
    Waits(bool),
    /// It processes, or has been closed.
    Gone,
}

#[derive(Default)]
struct Announced {
    ready: bool,
    running: bool,
}

impl Worker {
    /// Makes the worker; it starts to initialise its producer.
    ///
    /// # Errors
    /// If the producer's settings are refused.
    pub fn new(seed: WorkerSeed) -> Result<Self, WorkerError> {
        let transaction = Transaction::start(
            seed.broker.clone(),
            seed.committer.clone(),
            seed.transaction.clone(),
            seed.wake.clone(),
        )?;
        let what = format!("worker {} cannot commit, what it has processed is processed again", seed.index);
        let admin = seed.broker.admin();
        Ok(Self {
            budget: CacheBudget::new(seed.settings.record_cache),
            routes: Routes::new(admin.clone()),
            admin,
            rollbacks: Breaker::new(&seed.transaction.troubles, what),
            cause: Cause::default(),
            resume_at: Monotonic::default(),
            replaced: 0,
            sick: BTreeMap::new(),
            ailing: Vec::new(),
            healing: BTreeMap::new(),
            unrestored: Vec::new(),
            meter: Meter::new(&seed.settings.application_id, seed.index),
            transaction,
            ownership: None,
            restoring: Vec::new(),
            running: BTreeMap::new(),
            fetcher: None,
            mode: Mode::Working,
            announced: Announced::default(),
            last_purge: Monotonic::default(),
            last_commit: None,
            trickles: false,
            seed,
        })
    }

    /// The tasks that were being restored when all were given back the last time. Their stores are behind their changelogs
    /// by as much as their marks say; who opens them next replays that.
    pub fn unrestored(&self) -> &[TaskId] {
        &self.unrestored
    }

    /// Does what can be done now.
    ///
    /// # Errors
    /// If the worker cannot go on. It must be dropped then; what it had not committed is not lost but processed again.
    pub fn step(&mut self, now: Now) -> Result<Step, WorkerError> {
        self.seed.pulse.beat(now.monotonic);
        let mut progress = self.receive(now)?;
        if self.mode == Mode::Stopped {
            return Ok(Step::Stopped);
        }
        if self.mode == Mode::Fenced && now.monotonic >= self.resume_at {
            tracing::warn!("the group does not say that the tasks are gone: going on with them");
            self.mode = Mode::Working;
        }
        progress |= self.advance_transaction(now)?;
        progress |= self.restore(now)?;
        if self.mode == Mode::Working && self.transaction.ready() && now.monotonic >= self.resume_at {
            progress |= self.work(now)?;
        }
        progress |= self.close_if_due(now)?;
        self.purge(now);
        self.meter.tick(now, &mut self.running, &self.restoring);
        Ok(if progress { Step::Progress } else { Step::WaitUntil(self.deadline(now)) })
    }

    fn receive(&mut self, now: Now) -> Result<bool, WorkerError> {
        let mut progress = false;
        if !self.announced.ready && self.transaction.ready() {
            self.announced.ready = true;
            tracing::debug!(worker = self.seed.index, "the producer is initialised");
            self.tell(FromWorker::Ready);
            progress = true;
        }
        loop {
            match self.seed.inbox.try_recv() {
                Ok(ToWorker::Assign { ownership, tasks }) => self.assign(ownership, tasks, now)?,
                Ok(ToWorker::Revoke) => self.mode = Mode::Closing { park: true },
                Ok(ToWorker::Lost) => self.lose(now)?,
                Ok(ToWorker::Stop) => {
                    self.mode = Mode::Stopped;
                    self.tell(FromWorker::Stopped);
                    return Ok(true);
                }
                Err(TryRecvError::Empty) => return Ok(progress),
                // Without a controller there is nobody to work for.
                Err(TryRecvError::Disconnected) => {
                    self.mode = Mode::Stopped;
                    return Ok(true);
                }
            }
            progress = true;
        }
    }

    fn tell(&self, message: FromWorker) {
        // The controller outlives its workers; if it is gone all the same, the next receive ends this worker.
        let _ = self.seed.outbox.try_send((self.seed.index, message));
        self.seed.controller.wake();
    }

    fn assign(&mut self, ownership: Ownership, tasks: Vec<AssignedTask>, now: Now) -> Result<(), WorkerError> {
        self.mode = Mode::Working;
        self.ownership = Some(ownership);
        self.announced.running = false;
        self.unrestored.clear();
        for task in tasks {
            let mut state = match task.parked {
                Some(state) => state,
                None => open(&*self.seed.storage, task.id, &task.plan)?,
            };
            state.cx.globals = self.seed.globals.clone();
            let restoring = Restoring::begin(state, task.inputs, now.monotonic, &self.seed.transaction.troubles);
            self.restoring.push(restoring);
        }
        Ok(())
    }

    fn restore(&mut self, now: Now) -> Result<bool, WorkerError> {
        // No task processes before its stores are complete, and none starts while a transaction is being settled.
        if matches!(self.mode, Mode::Closing { park: true } | Mode::Fenced) {
            return Ok(false);
        }
        let mut progress = self.heal(now)?;
        if self.restoring.is_empty() {
            if !self.ailing.is_empty() {
                return Ok(progress);
            }
            self.fetcher = None;
            if !self.announced.running && self.ownership.is_some() && self.mode == Mode::Working {
                self.announced.running = true;
                self.tell(FromWorker::AllRunning);
                return Ok(true);
            }
            return Ok(progress);
        }
        if self.fetcher.is_none() {
            self.fetcher = Some(self.seed.broker.fetcher(Isolation::ReadCommitted, self.seed.wake.clone())?);
        }
        let mut index = 0;
        // Each that asks has several calls under way, of which a client takes only so many.
        while index < self.restoring.len().min(RESTORING) {
            match self.restore_one(index, now)? {
                Restored::Waits(did) => {
                    progress |= did;
                    index += 1;
                }
                // Another has taken its place.
                Restored::Gone => progress = true,
            }
        }
        Ok(progress)
    }

    fn restore_one(&mut self, index: usize, now: Now) -> Result<Restored, WorkerError> {
        let Some(fetcher) = &mut self.fetcher else { return Ok(Restored::Waits(false)) };
        match self.restoring[index].step(now, &*self.admin, &mut **fetcher) {
            Ok((did, false)) => return Ok(Restored::Waits(did)),
            Ok((_, true)) => {}
            Err(RestoreError::Task(error)) => {
                let id = self.restoring[index].id();
                let Some(fault) = error.storage().filter(|_| !self.is_past_help(id)) else {
                    return Err(RestoreError::Task(error).into());
                };
                self.restoring_failed(index, fault, &error, now)?;
                return Ok(Restored::Gone);
            }
            Err(error) => return Err(error.into()),
        }
        let restored = self.restoring.swap_remove(index);
        let id = restored.id();
        let mut running = match restored.finish(self.seed.settings.rules.clone(), &self.budget) {
            Ok(running) => running,
            // The partitions are no longer ours; the controller will say so.
            Err(RestoreError::Broker { source, .. }) if source.class == ErrorClass::MemberFenced => {
                return Ok(Restored::Gone);
            }
            Err(error) => return Err(error.into()),
        };
        self.restored(id, now);
        for queue in &mut running.queues {
            queue.set_wake(self.seed.wake.clone());
        }
        self.running.insert(running.task.id(), running);
        Ok(Restored::Gone)
    }

    fn deadline(&self, now: Now) -> Option<Monotonic> {
        let commit = self.transaction.open_since().map(|since| self.commit_at(since));
        let idle = self.running.values().filter_map(|running| running.task.idle_deadline());
        let idle = idle.filter(|at| *at > now.monotonic);
        let restore = self.restoring.iter().filter_map(Restoring::deadline);
        let timers = self.running.values().filter_map(|running| running.task.punctuation_deadline(now));
        // Control records at the end of a partition, and admin tickets, wake nobody.
        let busy = !self.running.is_empty() || !self.restoring.is_empty();
        let look = busy.then(|| now.monotonic.after(LOOK_AGAIN));
        commit
            .into_iter()
            .chain(idle)
            .chain(restore)
            .chain(timers)
            .chain(look)
            .chain(self.transaction.deadline())
            .chain(self.next_opening())
            .chain((self.resume_at > now.monotonic).then_some(self.resume_at))
            .chain(self.routes.deadline())
            .min()
    }

    fn commit_after(&self) -> Duration {
        self.seed.settings.commit_interval.min(self.seed.settings.longest_transaction)
    }

    /// When a transaction that has been open since then is to be committed: an interval after the commit before it began, so that
    /// short commits are as far apart as was asked for; but not much earlier than an interval after its own beginning, or long
    /// commits would leave little time for work.
    fn commit_at(&self, since: Monotonic) -> Monotonic {
        let interval = self.commit_after();
        let latest = since.after(interval);
        self.last_commit.map_or(latest, |began| began.after(interval).max(since.after(interval / 20 * 19)).min(latest))
    }

    /// How long what arrives now may wait though there is nothing else to do: nobody sees anything of a transaction before it is
    /// committed, and to wake up for each of a few records costs more than to process them.
    pub(crate) fn lull(&self) -> Duration {
        let waits = self.trickles && self.mode == Mode::Working && self.restoring.is_empty();
        let open = self.transaction.transactional() && self.transaction.open_since().is_some();
        if waits && open { (self.commit_after() / 50).min(LONGEST_LULL) } else { Duration::ZERO }
    }
}
