//! What a processor sees of the task it runs in.

use std::sync::Arc;
use std::time::Duration;

use millstream_state::error::BoxError;
use millstream_state::model::{Headers, Timestamp};

use super::node::NamedChildren;
use super::timers::{Punctuation, Timer};
use crate::context::Context;
use crate::error::ProcessError;
use crate::push::Record;

/// Where the record being processed comes from (Kafka Streams' `RecordMetadata`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMetadata<'a> {
    /// The input topic.
    pub topic: &'a str,
    /// The input partition.
    pub partition: i32,
    /// The record's offset.
    pub offset: i64,
}

/// Through which stores are used: a processor's context.
pub trait StoreScope: sealed::Sealed {}

pub(super) mod sealed {
    /// Gives stores the task's state.
    pub trait Sealed {
        /// The context of the task.
        fn context(&mut self) -> &mut crate::context::Context;
    }
}

/// A processor's context (Kafka Streams' `ProcessorContext`): forwards records of `L` and `U`, and gives access to time,
/// timers and, handed to a store's methods, to state.
pub struct ProcessorContext<'a, L, U> {
    pub(super) cx: &'a mut Context,
    pub(super) down: &'a NamedChildren<L, U>,
    pub(super) node: &'a Arc<str>,
    /// The node's position in the topology: what its timers go by.
    pub(super) position: usize,
}

impl<L, U> sealed::Sealed for ProcessorContext<'_, L, U> {
    fn context(&mut self) -> &mut Context {
        self.cx
    }
}
impl<L, U> StoreScope for ProcessorContext<'_, L, U> {}

impl<L, U> ProcessorContext<'_, L, U> {
    /// Hands a record to every node below, in the order in which they were added (Kafka Streams: `forward`).
    ///
    /// # Errors
    /// If a node below fails; pass it on with `?`.
    pub fn forward(&mut self, record: Record<'_, L, U>) -> Result<(), BoxError> {
        Ok(self.down.forward(self.cx, record)?)
    }

    /// Hands a record to the node below of this name.
    ///
    /// # Errors
    /// If there is no such node below, or it fails.
    pub fn forward_to(&mut self, child: &str, record: Record<'_, L, U>) -> Result<(), BoxError> {
        Ok(self.down.forward_to(self.cx, self.node, child, record)?)
    }

    /// The names of the nodes below.
    pub fn children(&self) -> impl Iterator<Item = &str> {
        self.down.names()
    }

    /// Where the record being processed comes from; `None` in `init` and in `punctuate`.
    pub fn record_metadata(&self) -> Option<RecordMetadata<'_>> {
        let record = &self.cx.state.record;
        let (partition, offset) = (record.partition, record.offset.number());
        (partition >= 0).then(|| RecordMetadata { topic: &record.topic, partition, offset })
    }

    /// The headers of the input record being processed.
    pub fn headers(&self) -> &Headers {
        &self.cx.state.record.headers
    }

    /// The highest timestamp of any record that the task has processed (`currentStreamTimeMs`);
    /// [`Timestamp::UNKNOWN`] at first.
    pub fn stream_time(&self) -> Timestamp {
        self.cx.stream_time
    }

    /// The wall-clock time (`currentSystemTimeMs`), as of when the task was given its turn.
    pub fn wall_clock(&self) -> Timestamp {
        self.cx.wall_clock
    }

    /// The partition of the task.
    pub fn partition(&self) -> i32 {
        self.cx.partition
    }

    /// The node's name.
    pub fn node(&self) -> &str {
        self.node
    }

    /// Asks for a commit as soon as possible, instead of at the next commit interval (Kafka Streams: `commit`). It
    /// comes after the current record, with all that the worker's tasks have done by then.
    pub fn commit(&mut self) {
        self.cx.commit_requested = true;
    }

    /// Has [`Processor::punctuate`](super::Processor::punctuate) called every `interval` (Kafka Streams: `schedule`).
    ///
    /// On stream time the first record already makes a call, and each record at most one: a jump of time over several
    /// intervals makes one call. On the wall clock the first call comes after `interval`; calls that were missed are not
    /// made up for. Timers are not kept over a restart: `init` schedules them again.
    pub fn schedule(&mut self, interval: Duration, kind: Punctuation) -> Timer {
        self.cx.timers.schedule(self.position, interval, kind, self.cx.wall_clock)
    }

    /// Ends a timer (Kafka Streams: `Cancellable.cancel`); its own call may do so.
    pub fn cancel(&mut self, timer: Timer) {
        self.cx.timers.cancel(timer);
    }
}

/// What follows from an error of a hook: one of a store or of a node below ends the task, one of the user's own goes to
/// the handler for refused records.
pub(super) fn settle(cx: &mut Context, node: &Arc<str>, error: BoxError) -> Result<(), ProcessError> {
    let error = match error.downcast::<ProcessError>() {
        Ok(known) => return Err(*known),
        Err(error) => error,
    };
    match error.downcast::<millstream_state::error::StateError>() {
        Ok(source) => Err(ProcessError::State { node: node.clone(), source: *source }),
        Err(own) => cx.refuse(node, own),
    }
}
