//! A task: one partition of one sub-topology, driven by records in and settled by a proof of commit.
//!
//! ```text
//!  batches ─enqueue→ [inputs] ─choose lowest time→ chain ─effects→ send → Outbox
//!                                                    │
//!                     flush → offsets → (transaction commits) → committed(proof) → stores
//!                                                    └ (aborts) → rewind → inputs are fetched again
//! ```
//! A task does no I/O but that of its stores and reads no clock. The worker, the test driver and the simulation drive
//! the same code.

mod choice;
mod dead_letter;
mod effects;
mod error;
mod failure;
mod id;
mod input;
pub mod metadata;
mod panic;
mod plan;
mod punctuate;
mod sessions;
mod settle;

use std::sync::Arc;

use millstream_operators::context::Context;
use millstream_operators::error::ProcessError;
use millstream_operators::topology::Chain;
use millstream_state::model::{Position, Timestamp, TopicPartition};
use millstream_state::store::CacheBudget;

pub use choice::IdlePolicy;
pub use effects::Outbox;
pub use error::{StorageFault, TaskError};
pub use failure::{DeserializationHandler, ProcessingHandler};
pub use id::TaskId;
pub use panic::PanicHandler;
pub(crate) use panic::Panics;
pub use plan::{ChangelogTopic, InputTopic, OutputTopic, TaskPlan};
pub use settle::{StartPoint, TaskState};

use crate::broker::Batch;
use crate::clock::Monotonic;
use effects::Handover;
use input::Input;
use settle::Settled;

/// The target of records for the dead-letter topic.
const DEAD_LETTERS: u32 = u32::MAX;

/// The target of records that the program's code has refused.
const REFUSED: u32 = u32::MAX - 1;

/// The target of records that the program's code has panicked on.
const PANICKED: u32 = u32::MAX - 2;

/// How many effects, outputs and changelog records, a task lets wait before it wants to hand them over. One record can have
/// hundreds: their number bounds memory, keeps commits in time, and finds them in the processor's caches when they are sent.
const EFFECTS: usize = 2_000;

/// The present, as the outermost loop read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For intervals and deadlines.
    pub monotonic: Monotonic,
    /// For record timestamps.
    pub wall: Timestamp,
}

/// What a task is told about bad records and waiting.
#[derive(Clone, Debug, Default)]
pub struct TaskRules {
    /// What to do with a record that cannot be decoded.
    pub undecodable: DeserializationHandler,
    /// What to do with a record that the program's own code refuses.
    pub refused: ProcessingHandler,
    /// What to do when the program's own code panics.
    pub panics: PanicHandler,
    /// How long to wait for the other inputs.
    pub idle: IdlePolicy,
    /// Whether what is written is in no transaction, so that a crash can come between any two records.
    pub at_least_once: bool,
}

/// What became of records since the counters were last taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskCounts {
    /// Records processed.
    pub processed: u64,
    /// Records that could not be decoded and were skipped or sent to the dead-letter topic.
    pub undecodable: u64,
    /// Records that the program's own code has refused and that were skipped or sent to the dead-letter topic.
    pub refused: u64,
    /// Records that the program's own code has panicked on and that were skipped or sent to the dead-letter topic.
    pub panicked: u64,
}

/// A task whose stores are complete and whose records may be processed.
pub struct Task {
    id: TaskId,
    plan: Arc<TaskPlan>,
    rules: TaskRules,
    budget: CacheBudget,
    chain: Chain,
    cx: Context,
    inputs: Vec<Input>,
    settled: Settled,
    handover: Handover,
    counts: TaskCounts,
    /// Since when an input has been waited for.
    idle_since: Option<Monotonic>,
    /// Whether anything has happened since the last settled commit.
    touched: bool,
    panics: Panics,
}

impl Task {
    /// Its id.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// What it shares with the other tasks of its sub-topology.
    pub fn plan(&self) -> &Arc<TaskPlan> {
        &self.plan
    }

    /// Its state and effects.
    pub fn context(&self) -> &Context {
        &self.cx
    }

    /// Its state and effects, to look into stores.
    pub fn context_mut(&mut self) -> &mut Context {
        &mut self.cx
    }

    /// Its input partitions, in the order of their indexes.
    pub fn inputs(&self) -> impl Iterator<Item = &TopicPartition> {
        self.inputs.iter().map(|input| &input.partition)
    }

    /// Hands fetched records to the input at this index.
    pub fn enqueue(&mut self, input: usize, batch: Box<dyn Batch>) {
        self.inputs[input].enqueue(batch);
    }

    /// How many records wait at the input at this index.
    pub fn waiting(&self, input: usize) -> usize {
        self.inputs[input].waiting()
    }

    /// Says whether the broker has no record of this input beyond those enqueued.
    pub fn set_caught_up(&mut self, input: usize, caught_up: bool) {
        self.inputs[input].caught_up = caught_up;
    }

    /// What the input at this index will process next.
    pub fn position(&self, input: usize) -> Position {
        self.inputs[input].position
    }

    /// Processes up to `limit` records and answers how many it was; fewer if no more wait, if it is right to wait for
    /// another input, or if there is so much to be sent that [`Task::send`] should come first. None only if none can be.
    ///
    /// # Errors
    /// If a record cannot be processed. The task must then be rewound or closed.
    pub fn process(&mut self, now: Now, limit: usize) -> Result<usize, TaskError> {
        self.prepare(now)?;
        self.cx.wall_clock = now.wall;
        let mut done = 0;
        while done < limit {
            let Some((index, timestamp)) = self.choose(now.monotonic)? else { break };
            self.panics.look_at(Some(index));
            let suspect = self.suspect(index);
            self.process_head(index, timestamp)?;
            self.panics.look_at(None);
            if let Some(suspect) = suspect {
                self.flush_for(suspect)?;
            }
            self.punctuate_stream_time()?;
            done += 1;
            if self.cx.commit_requested || self.unsent() >= EFFECTS {
                break;
            }
        }
        self.panics.look_at(None);
        self.counts.processed += done as u64;
        self.touched |= done > 0;
        Ok(done)
    }

    fn process_head(&mut self, index: usize, timestamp: Timestamp) -> Result<(), TaskError> {
        let input = &mut self.inputs[index];
        if timestamp < Timestamp::from_millis(0) {
            self.cx.dropped.timestamp += 1;
            input.advance(Timestamp::UNKNOWN);
            return Ok(());
        }
        let Some(record) = input.record() else { return Ok(()) };
        let context = &mut self.cx.state.record;
        if !Arc::ptr_eq(&context.topic, &input.partition.topic) {
            context.topic = input.partition.topic.clone();
        }
        context.partition = input.partition.partition;
        context.offset = record.offset;
        context.timestamp = timestamp;
        if !(record.headers.is_empty() && context.headers.is_empty()) {
            context.headers = record.headers.clone();
        }
        self.cx.stream_time = self.cx.stream_time.max(timestamp);
        match self.chain.process(&mut self.cx, input.source, &record, timestamp) {
            Ok(()) => {
                if !self.cx.refused.is_empty() {
                    self.bury_refused(Some(index));
                }
                self.inputs[index].advance(timestamp);
                Ok(())
            }
            Err(error) => self.refuse(index, timestamp, error),
        }
    }

    /// Writes and hands on what the record caches hold back, as before every commit.
    ///
    /// # Errors
    /// If a store or a node below it fails.
    pub fn flush(&mut self) -> Result<(), TaskError> {
        let flushed = self.chain.flush(&mut self.cx);
        self.bury_refused(None);
        flushed.map_err(|source| TaskError::Flush { task: self.id, source: Box::new(source) })
    }

    /// What has happened to records since the last call.
    pub fn take_counts(&mut self) -> TaskCounts {
        std::mem::take(&mut self.counts)
    }

    /// Goes on at another position, as what is between is not in the log. Nothing may wait in the input.
    pub fn jump(&mut self, input: usize, to: Position) {
        let input = &mut self.inputs[input];
        input.clear();
        input.position = to;
        self.touched = true;
    }

    fn record_error(&self, index: usize, source: ProcessError) -> TaskError {
        let input = &self.inputs[index];
        let offset = input.record().map_or(millstream_state::model::Offset::new(-1), |record| record.offset);
        TaskError::Record { task: self.id, partition: input.partition.clone(), offset, source: Box::new(source) }
    }
}
