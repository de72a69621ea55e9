//! Brings a task's stores up to its changelogs before it processes anything.
//!
//! ```text
//!  Asking (starts and ends of changelogs, starts of inputs) → Replaying (store by store, in pieces) → Task
//! ```
//! The ends are high watermarks, asked for after the group's offsets were fetched; the replay reads read_committed, so
//! it waits for a transaction of the former owner that is still open. What the store holds already is not read again.

mod replay;

use std::sync::Arc;
use std::time::Duration;

use millstream_operators::topology::OffsetReset;
use millstream_state::model::{Position, TopicPartition};
use millstream_state::store::{CacheBudget, StoreId};

use crate::broker::{
    Admin, AssignedPartition, BrokerError, Committed, ErrorClass, Fetcher, Isolation, PartitionQueue, Ticket,
};
use crate::clock::Monotonic;
use crate::task::metadata::OffsetMetadata;
use crate::task::{Now, Panics, StartPoint, Task, TaskError, TaskId, TaskRules, TaskState};
use crate::trouble::{Breaker, Troubles};
use crate::worker::InputWatch;
use replay::Replay;

/// A task could not be brought to life.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The stores failed.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The broker failed for good.
    #[error("task {task} could not be restored: {source}")]
    Broker {
        /// The task.
        task: TaskId,
        /// Why.
        source: BrokerError,
    },
    /// There is no committed offset, and none is to be made up.
    #[error(
        "no committed offset for topic {}, partition {}, and its offset reset is none; commit one, or choose earliest or latest",
        partition.topic, partition.partition
    )]
    NoOffset {
        /// The partition.
        partition: TopicPartition,
    },
}

/// A task that processes, with the queues of its inputs in the order of the task's inputs.
pub struct Running {
    /// The task.
    pub task: Task,
    /// Its inputs' queues.
    pub queues: Vec<Box<dyn PartitionQueue>>,
    /// What is wrong with each of them.
    pub(crate) watches: Vec<InputWatch>,
}

impl Running {
    /// Goes back to the last settled commit, and from there on to the ends of the changelogs: for when what was sent
    /// since then cannot be taken back.
    pub(crate) fn start_over(mut self, now: Now, troubles: &Troubles) -> Restoring {
        let inputs = begin_again(&self.task, self.queues);
        let panics = self.task.take_panics();
        Restoring { panics, ..Restoring::begin(self.task.park(), inputs, now.monotonic, troubles) }
    }
}

/// The inputs of a task as they are after its last settled commit.
pub(crate) fn begin_again(task: &Task, queues: Vec<Box<dyn PartitionQueue>>) -> Vec<AssignedPartition> {
    let inputs = task.inputs().cloned().zip(task.settled_starts()).zip(queues);
    inputs
        .map(|((partition, start), queue)| {
            let committed = Committed { position: start.position, metadata: start.metadata.encode() };
            AssignedPartition { partition, committed: Some(committed), queue }
        })
        .collect()
}

struct Questions {
    starts: Ticket<Vec<Position>>,
    ends: Ticket<Vec<Position>>,
    inputs_oldest: Ticket<Vec<Position>>,
    inputs_newest: Ticket<Vec<Position>>,
    answers: [Option<Vec<Position>>; 4],
}

enum Phase {
    /// Waits to ask (again).
    Ask {
        at: Monotonic,
    },
    Asking(Box<Questions>),
    Replaying(Vec<Replay>),
}

/// A task on its way to processing. It becomes a [`Running`] one by [`Restoring::step`], or goes back to a
/// [`TaskState`] by [`Restoring::park`].
pub struct Restoring {
    state: TaskState,
    inputs: Vec<AssignedPartition>,
    starts: Vec<StartPoint>,
    phase: Phase,
    /// About the broker, which does not tell the offsets or let the changelogs be read.
    breaker: Breaker,
    /// When a replay that was refused goes on.
    again: Monotonic,
    /// Since when a store is ahead of its changelog.
    ahead_since: Option<Monotonic>,
    /// The records that user code has panicked on.
    panics: Panics,
}

/// The pause before a changelog that was cut off is looked at again.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a store may be ahead of its changelog until the changelog is believed. A store counts the control record that
/// ends its transaction as soon as the commit is answered, and the broker writes it a little later: a task that moves at
/// once to another worker would be rebuilt from nothing.
const LATE: Duration = Duration::from_secs(5);

/// The pause before the end of such a changelog is asked for again.
const LATE_PAUSE: Duration = Duration::from_millis(10);

impl Restoring {
    /// Begins. `inputs` are the partitions of the task in the order of [`crate::task::TaskPlan::inputs_of`].
    pub fn begin(state: TaskState, inputs: Vec<AssignedPartition>, now: Monotonic, troubles: &Troubles) -> Self {
        let breaker = Breaker::new(troubles, format!("task {} cannot be restored", state.id));
        Self {
            state,
            inputs,
            starts: Vec::new(),
            phase: Phase::Ask { at: now },
            breaker,
            again: now,
            ahead_since: None,
            panics: Panics::default(),
        }
    }

    /// The task.
    pub fn id(&self) -> TaskId {
        self.state.id
    }

    /// Gives the task back as it is; what was replayed stays.
    ///
    /// # Errors
    /// If the fetcher failed for good.
    pub fn park(self, fetcher: Option<&mut (dyn Fetcher + 'static)>) -> Result<TaskState, BrokerError> {
        Ok(self.give_up(fetcher)?.0)
    }

    /// The same, with the inputs as they were given.
    pub(crate) fn give_up(
        self,
        fetcher: Option<&mut (dyn Fetcher + 'static)>,
    ) -> Result<(TaskState, Vec<AssignedPartition>), BrokerError> {
        if let (Phase::Replaying(replays), Some(fetcher)) = (self.phase, fetcher) {
            for replay in replays {
                replay.stop(fetcher)?;
            }
        }
        Ok((self.state, self.inputs))
    }

    /// Records that are still to be replayed, as far as known.
    pub fn remaining(&self) -> i64 {
        match &self.phase {
            Phase::Replaying(replays) => replays.iter().map(Replay::remaining).sum(),
            _ => 0,
        }
    }

    /// When to step again though nothing wakes.
    pub fn deadline(&self) -> Option<Monotonic> {
        match self.phase {
            Phase::Ask { at } => Some(at),
            _ => None,
        }
    }

    /// The broker refused; answers when to try again, or the error if there is no use in it.
    fn refused(&mut self, now: Now, source: BrokerError) -> Result<Monotonic, RestoreError> {
        let at = self.breaker.refused(now.monotonic, &source);
        if source.class == ErrorClass::Fatal || self.breaker.is_hopeless(now.monotonic, source.class) {
            return Err(RestoreError::Broker { task: self.state.id, source });
        }
        Ok(at)
    }

    /// Goes on; answers whether there was anything to do, and whether all stores are complete.
    ///
    /// # Errors
    /// If stores or broker fail for good.
    pub fn step(
        &mut self,
        now: Now,
        admin: &dyn Admin,
        fetcher: &mut dyn Fetcher,
    ) -> Result<(bool, bool), RestoreError> {
        match &mut self.phase {
            Phase::Ask { at } if now.monotonic < *at => Ok((false, false)),
            Phase::Ask { .. } => {
                self.phase = Phase::Asking(Box::new(self.ask(admin)));
                Ok((true, false))
            }
            Phase::Asking(questions) => match questions.poll() {
                Ok(None) => Ok((false, false)),
                Ok(Some(answers)) if self.is_ahead(&answers, now.monotonic) => {
                    self.phase = Phase::Ask { at: now.monotonic.after(LATE_PAUSE) };
                    Ok((true, false))
                }
                Ok(Some(answers)) => {
                    self.starts = self.start_points(&answers)?;
                    self.phase = Phase::Replaying(self.replays(now, fetcher, &answers)?);
                    Ok((true, false))
                }
                Err(error) => {
                    let at = self.refused(now, error)?;
                    self.phase = Phase::Ask { at };
                    Ok((false, false))
                }
            },
            Phase::Replaying(_) if now.monotonic < self.again => Ok((false, false)),
            Phase::Replaying(_) => self.replay(now, fetcher),
        }
    }

    fn replay(&mut self, now: Now, fetcher: &mut dyn Fetcher) -> Result<(bool, bool), RestoreError> {
        let Phase::Replaying(replays) = &mut self.phase else { return Ok((false, false)) };
        let mut progress = false;
        let mut index = 0;
        while index < replays.len() {
            match replays[index].step(&mut self.state, now) {
                Ok((did, false)) => {
                    progress |= did;
                    index += 1;
                }
                Ok((_, true)) => {
                    progress = true;
                    let done = replays.swap_remove(index);
                    let task = self.state.id;
                    done.finish(&mut self.state, now, fetcher)?
                        .map_err(|source| RestoreError::Broker { task, source })?;
                }
                Err(replay::ReplayError::Task(error)) => return Err(error.into()),
                Err(replay::ReplayError::Truncated(error)) => {
                    tracing::warn!(task = %self.state.id, "a changelog was cut off while it was read, starting over: {error}");
                    return self.start_over(now, fetcher);
                }
                Err(replay::ReplayError::Broker(error)) => {
                    self.again = self.refused(now, error)?;
                    return Ok((false, false));
                }
            }
        }
        let complete = replays.is_empty();
        if progress || complete {
            self.breaker.worked(now.monotonic);
        }
        Ok((progress, complete))
    }

    fn start_over(&mut self, now: Now, fetcher: &mut dyn Fetcher) -> Result<(bool, bool), RestoreError> {
        let phase = std::mem::replace(&mut self.phase, Phase::Ask { at: now.monotonic.after(PAUSE) });
        if let Phase::Replaying(replays) = phase {
            for replay in replays {
                let task = self.state.id;
                replay.stop(fetcher).map_err(|source| RestoreError::Broker { task, source })?;
            }
        }
        Ok((true, false))
    }

    /// Builds the operator chain and lets the inputs flow. Only once all stores are complete.
    ///
    /// # Errors
    /// If an input cannot be read.
    pub fn finish(self, rules: TaskRules, budget: &CacheBudget) -> Result<Running, RestoreError> {
        let id = self.state.id;
        let mut queues = Vec::with_capacity(self.inputs.len());
        for (mut input, start) in self.inputs.into_iter().zip(&self.starts) {
            input.queue.seek(start.position).map_err(|source| RestoreError::Broker { task: id, source })?;
            queues.push(input.queue);
        }
        let watches = queues.iter().map(|_| InputWatch::default()).collect();
        let mut task = self.state.start(self.starts, rules, budget);
        task.set_panics(self.panics);
        Ok(Running { task, queues, watches })
    }

    fn changelogs(&self) -> Vec<(StoreId, TopicPartition)> {
        let plan = self.state.plan.clone();
        let partition = self.state.id.partition;
        plan.changelogs
            .iter()
            .enumerate()
            .filter_map(|(store, log)| {
                let topic: Arc<str> = log.as_ref()?.out.topic.clone();
                Some((StoreId(store as u32), TopicPartition::new(topic, partition)))
            })
            .collect()
    }

    fn ask(&self, admin: &dyn Admin) -> Questions {
        let logs: Vec<TopicPartition> = self.changelogs().into_iter().map(|(_, partition)| partition).collect();
        let uncommitted: Vec<TopicPartition> =
            self.inputs.iter().filter(|input| input.committed.is_none()).map(|input| input.partition.clone()).collect();
        let some = |partitions: &Vec<TopicPartition>, ask: &dyn Fn(Vec<TopicPartition>) -> Ticket<Vec<Position>>| {
            if partitions.is_empty() { Ticket::ready(Ok(Vec::new())) } else { ask(partitions.clone()) }
        };
        Questions {
            starts: some(&logs, &|logs| admin.start_positions(logs)),
            ends: some(&logs, &|logs| admin.end_positions(logs, Isolation::ReadUncommitted)),
            inputs_oldest: some(&uncommitted, &|inputs| admin.start_positions(inputs)),
            inputs_newest: some(&uncommitted, &|inputs| admin.end_positions(inputs, Isolation::ReadCommitted)),
            answers: [None, None, None, None],
        }
    }

    /// Whether a store has seen more than its changelog has, and not for long.
    fn is_ahead(&mut self, answers: &Answers, now: Monotonic) -> bool {
        let ahead = |((store, _), end): ((StoreId, TopicPartition), &Position)| {
            let changelog = self.state.plan.changelogs[store.0 as usize].as_ref();
            let mark = self.state.cx.state.stores.mark(store);
            // The end of a source topic says nothing: it is replayed to the committed offset.
            changelog.zip(mark).is_some_and(|(changelog, mark)| {
                !changelog.source && mark.topic == changelog.id && mark.position > *end
            })
        };
        if !self.changelogs().into_iter().zip(&answers.ends).any(ahead) {
            return false;
        }
        now.since(*self.ahead_since.get_or_insert(now)) < LATE
    }

    fn start_points(&self, answers: &Answers) -> Result<Vec<StartPoint>, RestoreError> {
        let mut without = 0;
        let point = |input: &AssignedPartition| {
            if let Some(committed) = &input.committed {
                let metadata = OffsetMetadata::decode(&committed.metadata);
                return Ok(StartPoint { position: committed.position, metadata });
            }
            let (oldest, newest) = (answers.inputs_oldest[without], answers.inputs_newest[without]);
            without += 1;
            let plan = &self.state.plan;
            let reset = plan.inputs.iter().find(|topic| topic.topic == input.partition.topic).map(|topic| topic.reset);
            let position = match reset.unwrap_or_default() {
                OffsetReset::Earliest => oldest,
                OffsetReset::Latest => newest,
                OffsetReset::None => return Err(RestoreError::NoOffset { partition: input.partition.clone() }),
            };
            Ok(StartPoint { position, metadata: OffsetMetadata::default() })
        };
        self.inputs.iter().map(point).collect()
    }

    /// Where the replay of a changelog ends. A source topic that serves as changelog has records that are not processed
    /// yet: it is replayed to the committed offset and never further, or the nodes below would miss the changes between.
    fn end_of(&self, store: StoreId, log: &TopicPartition, start: Position, end: Position) -> Position {
        let changelog = self.state.plan.changelogs[store.0 as usize].as_ref();
        if !changelog.is_some_and(|changelog| changelog.source) {
            return end;
        }
        let input = self.inputs.iter().find(|input| input.partition == *log);
        let committed = input.and_then(|input| input.committed.as_ref()).map_or(start, |committed| committed.position);
        committed.max(start).min(end)
    }

    fn replays(&mut self, now: Now, fetcher: &mut dyn Fetcher, answers: &Answers) -> Result<Vec<Replay>, RestoreError> {
        let task = self.state.id;
        let mut replays: Vec<Replay> = Vec::new();
        for (index, (store, partition)) in self.changelogs().into_iter().enumerate() {
            let start = answers.starts[index];
            let end = self.end_of(store, &partition, start, answers.ends[index]);
            let log = replay::Log { store, partition, start, end };
            let failed = match Replay::begin(&mut self.state, log, now, fetcher) {
                Ok(None) => continue,
                Ok(Some(Ok(replay))) => {
                    replays.push(replay);
                    continue;
                }
                Ok(Some(Err(source))) => RestoreError::Broker { task, source },
                Err(error) => error.into(),
            };
            // Who comes after us may read them with the same fetcher.
            for replay in replays {
                replay.stop(fetcher).map_err(|source| RestoreError::Broker { task, source })?;
            }
            return Err(failed);
        }
        Ok(replays)
    }
}

struct Answers {
    starts: Vec<Position>,
    ends: Vec<Position>,
    inputs_oldest: Vec<Position>,
    inputs_newest: Vec<Position>,
}

impl Questions {
    fn poll(&mut self) -> Result<Option<Answers>, BrokerError> {
        let tickets = [&mut self.starts, &mut self.ends, &mut self.inputs_oldest, &mut self.inputs_newest];
        for (answer, ticket) in self.answers.iter_mut().zip(tickets) {
            if answer.is_none()
                && let Some(polled) = ticket.poll()
            {
                *answer = Some(polled?);
            }
        }
        let [starts, ends, oldest, newest] = &mut self.answers;
        if starts.is_none() || ends.is_none() || oldest.is_none() || newest.is_none() {
            return Ok(None);
        }
        Ok(Some(Answers {
            starts: starts.take().unwrap_or_default(),
            ends: ends.take().unwrap_or_default(),
            inputs_oldest: oldest.take().unwrap_or_default(),
            inputs_newest: newest.take().unwrap_or_default(),
        }))
    }
}
