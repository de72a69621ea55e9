//! What a task is between transactions: where it starts, what a commit settles, and how it goes back.

use std::sync::Arc;

use millstream_operators::context::Context;
use millstream_state::commit::{ChangelogMark, Committed};
use millstream_state::model::{Position, Timestamp};
use millstream_state::store::{CacheBudget, StoreId};

use super::effects::Handover;
use super::input::Input;
use super::metadata::{self, OffsetMetadata};
use super::panic::Panics;
use super::{OutputTopic, ProcessingHandler, Task, TaskCounts, TaskError, TaskId, TaskPlan, TaskRules};
use crate::broker::OffsetCommit;
use crate::deliberate::{self, Bug};

/// Where an input begins: the committed position, or what the offset reset gave, with the metadata committed beside it.
#[derive(Clone, Debug)]
pub struct StartPoint {
    /// What to process first.
    pub position: Position,
    /// What was committed beside it.
    pub metadata: OffsetMetadata,
}

/// The positions and times that the last settled commit stands for.
#[derive(Clone, Debug, Default)]
pub(super) struct Settled {
    positions: Vec<Position>,
    partition_times: Vec<Timestamp>,
    stream_time: Timestamp,
    operator_times: Vec<Timestamp>,
}

/// A task without its operator chain: what can be sent to another thread. Everything in it is settled.
pub struct TaskState {
    /// The task.
    pub id: TaskId,
    /// What it shares with the other tasks of its sub-topology.
    pub plan: Arc<TaskPlan>,
    /// Stores and times.
    pub cx: Context,
}

impl TaskState {
    /// Starts processing: builds the operator chain on this thread and takes up times from the starts of the inputs,
    /// which come in the order of [`TaskPlan::inputs_of`].
    pub fn start(mut self, starts: Vec<StartPoint>, rules: TaskRules, budget: &CacheBudget) -> Task {
        let chain = self.plan.sub_topology().chain(budget);
        let slots = chain.operator_slots();
        self.cx.operator_times = vec![Timestamp::UNKNOWN; slots.len()];
        self.cx.stream_time = Timestamp::UNKNOWN;
        self.cx.partition = self.id.partition;
        self.cx.survive_refusal = rules.refused != ProcessingHandler::Fail;
        self.cx.refused.clear();
        let partitions = |sink: &Option<OutputTopic>| sink.as_ref().map_or(1, |topic| topic.partitions);
        self.cx.sink_partitions = self.plan.sinks.iter().map(partitions).collect();
        for start in &starts {
            self.cx.stream_time = self.cx.stream_time.max(start.metadata.partition_time);
            for (name, time) in &start.metadata.operator_times {
                if let Some(slot) = slots.iter().position(|slot| **slot == **name) {
                    self.cx.operator_times[slot] = self.cx.operator_times[slot].max(*time);
                }
            }
        }
        let mut inputs: Vec<Input> =
            self.plan.inputs_of(self.id).map(|(topic, partition)| Input::new(partition, topic.source)).collect();
        for (input, start) in inputs.iter_mut().zip(&starts) {
            input.position = start.position;
            input.partition_time = start.metadata.partition_time;
        }
        let mut task = Task {
            id: self.id,
            rules,
            budget: budget.clone(),
            chain,
            cx: self.cx,
            inputs,
            settled: Settled::default(),
            handover: Handover::new(&self.plan),
            counts: TaskCounts::default(),
            idle_since: None,
            touched: false,
            panics: Panics::default(),
            plan: self.plan,
        };
        task.settle();
        task.check_metadata();
        task
    }
}

fn named_times(names: &[Arc<str>], times: &[Timestamp]) -> Vec<(String, Timestamp)> {
    let known = names.iter().zip(times).filter(|(_, time)| **time != Timestamp::UNKNOWN);
    known.map(|(name, time)| (name.to_string(), *time)).collect()
}

impl Task {
    fn settle(&mut self) {
        self.settled = Settled {
            positions: self.inputs.iter().map(|input| input.position).collect(),
            partition_times: self.inputs.iter().map(|input| input.partition_time).collect(),
            stream_time: self.cx.stream_time,
            operator_times: self.cx.operator_times.clone(),
        };
        self.touched = false;
    }

    /// Whether there is anything to commit.
    pub fn needs_commit(&self) -> bool {
        self.touched
            || self.inputs.iter().zip(&self.settled.positions).any(|(input, settled)| input.position != *settled)
    }

    /// A broker refuses commits with too much metadata; better to hear of it before the first.
    fn check_metadata(&self) {
        let names = self.chain.operator_slots().iter().map(|name| (name.to_string(), Timestamp::UNKNOWN));
        let longest =
            OffsetMetadata { partition_time: Timestamp::UNKNOWN, operator_times: names.collect(), commit: Some(0) };
        let len = longest.encode().len();
        if len > metadata::MAX_LEN {
            tracing::warn!(
                task = %self.id,
                "each commit carries {len} bytes of metadata, more than the default of {}: raise \
                 offset.metadata.max.bytes on the brokers, or give operators shorter names",
                metadata::MAX_LEN
            );
        }
    }

    /// The positions of the last settled commit, input by input.
    pub fn settled_positions(&self) -> impl Iterator<Item = Position> + '_ {
        self.settled.positions.iter().copied()
    }

    /// Where each input would start again after the last settled commit.
    pub fn settled_starts(&self) -> Vec<StartPoint> {
        let operator_times = named_times(self.chain.operator_slots(), &self.settled.operator_times);
        let settled = self.settled.positions.iter().zip(&self.settled.partition_times);
        settled
            .map(|(position, partition_time)| {
                let operator_times = operator_times.clone();
                let metadata = OffsetMetadata { partition_time: *partition_time, operator_times, commit: None };
                StartPoint { position: *position, metadata }
            })
            .collect()
    }

    /// Moves the input's position past control records that the fetch has passed; of effect only if nothing waits.
    pub fn pass_control_records(&mut self, input: usize, fetched: Position) {
        let input = &mut self.inputs[input];
        if input.waiting() == 0 {
            input.position = input.position.max(fetched);
        }
    }

    /// The positions to commit with the transaction, each with its metadata; `commit` names the transaction.
    pub fn offsets(&self, commit: i64) -> Vec<OffsetCommit> {
        let times = named_times(self.chain.operator_slots(), &self.cx.operator_times);
        let commit_of = |input: &Input| {
            let metadata = OffsetMetadata {
                partition_time: input.partition_time,
                operator_times: times.clone(),
                commit: Some(commit),
            };
            OffsetCommit { partition: input.partition.clone(), position: input.position, metadata: metadata.encode() }
        };
        self.inputs.iter().map(commit_of).collect()
    }

    /// Makes what the transaction did the task's settled state: the uncommitted layer and the changelog positions go
    /// to disk in one write. `markers` is how many control records the commit added to each changelog it wrote (one in
    /// a transaction, none otherwise).
    ///
    /// # Errors
    /// If the stores cannot be written; the task must be closed then, and its tail restored.
    pub fn committed(&mut self, proof: &Committed, markers: i64) -> Result<(), TaskError> {
        let now = self.cx.wall_clock;
        let mut marks = Vec::new();
        for (index, changelog) in self.plan.changelogs.iter().enumerate() {
            let store = StoreId(index as u32);
            let (Some(changelog), Some(mark)) = (changelog, self.cx.state.stores.mark(store)) else { continue };
            let written = self.handover.written[index];
            let passed = if written > 0 { written + markers } else { 0 };
            let position = if changelog.source {
                self.read_to(&changelog.out.topic).unwrap_or(mark.position)
            } else {
                mark.position.advance(passed + i64::from(deliberate::has(Bug::MarksTooFar)))
            };
            // A clock that was set back makes the mark look older than it is, which costs a rebuild at most. One that is
            // not believed would make it look fresh for ever.
            marks.push((store, ChangelogMark { topic: changelog.id, position, applied_at: now }));
        }
        let applied = self.cx.state.stores.apply(proof, &marks);
        // Whatever the disk says, this is where the group is.
        self.handover.restart();
        self.cx.commit_requested = false;
        self.settle();
        self.pardon();
        applied.map_err(|source| TaskError::State { task: self.id, source: Box::new(source) })
    }

    /// How far the task has read a topic.
    fn read_to(&self, topic: &str) -> Option<Position> {
        self.inputs.iter().find(|input| *input.partition.topic == *topic).map(|input| input.position)
    }

    /// Forgets everything since the last settled commit. The inputs must be fetched again from [`Task::position`].
    pub fn rewind(&mut self) {
        if !deliberate::has(Bug::KeepsUncommittedLayer) {
            self.cx.state.stores.rollback();
        }
        self.cx.state.changes.clear();
        self.cx.outputs.clear();
        self.cx.dynamic_topics.clear();
        self.cx.refused.clear();
        self.chain = self.plan.sub_topology().chain(&self.budget);
        self.cx.commit_requested = false;
        self.cx.stream_time = self.settled.stream_time;
        self.cx.operator_times.clone_from(&self.settled.operator_times);
        for (index, input) in self.inputs.iter_mut().enumerate() {
            input.clear();
            input.position = self.settled.positions[index];
            input.partition_time = self.settled.partition_times[index];
        }
        self.handover.restart();
        self.idle_since = None;
        self.touched = false;
        self.panics.look_at(None);
    }

    /// Takes the chain apart and keeps the stores, for another worker or another assignment. What is not settled is
    /// forgotten.
    pub fn park(mut self) -> TaskState {
        self.rewind();
        TaskState { id: self.id, plan: self.plan, cx: self.cx }
    }
}
