//! An instance of an application: a controller that holds the membership, and workers that hold the tasks.
//!
//! ```text
//!            Member ──events──► Controller ──Assign / Revoke / Lost / Stop──► Worker 0 … n
//!                   ◄──ack────             ◄──Ready / AllRunning / Parked ───
//! ```
//! Both are stepped; [`Instance`] steps them in one thread (simulation, tests), [`crate::Streams`] gives each a thread.

mod ahead;
mod assign;
mod controller;
mod error;
mod state;
mod topics;

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use millstream_operators::global::Globals;
use millstream_operators::topology::Topology;
use millstream_state::engine::Storage;

pub use controller::{Controller, ControllerSeed, WorkerHandle};
pub use error::{StreamsError, TopicRole};
pub use state::{State, StateCell};

use crate::broker::{Broker, ProducerSettings, Wake};
use crate::clock::Monotonic;
use crate::commit::{OffsetCommitter, TransactionSettings};
use crate::config::{Guarantee, StreamsConfig};
use crate::task::Now;
use crate::trouble::{Trouble, Troubles};
use crate::worker::{Pulse, Step, Worker, WorkerSeed, WorkerSettings};

/// Messages that may wait between two parts of an instance. Each part has at most one request under way per other.
const CHANNEL: usize = 256;

/// Who an instance is.
#[derive(Clone, Debug)]
pub struct Who {
    /// The identity kept in the state directory.
    pub name: String,
    /// The highest number of workers this identity has ever used.
    pub workers_ever: usize,
    /// A number that no other start of any instance has.
    pub nonce: u64,
}

/// What an instance is made of.
#[derive(Clone)]
pub struct Parts {
    /// Its topology.
    pub topology: Arc<Topology>,
    /// Its settings.
    pub config: StreamsConfig,
    /// The cluster.
    pub broker: Arc<dyn Broker>,
    /// Where its tasks' databases are.
    pub storage: Arc<dyn Storage>,
    /// Who it is.
    pub who: Who,
}

/// Takes an instance apart into a controller and workers, each to be stepped where the caller wants. `wake(None)` is
/// the controller's wake, `wake(Some(n))` that of worker `n`.
pub fn assemble(parts: &Parts, wake: impl Fn(Option<usize>) -> Wake) -> (ControllerSeed, Vec<WorkerSeed>) {
    let workers = parts.config.workers.max(1);
    let (events_in, events) = sync_channel(CHANNEL);
    let (offsets_in, offset_requests) = sync_channel(CHANNEL);
    let committer = OffsetCommitter::new(offsets_in, wake(None));
    let globals = Globals::default();
    let troubles = Troubles::new(&parts.config.application_id, parts.who.nonce);
    let mut handles = Vec::new();
    let mut seeds = Vec::new();
    for index in 0..workers {
        let (inbox_in, inbox) = sync_channel(CHANNEL);
        let pulse = Arc::new(Pulse::default());
        handles.push(WorkerHandle { inbox: inbox_in, wake: wake(Some(index)), pulse: pulse.clone() });
        seeds.push(WorkerSeed {
            index,
            broker: parts.broker.clone(),
            storage: parts.storage.clone(),
            transaction: TransactionSettings {
                producer: producer_settings(parts, index),
                group: parts.config.application_id.clone(),
                nonce: parts.who.nonce ^ ((index as u64 + 1) << 48),
                troubles: troubles.clone(),
            },
            committer: committer.clone(),
            settings: worker_settings(&parts.config, workers),
            globals: globals.clone(),
            inbox,
            outbox: events_in.clone(),
            wake: wake(Some(index)),
            controller: wake(None),
            pulse,
        });
    }
    let controller = ControllerSeed {
        parts: parts.clone(),
        workers: handles,
        events,
        offset_requests,
        globals,
        wake: wake(None),
        troubles,
    };
    (controller, seeds)
}

/// The producer of worker `index`; its transactional id is stable over restarts.
pub(crate) fn producer_settings(parts: &Parts, index: usize) -> ProducerSettings {
    let app = &parts.config.application_id;
    let id = format!("{app}-{}-{index}", parts.who.name);
    let (transactional_id, transaction_timeout) = match parts.config.guarantee {
        Guarantee::ExactlyOnce { transaction_timeout } => (Some(id.clone()), transaction_timeout),
        Guarantee::AtLeastOnce => (None, std::time::Duration::from_secs(60)),
    };
    ProducerSettings { client_id: id, transactional_id, transaction_timeout }
}

fn worker_settings(config: &StreamsConfig, workers: usize) -> WorkerSettings {
    let interval = config.effective_commit_interval();
    let longest = match config.guarantee {
        Guarantee::ExactlyOnce { transaction_timeout } => transaction_timeout / 2,
        Guarantee::AtLeastOnce => interval,
    };
    WorkerSettings {
        commit_interval: interval,
        uncommitted_bytes: config.memory.uncommitted,
        longest_transaction: longest,
        purge_interval: config.repartition_purge_interval,
        record_cache: config.memory.record_cache / workers,
        rules: config.rules(),
        application_id: config.application_id.clone(),
    }
}

/// An instance that is stepped in one thread. Dropped without [`Instance::shut_down`], it ends as after a crash: what is not
/// committed is processed again by whoever comes next.
pub struct Instance {
    controller: Controller,
    workers: Vec<Option<Worker>>,
    troubles: Troubles,
}

impl Instance {
    /// Assembles the instance; it starts to resolve its topics at the first step.
    ///
    /// # Errors
    /// If a worker's producer is refused.
    pub fn new(parts: &Parts, wake: &Wake) -> Result<Self, StreamsError> {
        let (controller, seeds) = assemble(parts, |_| wake.clone());
        let workers = seeds
            .into_iter()
            .map(|seed| Worker::new(seed).map(Some))
            .collect::<Result<_, _>>()
            .map_err(|source| StreamsError::Worker { source })?;
        let troubles = controller.troubles.clone();
        Ok(Self { controller: Controller::new(controller), workers, troubles })
    }

    /// Steps the controller and every worker once.
    pub fn step(&mut self, now: Now) -> Step {
        let mut steps = vec![self.controller.step(now)];
        for (index, slot) in self.workers.iter_mut().enumerate() {
            let Some(worker) = slot else { continue };
            match worker.step(now) {
                Ok(Step::Stopped) => *slot = None,
                Ok(step) => steps.push(step),
                Err(error) => {
                    *slot = None;
                    self.controller.worker_failed(index, error);
                    steps.push(Step::Progress);
                }
            }
        }
        if steps[0] == Step::Stopped {
            return Step::Stopped;
        }
        if steps.contains(&Step::Progress) {
            return Step::Progress;
        }
        let deadlines = steps.iter().filter_map(|step| match step {
            Step::WaitUntil(at) => *at,
            _ => None,
        });
        let earliest: Option<Monotonic> = deadlines.min();
        Step::WaitUntil(earliest)
    }

    /// Asks for a clean stop: commit, hand over, leave.
    pub fn shut_down(&mut self) {
        self.controller.shut_down();
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        self.controller.state()
    }

    /// Why it is in [`State::Error`].
    pub fn error(&self) -> Option<Arc<StreamsError>> {
        self.controller.error()
    }

    /// What does not work at present and is tried again.
    pub fn troubles(&self) -> Vec<Trouble> {
        self.troubles.list()
    }
}
