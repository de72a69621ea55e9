//! Brings a task's stores up to its changelogs before it processes anything.
//!
//! ```text
//!  Asking (starts and ends of changelogs, starts of inputs) → Replaying (store by store, in pieces) → Task
//! ```
//! The ends are high watermarks, asked for after the group's offsets were fetched; the replay reads read_committed, so
//! it waits for a transaction of the former owner that is still open. What the store holds already is not read again.

mod replay;

use std::sync::Arc;

use millstream_operators::topology::OffsetReset;
use millstream_state::model::{Position, TopicPartition};
use millstream_state::store::{CacheBudget, StoreId};

use crate::broker::{Admin, AssignedPartition, BrokerError, ErrorClass, Fetcher, Isolation, PartitionQueue, Ticket};
use crate::clock::Monotonic;
use crate::task::metadata::OffsetMetadata;
use crate::task::{Now, StartPoint, Task, TaskError, TaskId, TaskRules, TaskState};
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
}

/// The pause before the broker is asked again.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

impl Restoring {
    /// Begins. `inputs` are the partitions of the task in the order of [`crate::task::TaskPlan::inputs_of`].
    pub fn begin(state: TaskState, inputs: Vec<AssignedPartition>, now: Monotonic) -> Self {
        Self { state, inputs, starts: Vec::new(), phase: Phase::Ask { at: now } }
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
        if let (Phase::Replaying(replays), Some(fetcher)) = (self.phase, fetcher) {
            for replay in replays {
                replay.stop(fetcher)?;
            }
        }
        Ok(self.state)
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
                Ok(Some(answers)) => {
                    self.starts = self.start_points(&answers)?;
                    self.phase = Phase::Replaying(self.replays(now, fetcher, &answers)?);
                    Ok((true, false))
                }
                Err(error) if matches!(error.class, ErrorClass::Retriable | ErrorClass::Unknown) => {
                    tracing::warn!(task = %self.state.id, "the broker does not tell the task's offsets yet: {error}");
                    self.phase = Phase::Ask { at: now.monotonic.after(PAUSE) };
                    Ok((false, false))
                }
                Err(source) => Err(RestoreError::Broker { task: self.state.id, source }),
            },
            Phase::Replaying(replays) => {
                let mut progress = false;
                let mut index = 0;
                while index < replays.len() {
                    let stepped = replays[index].step(&mut self.state, now);
                    match stepped {
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
                        Err(replay::ReplayError::Broker(source)) => {
                            return Err(RestoreError::Broker { task: self.state.id, source });
                        }
                    }
                }
                let complete = replays.is_empty();
                Ok((progress, complete))
            }
        }
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
        Ok(Running { task: self.state.start(self.starts, rules, budget), queues })
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

    fn replays(&mut self, now: Now, fetcher: &mut dyn Fetcher, answers: &Answers) -> Result<Vec<Replay>, RestoreError> {
        let task = self.state.id;
        let mut replays = Vec::new();
        for (index, (store, partition)) in self.changelogs().into_iter().enumerate() {
            let log = replay::Log { store, partition, start: answers.starts[index], end: answers.ends[index] };
            if let Some(replay) = Replay::begin(&mut self.state, log, now, fetcher)? {
                replays.push(replay.map_err(|source| RestoreError::Broker { task, source })?);
            }
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
