//! A machine with its disk, and the process on it: the production controller and workers, each stepped by itself.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use millstream::broker::{Broker, Wake};
use millstream::clock::Monotonic;
use millstream::instance::{Controller, Parts, State, Who, assemble};
use millstream::operators::topology::Topology;
use millstream::state::engine::MemoryStorage;
use millstream::task::{Now, TaskId};
use millstream::worker::{Step, Worker, WorkerError};
use millstream::{StreamsConfig, StreamsError};

use super::disk::Disk;
use super::link::Link;

/// Nobody sleeps longer than this, as in the production loop.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

/// When a thread is to go on.
struct Sleeper {
    woken: Arc<AtomicBool>,
    due: Monotonic,
    /// Until when it gets nowhere, whatever wakes it.
    stalled: Monotonic,
}

impl Sleeper {
    fn new(now: Monotonic) -> Self {
        Self { woken: Arc::default(), due: now, stalled: now }
    }

    fn wake(&self) -> Wake {
        let woken = self.woken.clone();
        Wake::new(move || woken.store(true, Ordering::Relaxed))
    }

    fn is_due(&self, now: Monotonic) -> bool {
        now >= self.stalled && (now >= self.due || self.woken.load(Ordering::Relaxed))
    }

    fn after(&mut self, step: Step, now: Monotonic) {
        self.due = match step {
            Step::Progress | Step::Stopped => now,
            Step::WaitUntil(_) if self.woken.swap(false, Ordering::Relaxed) => now,
            Step::WaitUntil(until) => now.after(until.map_or(LONGEST_SLEEP, |at| at.since(now).min(LONGEST_SLEEP))),
        };
    }
}

/// How a process has ended.
#[derive(Debug)]
pub(super) enum End {
    Clean,
    Failed(Arc<StreamsError>),
}

/// A live process.
pub(super) struct Process {
    controller: Controller,
    workers: Vec<Option<Worker>>,
    sleepers: Vec<Sleeper>,
    pub(super) link: Arc<Link>,
    /// Whether it was asked to stop.
    pub(super) stopping: bool,
    /// Tasks whose restoration its stop has cut short.
    pub(super) unrestored: BTreeSet<TaskId>,
}

impl Process {
    /// Steps the controller (0) or a worker; answers how the process has ended, once it has.
    pub(super) fn step(&mut self, unit: usize, now: Now) -> Option<End> {
        let step = match unit.checked_sub(1) {
            None => self.controller.step(now),
            Some(index) => self.step_worker(index, now),
        };
        self.sleepers[unit].after(step, now.monotonic);
        if unit > 0 || step != Step::Stopped {
            return None;
        }
        Some(match self.controller.error() {
            Some(error) => End::Failed(error),
            None => End::Clean,
        })
    }

    fn step_worker(&mut self, index: usize, now: Now) -> Step {
        let Some(worker) = &mut self.workers[index] else { return Step::WaitUntil(None) };
        let error = match catch_unwind(AssertUnwindSafe(|| worker.step(now))) {
            Ok(Ok(Step::Stopped)) => {
                self.unrestored.extend(worker.unrestored());
                None
            }
            Ok(Ok(step)) => return step,
            Ok(Err(error)) => Some(error),
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let message = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                Some(WorkerError::Panicked { worker: index, message })
            }
        };
        self.workers[index] = None;
        if let Some(error) = error {
            self.controller.worker_failed(index, error);
            self.sleepers[0].woken.store(true, Ordering::Relaxed);
        }
        Step::WaitUntil(None)
    }

    pub(super) fn units(&self) -> usize {
        self.sleepers.len()
    }

    pub(super) fn is_due(&self, unit: usize, now: Monotonic) -> bool {
        let alive = unit == 0 || self.workers[unit - 1].is_some();
        alive && self.sleepers[unit].is_due(now)
    }

    /// When something of it is to go on without being woken.
    pub(super) fn next_due(&self) -> Option<Monotonic> {
        let alive = |unit: &usize| *unit == 0 || self.workers[*unit - 1].is_some();
        (0..self.units())
            .filter(alive)
            .map(|unit| &self.sleepers[unit])
            .map(|sleeper| match sleeper.woken.load(Ordering::Relaxed) {
                true => sleeper.stalled,
                false => sleeper.due.max(sleeper.stalled),
            })
            .min()
    }

    pub(super) fn stall(&mut self, unit: usize, until: Monotonic) {
        let units = self.units();
        self.sleepers[unit % units].stalled = until;
    }

    pub(super) fn end_stalls(&mut self) {
        self.sleepers.iter_mut().for_each(|sleeper| sleeper.stalled = Monotonic::default());
    }

    pub(super) fn shut_down(&mut self) {
        self.stopping = true;
        self.controller.shut_down();
        self.sleepers[0].woken.store(true, Ordering::Relaxed);
    }

    pub(super) fn state(&self) -> State {
        self.controller.state()
    }
}

/// A machine: a name, a disk, and perhaps a process.
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) storage: MemoryStorage,
    pub(super) process: Option<Process>,
    /// Whether it is to have a process.
    pub(super) wanted: bool,
    /// When its process is to be started again.
    pub(super) start_at: Option<Monotonic>,
    pub(super) paused_until: Option<Monotonic>,
    pub(super) cut_until: Option<Monotonic>,
    pub(super) disk_heals_at: Option<Monotonic>,
    /// The most workers a process on it has had.
    pub(super) workers_ever: usize,
    /// Processes started on it.
    pub(super) starts: u64,
    /// Tasks whose restoration the last clean stop has cut short.
    pub(super) unrestored: BTreeSet<TaskId>,
}

/// What a process is started with.
pub(super) struct Boot {
    pub(super) topology: Arc<Topology>,
    pub(super) config: StreamsConfig,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) link: Arc<Link>,
    pub(super) torn_writes: bool,
    pub(super) nonce: u64,
}

impl Machine {
    pub(super) fn new(name: String) -> Self {
        let storage = MemoryStorage::new();
        storage.keep_history();
        Self {
            name,
            storage,
            process: None,
            wanted: true,
            start_at: None,
            paused_until: None,
            cut_until: None,
            disk_heals_at: None,
            workers_ever: 0,
            starts: 0,
            unrestored: BTreeSet::new(),
        }
    }

    pub(super) fn boot(&mut self, boot: Boot, now: Monotonic) {
        let Boot { topology, config, broker, link, torn_writes, nonce } = boot;
        self.starts += 1;
        let workers = config.workers;
        self.workers_ever = self.workers_ever.max(workers);
        let sleepers: Vec<Sleeper> = (0..=workers).map(|_| Sleeper::new(now)).collect();
        let parts = Parts {
            topology,
            config,
            broker,
            storage: Arc::new(Disk::new(self.storage.clone(), link.clone(), torn_writes)),
            who: Who { name: self.name.clone(), workers_ever: self.workers_ever, nonce },
        };
        let (controller, seeds) = assemble(&parts, |unit| sleepers[unit.map_or(0, |unit| unit + 1)].wake());
        let mut controller = Controller::new(controller);
        let mut made = Vec::with_capacity(workers);
        for (index, seed) in seeds.into_iter().enumerate() {
            match Worker::new(seed) {
                Ok(worker) => made.push(Some(worker)),
                Err(error) => {
                    controller.worker_failed(index, error);
                    made.push(None);
                }
            }
        }
        self.process =
            Some(Process { controller, workers: made, sleepers, link, stopping: false, unrestored: BTreeSet::new() });
    }

    /// Whether its process can do anything now.
    pub(super) fn runs(&self) -> bool {
        self.paused_until.is_none() && self.process.is_some()
    }
}
