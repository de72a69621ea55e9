//! One input partition of a task: batches that wait, the record at their head, and how far the task has come.

use std::collections::VecDeque;

use millstream_operators::error::ProcessError;
use millstream_operators::topology::Chain;
use millstream_state::model::{Offset, Position, RawRecord, Timestamp, TopicPartition};

use crate::broker::Batch;

/// Waiting records of one input partition.
pub(super) struct Input {
    pub(super) partition: TopicPartition,
    /// The source node's index in the sub-topology.
    pub(super) source: usize,
    batches: VecDeque<Box<dyn Batch>>,
    /// Index of the head in the first batch.
    next: usize,
    waiting: usize,
    /// The head's timestamp as extracted, and its offset; `None` until asked for.
    head: Option<(Timestamp, Offset)>,
    /// What to process next.
    pub(super) position: Position,
    /// The largest timestamp taken from this partition so far.
    pub(super) partition_time: Timestamp,
    /// Whether the broker has no record beyond those that wait here.
    pub(super) caught_up: bool,
}

impl Input {
    pub(super) fn new(partition: TopicPartition, source: usize) -> Self {
        Self {
            partition,
            source,
            batches: VecDeque::new(),
            next: 0,
            waiting: 0,
            head: None,
            position: Position::START,
            partition_time: Timestamp::UNKNOWN,
            caught_up: false,
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn enqueue(&mut self, batch: Box<dyn Batch>) {
        self.waiting += batch.len();
        self.batches.push_back(batch);
    }

    /// Drops what waits: it will be fetched again.
    pub(super) fn clear(&mut self) {
        self.batches.clear();
        self.next = 0;
        self.waiting = 0;
        self.head = None;
        self.caught_up = false;
    }

    pub(super) fn record(&self) -> Option<RawRecord<'_>> {
        self.batches.front().map(|batch| batch.get(self.next))
    }

    /// The head's timestamp, extracted once; `None` if nothing waits.
    pub(super) fn head_time(&mut self, chain: &mut Chain) -> Result<Option<Timestamp>, ProcessError> {
        if self.head.is_none()
            && let Some(batch) = self.batches.front()
        {
            let record = batch.get(self.next);
            self.head = Some((chain.timestamp(self.source, &record, self.partition_time)?, record.offset));
        }
        Ok(self.head.map(|(timestamp, _)| timestamp))
    }

    /// Takes the head away: it is done, or dropped.
    pub(super) fn advance(&mut self, timestamp: Timestamp) {
        let Some(batch) = self.batches.front() else { return };
        let offset = self.head.map_or_else(|| batch.get(self.next).offset, |(_, offset)| offset);
        self.position = Position::after(offset);
        self.partition_time = self.partition_time.max(timestamp);
        self.next += 1;
        self.waiting -= 1;
        self.head = None;
        if self.next == batch.len() {
            self.batches.pop_front();
            self.next = 0;
        }
    }
}
