//! A worker: a state machine that owns tasks and one producer, and is stepped by a thread or by a simulation.
//!
//! ```text
//!  step(now): messages → transaction's answers → restore → fetch, process, send → commit when due
//!                                                                  └ Progress | WaitUntil(t) | Stopped
//! ```
//! Workers share nothing mutable: tasks come and go as values, in messages.

mod error;
mod fetch;
mod messages;
mod metering;
mod open;
mod outbox;
mod pulse;
mod settle;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::Duration;

use millstream_state::engine::Storage;
use millstream_state::store::CacheBudget;

pub use error::WorkerError;
pub use messages::{AssignedTask, FromWorker, ToWorker};
pub(crate) use open::open;
pub use pulse::Pulse;

use crate::broker::{Broker, Fetcher, Isolation, Ownership, Wake};
use crate::clock::Monotonic;
use crate::commit::{OffsetCommitter, Transaction, TransactionSettings};
use crate::restore::{Restoring, Running};
use crate::task::{Now, TaskId, TaskRules};
use metering::Meter;
use outbox::Routes;

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

/// A worker. See the module's description.
pub struct Worker {
    seed: WorkerSeed,
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
        Ok(Self {
            budget: CacheBudget::new(seed.settings.record_cache),
            routes: Routes::new(seed.broker.admin()),
            meter: Meter::new(&seed.settings.application_id, seed.index),
            transaction,
            ownership: None,
            restoring: Vec::new(),
            running: BTreeMap::new(),
            fetcher: None,
            mode: Mode::Working,
            announced: Announced::default(),
            last_purge: Monotonic::default(),
            seed,
        })
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
        progress |= self.advance_transaction(now)?;
        progress |= self.restore(now)?;
        if self.mode == Mode::Working && self.transaction.ready() {
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
        for task in tasks {
            let state = match task.parked {
                Some(state) => state,
                None => open(&*self.seed.storage, task.id, &task.plan)?,
            };
            self.restoring.push(Restoring::begin(state, task.inputs, now.monotonic));
        }
        Ok(())
    }

    fn restore(&mut self, now: Now) -> Result<bool, WorkerError> {
        if self.restoring.is_empty() {
            if !self.announced.running && self.ownership.is_some() && self.mode == Mode::Working {
                self.announced.running = true;
                self.fetcher = None;
                self.tell(FromWorker::AllRunning);
                return Ok(true);
            }
            return Ok(false);
        }
        // No task processes before its stores are complete, and none starts while a transaction is being settled.
        if matches!(self.mode, Mode::Closing { park: true } | Mode::Fenced) {
            return Ok(false);
        }
        let admin = self.seed.broker.admin();
        let fetcher = match &mut self.fetcher {
            Some(fetcher) => fetcher,
            None => self.fetcher.insert(self.seed.broker.fetcher(Isolation::ReadCommitted, self.seed.wake.clone())?),
        };
        let mut progress = false;
        let mut index = 0;
        while index < self.restoring.len() {
            // Each that asks has several calls under way, of which a client takes only so many.
            if index >= RESTORING {
                break;
            }
            let (did, complete) = self.restoring[index].step(now, &*admin, &mut **fetcher)?;
            progress |= did;
            if complete {
                let restored = self.restoring.swap_remove(index);
                let mut running = restored.finish(self.seed.settings.rules.clone(), &self.budget)?;
                for queue in &mut running.queues {
                    queue.set_wake(self.seed.wake.clone());
                }
                self.running.insert(running.task.id(), running);
                progress = true;
            } else {
                index += 1;
            }
        }
        Ok(progress)
    }

    fn deadline(&self, now: Now) -> Option<Monotonic> {
        let commit = self.transaction.open_since().map(|since| since.after(self.commit_after()));
        let idle = self.running.values().filter_map(|running| running.task.idle_deadline());
        let idle = idle.filter(|at| *at > now.monotonic);
        let restore = self.restoring.iter().filter_map(Restoring::deadline);
        // Control records at the end of a partition, and admin tickets, wake nobody.
        let busy = !self.running.is_empty() || !self.restoring.is_empty();
        let look = busy.then(|| now.monotonic.after(LOOK_AGAIN));
        commit
            .into_iter()
            .chain(idle)
            .chain(restore)
            .chain(look)
            .chain(self.transaction.deadline())
            .chain(self.routes.deadline())
            .min()
    }

    fn commit_after(&self) -> Duration {
        self.seed.settings.commit_interval.min(self.seed.settings.longest_transaction)
    }
}
