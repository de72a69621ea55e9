//! The controller: resolves topics, holds the membership, hands tasks to workers and takes them back.
//!
//! ```text
//!  Resolving → Preparing → Joined ⇄ Collecting (workers give their tasks back)
//!       └───────────┴────────┴──► Leaving → Stopping → Done
//! ```

mod stop;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::time::Duration;

use millstream_operators::global::Globals;

use super::ahead::Ahead;
use super::error::StreamsError;
use super::state::{State, StateCell};
use super::topics::TopicWatch;
use super::{Parts, assign, producer_settings};
use crate::broker::{Admin, Assigned, Completer, Member, MemberEvent, MemberSettings, Producer, Ticket, Wake};
use crate::clock::Monotonic;
use crate::commit::OffsetRequest;
use crate::config::Guarantee;
use crate::global::{Keeper, KeeperSeed};
use crate::task::{Now, TaskId, TaskPlan, TaskState};
use crate::topics::{Resolver, subscription};
use crate::trouble::{Breaker, Troubles};
use crate::worker::{FromWorker, Pulse, Step, ToWorker, WorkerError};

/// The controller's end of a worker.
pub struct WorkerHandle {
    /// Messages to it.
    pub inbox: SyncSender<ToWorker>,
    /// Wakes it.
    pub wake: Wake,
    /// Its sign of life.
    pub pulse: Arc<Pulse>,
}

/// What a controller is made of.
pub struct ControllerSeed {
    /// The instance's parts.
    pub parts: Parts,
    /// Its workers.
    pub workers: Vec<WorkerHandle>,
    /// Messages from them.
    pub events: Receiver<(usize, FromWorker)>,
    /// Offsets they want committed outside of transactions.
    pub offset_requests: Receiver<OffsetRequest>,
    /// The global stores, which the controller keeps up to date.
    pub globals: Globals,
    /// Wakes the controller.
    pub wake: Wake,
    /// Where it is told what is refused and tried again.
    pub troubles: Troubles,
}

/// A producer that only initialises a transactional id of an earlier life, with the worker's index in the id.
struct Orphan {
    index: usize,
    /// Kept until the answer is there: with it the call would end.
    _producer: Box<dyn Producer>,
    ticket: Ticket<()>,
}

enum Phase {
    Created,
    Resolving(Box<Resolver>),
    /// Waits until every transactional id of this identity is initialised, so that nothing of an earlier life is open.
    Preparing {
        orphans: Vec<Orphan>,
    },
    Joined,
    /// Waits for the workers to give their tasks back.
    Collecting {
        acknowledge: bool,
    },
    /// Waits for the member to have left; revocation events still come.
    Leaving {
        ticket: Ticket<()>,
    },
    /// The same, while workers give their tasks back.
    LeavingCollecting {
        ticket: Ticket<()>,
        acknowledge: bool,
    },
    Stopping,
    Done,
}

#[derive(Clone, Copy, Default)]
struct WorkerStatus {
    ready: bool,
    has_tasks: bool,
    running: bool,
    gone: bool,
}

/// The controller. See the module's description.
pub struct Controller {
    seed: ControllerSeed,
    admin: Arc<dyn Admin>,
    phase: Phase,
    status: Vec<WorkerStatus>,
    plans: Vec<Arc<TaskPlan>>,
    member: Option<Box<dyn Member>>,
    parked: BTreeMap<TaskId, TaskState>,
    ahead: Ahead,
    keeper: Option<Keeper>,
    topics: TopicWatch,
    homes: BTreeMap<TaskId, usize>,
    commits: Vec<(Ticket<()>, Completer<()>)>,
    /// About the group, which does not take the member in.
    joining: Breaker,
    state: StateCell,
    error: Option<Arc<StreamsError>>,
    stop: bool,
    /// When to stop waiting for a clean end; set when the stop begins.
    stop_by: Option<Monotonic>,
    /// Whether the clean end was given up.
    gave_up: bool,
}

impl Controller {
    /// Makes a controller that has not started.
    pub fn new(seed: ControllerSeed) -> Self {
        Self {
            status: vec![WorkerStatus::default(); seed.workers.len()],
            admin: seed.parts.broker.admin(),
            phase: Phase::Created,
            plans: Vec::new(),
            member: None,
            parked: BTreeMap::new(),
            ahead: Ahead::default(),
            keeper: None,
            topics: TopicWatch::default(),
            homes: BTreeMap::new(),
            commits: Vec::new(),
            joining: Breaker::new(
                &seed.troubles,
                format!("group {} cannot be joined", seed.parts.config.application_id),
            ),
            state: StateCell::default(),
            error: None,
            stop: false,
            stop_by: None,
            gave_up: false,
            seed,
        }
    }

    /// The same, with its state in a cell that others watch.
    pub fn with_state(seed: ControllerSeed, state: StateCell) -> Self {
        Self { state, ..Self::new(seed) }
    }

    /// What the instance is doing.
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// Why it is in [`State::Error`].
    pub fn error(&self) -> Option<Arc<StreamsError>> {
        self.error.clone()
    }

    /// Whether a worker may still be held up somewhere: it is stuck, or its client waits for a broker.
    pub fn left_something_behind(&self) -> bool {
        self.gave_up || self.error.as_deref().is_some_and(|error| matches!(error, StreamsError::Stuck { .. }))
    }

    /// Asks for a clean stop.
    pub fn shut_down(&mut self) {
        self.stop = true;
    }

    /// Reports that a worker cannot go on and is gone.
    pub fn worker_failed(&mut self, worker: usize, error: WorkerError) {
        self.status[worker] = WorkerStatus { gone: true, ..WorkerStatus::default() };
        self.fail(StreamsError::Worker { source: error });
    }

    fn fail(&mut self, error: StreamsError) {
        tracing::error!("{}: {error}", self.app());
        self.error.get_or_insert_with(|| Arc::new(error));
        self.stop = true;
    }

    fn app(&self) -> &str {
        &self.seed.parts.config.application_id
    }

    fn set_state(&self, state: State) {
        self.state.set(self.app(), state);
    }

    /// Does what can be done now.
    pub fn step(&mut self, now: Now) -> Step {
        let mut progress = self.serve_offsets();
        progress |= self.hear();
        self.watch(now.monotonic);
        progress |= match self.advance(now) {
            Ok(progress) => progress,
            Err(error) => {
                self.fail(error);
                true
            }
        };
        progress |= self.keep_globals(now);
        if self.stop {
            progress |= self.wind_down(now);
        }
        match &self.phase {
            Phase::Done => Step::Stopped,
            _ if progress => Step::Progress,
            // Tickets of the admin wake nobody; the answers are looked for instead.
            Phase::Resolving(_) | Phase::Preparing { .. } => {
                Step::WaitUntil(Some(now.monotonic.after(Duration::from_millis(10))))
            }
            _ => {
                let keeper = self.keeper.as_ref().map(|keeper| keeper.deadline(now));
                let topics = self.topics.deadline(now.monotonic).filter(|_| matches!(self.phase, Phase::Joined));
                Step::WaitUntil(self.stop_by.into_iter().chain(keeper).chain(topics).min())
            }
        }
    }

    /// Reads on for the global stores.
    fn keep_globals(&mut self, now: Now) -> bool {
        if self.stop {
            return false;
        }
        match self.keeper.as_mut().map(|keeper| keeper.step(now)) {
            None => false,
            Some(Ok(progress)) => progress,
            Some(Err(error)) => {
                self.fail(error.into());
                true
            }
        }
    }

    fn keeper_seed(&self) -> KeeperSeed {
        let Parts { topology, config, broker, storage, .. } = &self.seed.parts;
        KeeperSeed {
            topology: topology.clone(),
            application_id: config.application_id.clone(),
            broker: broker.clone(),
            storage: storage.clone(),
            undecodable: config.undecodable.clone(),
            globals: self.seed.globals.clone(),
            wake: self.seed.wake.clone(),
        }
    }

    /// A worker that is stuck in user code holds its tasks for ever unless somebody notices: the group sees only the
    /// member, which is alive.
    fn watch(&mut self, now: Monotonic) {
        let longest = self.seed.parts.config.max_poll_interval;
        for worker in 0..self.status.len() {
            let silence = self.seed.workers[worker].pulse.silence(now);
            if silence > longest && !self.status[worker].gone {
                self.status[worker] = WorkerStatus { gone: true, ..WorkerStatus::default() };
                self.fail(StreamsError::Stuck { worker, silence });
            }
        }
    }

    fn serve_offsets(&mut self) -> bool {
        let mut progress = false;
        while let Ok(OffsetRequest { offsets, ownership, completer }) = self.seed.offset_requests.try_recv() {
            progress = true;
            // Without a member the completer is dropped, which tells the worker that the outcome is not known.
            if let Some(member) = &mut self.member {
                self.commits.push((member.commit(offsets, &ownership), completer));
            }
        }
        let mut waiting = Vec::new();
        for (mut ticket, completer) in self.commits.drain(..) {
            match ticket.poll() {
                Some(answer) => {
                    progress = true;
                    completer.complete(answer);
                }
                None => waiting.push((ticket, completer)),
            }
        }
        self.commits = waiting;
        progress
    }

    fn hear(&mut self) -> bool {
        let mut progress = false;
        while let Ok((worker, message)) = self.seed.events.try_recv() {
            progress = true;
            match message {
                FromWorker::Ready => self.status[worker].ready = true,
                FromWorker::AllRunning => {
                    self.status[worker].running = true;
                    let all = self.status.iter().all(|status| status.running || status.gone);
                    if all && matches!(self.phase, Phase::Joined) && !self.stop {
                        self.set_state(State::Running);
                    }
                }
                FromWorker::Parked(tasks) => {
                    self.status[worker].has_tasks = false;
                    self.parked.extend(tasks.into_iter().map(|task| (task.id, task)));
                }
                FromWorker::MissesTopic => self.topics.hurry(),
                FromWorker::Stopped => self.status[worker].gone = true,
                FromWorker::Failed(error) => self.worker_failed(worker, error),
            }
        }
        progress
    }

    fn advance(&mut self, now: Now) -> Result<bool, StreamsError> {
        match std::mem::replace(&mut self.phase, Phase::Created) {
            Phase::Created => {
                self.set_state(State::Rebalancing);
                let Parts { topology, config, broker, .. } = &self.seed.parts;
                let deadline = now.monotonic.after(config.startup_timeout);
                let what = format!("the cluster at {} cannot be asked for its topics", config.bootstrap_servers);
                let breaker = Breaker::new(&self.seed.troubles, what);
                let resolver = Resolver::start(topology.clone(), config.clone(), broker.admin(), deadline, breaker);
                self.phase = Phase::Resolving(Box::new(resolver));
                Ok(true)
            }
            Phase::Resolving(mut resolver) => match resolver.poll(now.monotonic)? {
                None => {
                    self.phase = Phase::Resolving(resolver);
                    Ok(false)
                }
                Some(plans) => {
                    tracing::debug!("{}: the topics are resolved", self.app());
                    self.plans = plans;
                    self.keeper = Keeper::new(self.keeper_seed());
                    self.ahead = Ahead::new(&*self.seed.parts.storage, &self.plans);
                    self.topics = TopicWatch::new(&self.plans);
                    self.phase = Phase::Preparing { orphans: self.orphans()? };
                    Ok(true)
                }
            },
            Phase::Preparing { orphans } => Ok(self.prepare(orphans)? || self.open_ahead()),
            Phase::Joined => {
                self.phase = Phase::Joined;
                self.topics.step(now.monotonic, &*self.admin)?;
                Ok(self.listen(now.monotonic)? || self.open_ahead())
            }
            Phase::Collecting { acknowledge } => {
                let back = self.collected();
                if back {
                    self.acknowledge(acknowledge);
                }
                self.phase = if back { Phase::Joined } else { Phase::Collecting { acknowledge } };
                Ok(back)
            }
            Phase::Leaving { ticket } => self.leaving(ticket),
            Phase::LeavingCollecting { ticket, acknowledge } => {
                let back = self.collected();
                if back {
                    self.acknowledge(acknowledge);
                    self.phase = Phase::Leaving { ticket };
                } else {
                    self.phase = Phase::LeavingCollecting { ticket, acknowledge };
                }
                Ok(back)
            }
            Phase::Stopping => {
                let stopped = self.status.iter().all(|status| status.gone);
                if stopped {
                    self.close_parked();
                    if let Some(mut keeper) = self.keeper.take() {
                        keeper.close();
                    }
                    self.member = None;
                    self.set_state(if self.error.is_some() { State::Error } else { State::NotRunning });
                }
                self.phase = if stopped { Phase::Done } else { Phase::Stopping };
                Ok(stopped)
            }
            Phase::Done => {
                self.phase = Phase::Done;
                Ok(false)
            }
        }
    }

    fn open_ahead(&mut self) -> bool {
        !self.stop && self.ahead.step(&*self.seed.parts.storage, &mut self.parked)
    }

    /// Transactional ids that an earlier life with more workers may have left open.
    fn orphans(&self) -> Result<Vec<Orphan>, StreamsError> {
        let parts = &self.seed.parts;
        if parts.config.guarantee == Guarantee::AtLeastOnce {
            return Ok(Vec::new());
        }
        (self.seed.workers.len()..parts.who.workers_ever).map(|index| self.orphan(index)).collect()
    }

    fn orphan(&self, index: usize) -> Result<Orphan, StreamsError> {
        let parts = &self.seed.parts;
        let producer = parts.broker.producer(producer_settings(parts, index), self.seed.wake.clone());
        let mut producer = producer.map_err(|source| StreamsError::Worker { source: source.into() })?;
        let ticket = producer.init();
        Ok(Orphan { index, _producer: producer, ticket })
    }

    fn prepare(&mut self, orphans: Vec<Orphan>) -> Result<bool, StreamsError> {
        let mut left = Vec::new();
        for mut orphan in orphans {
            match orphan.ticket.poll() {
                None => left.push(orphan),
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    tracing::warn!(
                        "a transactional id of an earlier start could not be initialised, trying again: {error}"
                    );
                    // A producer can be asked once.
                    left.push(self.orphan(orphan.index)?);
                }
            }
        }
        let ready = self.status.iter().all(|status| status.ready || status.gone);
        let complete = self.keeper.as_ref().is_none_or(Keeper::is_ready);
        if !ready || !complete || !left.is_empty() {
            self.phase = Phase::Preparing { orphans: left };
            return Ok(false);
        }
        let Parts { topology, config, broker, who, .. } = &self.seed.parts;
        let settings = MemberSettings {
            client_id: format!("{}-{}", config.application_id, who.name),
            group: config.application_id.clone(),
            instance_id: Some(format!("{}-{}", config.application_id, who.name)),
            topics: subscription(topology, &config.application_id),
            session_timeout: config.session_timeout,
            max_poll_interval: config.max_poll_interval,
            queued_bytes: config.memory.fetched_per_partition,
        };
        let member = broker.member(settings, self.seed.wake.clone());
        self.member = Some(member.map_err(|source| self.membership(source))?);
        self.phase = Phase::Joined;
        Ok(true)
    }

    fn membership(&self, source: crate::broker::BrokerError) -> StreamsError {
        StreamsError::Membership { group: self.app().to_owned(), source }
    }

    fn listen(&mut self, now: Monotonic) -> Result<bool, StreamsError> {
        let Some(event) = self.member.as_mut().and_then(|member| member.poll()) else { return Ok(false) };
        match event {
            MemberEvent::Revoking => {
                self.set_state(State::Rebalancing);
                self.collect(|| ToWorker::Revoke);
                self.phase = Phase::Collecting { acknowledge: true };
            }
            MemberEvent::Lost => {
                tracing::warn!("{}: the group has given our tasks to others", self.app());
                self.set_state(State::Rebalancing);
                self.collect(|| ToWorker::Lost);
                self.phase = Phase::Collecting { acknowledge: false };
            }
            MemberEvent::Assigned(assigned) => {
                self.joining.worked(now);
                self.assign(assigned)?;
            }
            // The member tries again by itself, and nobody could do more than wait.
            MemberEvent::Refused(error) => {
                self.joining.refused(now, &error);
            }
            MemberEvent::Failed(source) => return Err(self.membership(source)),
        }
        Ok(true)
    }

    fn assign(&mut self, assigned: Assigned) -> Result<(), StreamsError> {
        let Assigned { ownership, partitions } = assigned;
        self.ahead.stop();
        self.topics.hurry();
        if !self.stop {
            self.set_state(State::Rebalancing);
        }
        let tasks = assign::tasks(&self.plans, partitions, &mut self.parked)?;
        // What is not ours any more is closed; its database stays for the day it comes back.
        self.parked.clear();
        let names: Vec<String> = tasks.iter().map(|task| task.id.to_string()).collect();
        tracing::info!("{}: assigned {} tasks: {}", self.app(), names.len(), names.join(" "));
        let alive: Vec<usize> = (0..self.status.len()).filter(|worker| !self.status[*worker].gone).collect();
        for (worker, tasks) in assign::share(tasks, &alive, &mut self.homes) {
            self.status[worker].has_tasks = true;
            self.status[worker].running = false;
            self.send(worker, ToWorker::Assign { ownership: ownership.clone(), tasks });
        }
        Ok(())
    }

    fn send(&mut self, worker: usize, message: ToWorker) {
        match self.seed.workers[worker].inbox.try_send(message) {
            Ok(()) => self.seed.workers[worker].wake.wake(),
            // Its thread has ended; how, it has told or its thread will tell.
            Err(TrySendError::Disconnected(_)) => self.status[worker].gone = true,
            Err(TrySendError::Full(_)) => tracing::error!(worker, "a worker does not read its messages"),
        }
    }

    fn collect(&mut self, message: impl Fn() -> ToWorker) {
        for worker in 0..self.status.len() {
            if self.status[worker].has_tasks && !self.status[worker].gone {
                self.send(worker, message());
            }
        }
    }

    fn collected(&self) -> bool {
        self.status.iter().all(|status| !status.has_tasks || status.gone)
    }

    fn acknowledge(&mut self, wanted: bool) {
        if wanted && let Some(member) = &mut self.member {
            member.acknowledge();
        }
    }
}
