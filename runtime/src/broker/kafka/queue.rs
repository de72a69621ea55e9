//! One partition's queue: batches out, and a position that is right about control records and about gaps.
//!
//! A position that is not in the log must not be skipped silently. librdkafka can stop the partition for good or go on
//! from the start of the log; it is told to go on, and this queue notices: a record before the position, or a gap whose
//! far side is not before the log's first offset, is [`ErrorClass::OffsetOutOfRange`] until the next seek. (A gap left by
//! compaction or by control records has the log's start behind it.)

use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millstream_state::model::{Headers, Offset, Position, RawRecord, TopicPartition};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::end::EndOfStable;
use super::errors::Failure;
use super::native::{self, Messages, Queue};
use super::offsets;
use crate::broker::{Batch, BrokerError, ErrorClass, PartitionQueue, Wake};

/// How many batches of one queue may be held at a time. Each pins a fetch response.
const BATCHES_OUT: usize = 64;

/// How often in a row a client that reads elsewhere is sent back to where it should be.
const STRAYS: u32 = 5;

/// How long a seek waits for librdkafka's own thread, which does not talk to the broker for it.
const SEEK_PATIENCE: Duration = Duration::from_secs(5);

/// What tells a queue that its partition has gone to somebody else.
pub(super) trait Tenure: Send {
    /// Whether the partition is still held.
    fn is_current(&self) -> bool;

    /// Whether nobody else polls the client's common queue.
    fn polls(&self) -> bool;

    /// Whether the client reads committed records only.
    fn reads_committed(&self) -> bool;
}

/// The queue of one partition.
pub(super) struct KafkaQueue {
    // Both before the queue, which may be the last to hold the client: calls write a reference on the client's partition
    // into the list that they are given, and a client waits for ever for such references to go when it is destroyed.
    /// The partition, as a list of one.
    list: TopicPartitionList,
    /// For readers of committed records.
    stable: Option<EndOfStable>,
    queue: Queue,
    partition: TopicPartition,
    /// The partition's name for C.
    name: CString,
    tenure: Box<dyn Tenure>,
    position: Position,
    /// Paused since the assignment: the first seek lets it go.
    idle: bool,
    failed: Option<BrokerError>,
    lost_position: Option<BrokerError>,
    /// What librdkafka takes for our position after an error, which it counts as the record at its offset. Until we are
    /// there, its word is not to be had.
    misled: Option<Position>,
    /// How often in a row the client was sent back to our position.
    strays: u32,
    wake: Wake,
    out: Arc<AtomicUsize>,
}

impl KafkaQueue {
    /// Detaches the partition's queue, which must not have been done for this assignment yet.
    pub(super) fn detach(
        consumer: &Arc<native::Consumer>,
        partition: TopicPartition,
        tenure: Box<dyn Tenure>,
        wake: Wake,
    ) -> Option<Self> {
        let stable = tenure.reads_committed().then(|| EndOfStable::of(consumer, &partition));
        let name = CString::new(&*partition.topic).ok()?;
        let list = offsets::without_offsets([&partition]);
        let queue = Queue::detach(consumer, &partition.topic, partition.partition)?;
        consumer.context().slot(&partition.topic, partition.partition).set(wake.clone());
        let out = Arc::default();
        let position = Position::START;
        Some(Self {
            queue,
            partition,
            name,
            list,
            tenure,
            stable,
            position,
            idle: true,
            failed: None,
            lost_position: None,
            misled: None,
            strays: 0,
            wake,
            out,
        })
    }

    pub(super) fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// For a partition that is fetched from `position` already.
    pub(super) fn started_at(mut self, position: Position) -> Self {
        self.position = position;
        self.idle = false;
        self
    }

    fn call(&self) -> String {
        format!("fetch from {} at {}", self.partition, self.position)
    }

    fn consumer(&self) -> &Arc<native::Consumer> {
        self.queue.consumer()
    }

    /// Finds the first record that shows the position to be lost.
    fn first_jump(&self, messages: &Messages) -> Option<usize> {
        let mut expected = self.position.number();
        for index in 0..messages.len() {
            let offset = messages.offset(index);
            if offset != expected && (offset < expected || self.log_starts_after(expected)) {
                return Some(index);
            }
            expected = offset + 1;
        }
        None
    }

    fn log_starts_after(&self, position: i64) -> bool {
        let (low, _) = native::watermarks(self.consumer(), &self.name, self.partition.partition);
        low.is_some_and(|low| low.number() > position)
    }

    /// The client reads elsewhere than it was told to. It does so by itself where a broker refused an offset that is not ours
    /// any more: the one from which an assignment begins, before the first seek, may have been deleted long ago, and the
    /// answer to it comes when it will. Where our position is in the log, the client is sent back to it.
    fn gone_astray(&mut self) {
        let (low, high) = native::watermarks(self.consumer(), &self.name, self.partition.partition);
        let in_log = low.zip(high).is_some_and(|(low, high)| (low..=high).contains(&self.position));
        if in_log && self.strays < STRAYS {
            self.strays += 1;
            tracing::debug!(partition = %self.partition, position = %self.position, "the client is sent back");
            self.set_right();
        } else {
            self.lose_position();
        }
    }

    fn lose_position(&mut self) {
        let (low, high) = native::watermarks(self.consumer(), &self.name, self.partition.partition);
        let show = |position: Option<Position>| position.map_or("?".to_owned(), |position| position.to_string());
        let reason = format!("the log goes from {} to {}", show(low), show(high));
        self.lost_position = Some(BrokerError::new(ErrorClass::OffsetOutOfRange, self.call(), reason));
    }

    /// Takes what waits, up to `max`, and moves the position; errors are kept for the next call.
    fn take(&mut self, max: usize) -> Option<Messages> {
        let mut messages = self.queue.drain(max);
        if let Some((failure, offset)) = messages.take_failures() {
            self.failed = Some(failure.error(self.call()));
            self.misled = self.misled.max(Some(Position::after(Offset::new(offset))));
        }
        let jump = self.first_jump(&messages);
        if let Some(index) = jump {
            messages.truncate(index);
        }
        if messages.len() > 0 {
            self.strays = 0;
            self.position = Position::after(Offset::new(messages.offset(messages.len() - 1)));
        }
        if jump.is_some() {
            self.gone_astray();
        } else if self.queue.is_empty() {
            self.pass_control_records();
        }
        (messages.len() > 0).then_some(messages)
    }

    /// Nothing waits: what librdkafka took out last may have been control records.
    fn pass_control_records(&mut self) {
        if let Some(beyond) = self.misled {
            if self.position < beyond {
                self.set_right();
                return;
            }
            self.misled = None;
        }
        if let Some(position) = native::position(self.consumer(), &self.list) {
            self.position = self.position.max(position);
        }
        if self.log_starts_after(self.position.number()) {
            self.lose_position();
        }
    }

    /// Tells librdkafka where we are: believed, its own idea would pass a record that was never here.
    fn set_right(&mut self) {
        let position = self.position;
        match seek_until_started(self.consumer(), || offsets::single(&self.partition, position)) {
            Ok(()) => self.misled = None,
            Err(failure) => {
                tracing::debug!(partition = %self.partition, ?failure, "the position cannot be set right yet");
            }
        }
    }

    /// Lets the client begin with what was resumed just now. Its thread that fetches sleeps for up to a second over a
    /// partition that is paused, and a resumption does not wake it. A seek does, but not one to offset 0; hence another one
    /// before it, which is not waited for, so that both are done at once. A fetch that slips in between has no effect: its
    /// records are dropped, and if there is no offset 1, it begins with the first.
    fn begin_at(&self, to: Position) -> Result<(), Failure> {
        if to == Position::START {
            let elsewhere = offsets::single(&self.partition, Position::new(1))?;
            self.consumer().seek_partitions(elsewhere, Duration::ZERO)?;
        }
        seek_until_started(self.consumer(), || offsets::single(&self.partition, to))
    }

    fn pending_error(&mut self) -> Option<BrokerError> {
        if !self.tenure.is_current() {
            return Some(BrokerError::new(ErrorClass::MemberFenced, self.call(), "the partition is no longer ours"));
        }
        self.lost_position.clone().or_else(|| self.failed.take())
    }
}

impl PartitionQueue for KafkaQueue {
    fn drain(&mut self, max: usize) -> Result<Option<Box<dyn Batch>>, BrokerError> {
        if let Some(error) = self.pending_error() {
            return Err(error);
        }
        if self.idle || max == 0 || self.out.load(Ordering::Acquire) >= BATCHES_OUT {
            return Ok(None);
        }
        if self.tenure.polls() {
            // Errors of the client as a whole; those of the partition come through its queue.
            while let Some(polled) = self.consumer().poll(Duration::ZERO) {
                match polled {
                    Ok(_) => return Err(astray(self.call())),
                    Err(error) => tracing::debug!(%error, "the fetching client reports an error"),
                }
            }
        }
        match self.take(max) {
            Some(messages) => Ok(Some(Box::new(KafkaBatch::new(messages, self.out.clone(), self.wake.clone())))),
            None => self.pending_error().map_or(Ok(None), Err),
        }
    }

    fn seek(&mut self, to: Position) -> Result<(), BrokerError> {
        let call = || format!("seek {} to {to}", self.partition);
        if !self.tenure.is_current() {
            return Err(BrokerError::new(ErrorClass::MemberFenced, call(), "the partition is no longer ours"));
        }
        seek_until_started(self.consumer(), || offsets::single(&self.partition, to))
            .map_err(|failure| failure.error(call()))?;
        if self.idle {
            self.consumer().resume(&self.list).map_err(|error| Failure::from(error).error(call()))?;
            self.begin_at(to).map_err(|failure| failure.error(call()))?;
            self.idle = false;
        }
        self.position = to;
        self.failed = None;
        self.lost_position = None;
        self.misled = None;
        self.strays = 0;
        Ok(())
    }

    fn position(&self) -> Position {
        self.position
    }

    fn end(&self) -> Option<Position> {
        let high = native::watermarks(self.consumer(), &self.name, self.partition.partition).1?;
        match &self.stable {
            Some(stable) => stable.get(self.consumer(), self.position, high),
            None => Some(high),
        }
    }

    fn set_wake(&mut self, wake: Wake) {
        self.wake = wake.clone();
        self.consumer().context().slot(&self.partition.topic, self.partition.partition).set(wake.clone());
        if !self.queue.is_empty() {
            // What waits already raises no event.
            wake.wake();
        }
    }
}

impl Drop for KafkaQueue {
    fn drop(&mut self) {
        if self.tenure.is_current() {
            self.consumer().context().slot(&self.partition.topic, self.partition.partition).set(Wake::nobody());
        }
    }
}

/// Seeks; while librdkafka has not started the partition yet, again and again.
pub(super) fn seek_until_started(
    consumer: &native::Consumer,
    list: impl Fn() -> Result<TopicPartitionList, KafkaError>,
) -> Result<(), Failure> {
    let mut patience = SEEK_PATIENCE;
    loop {
        let sought = consumer.seek_partitions(list()?, Duration::from_secs(1))?;
        let failed = native::elements(&sought).into_iter().find(|element| element.code != RDKafkaErrorCode::NoError);
        let Some(failed) = failed else { return Ok(()) };
        let again = matches!(
            failed.code,
            RDKafkaErrorCode::State
                | RDKafkaErrorCode::PreviousInProgress
                | RDKafkaErrorCode::Outdated
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::InProgress
        );
        let pause = Duration::from_millis(2);
        if !again || patience < pause {
            return Err(Failure::of(failed.code));
        }
        patience -= pause;
        std::thread::park_timeout(pause);
    }
}

/// A record that came through the client's common queue, which no partition forwards to. It is gone, so nobody may go on.
pub(super) fn astray(call: String) -> BrokerError {
    BrokerError::new(ErrorClass::Fatal, call, "a record came through a queue that nobody reads")
}

static NO_HEADERS: Headers = Headers::new();

/// A batch that borrows from librdkafka's fetch buffers.
struct KafkaBatch {
    messages: Messages,
    /// By index, for the few records that have any.
    headers: Vec<(usize, Headers)>,
    out: Arc<AtomicUsize>,
    wake: Wake,
}

impl KafkaBatch {
    fn new(messages: Messages, out: Arc<AtomicUsize>, wake: Wake) -> Self {
        out.fetch_add(1, Ordering::AcqRel);
        Self { headers: messages.headers(), messages, out, wake }
    }
}

impl Batch for KafkaBatch {
    fn len(&self) -> usize {
        self.messages.len()
    }

    fn get(&self, index: usize) -> RawRecord<'_> {
        let headers = if self.headers.is_empty() {
            &NO_HEADERS
        } else {
            match self.headers.binary_search_by_key(&index, |(at, _)| *at) {
                Ok(found) => &self.headers[found].1,
                Err(_) => &NO_HEADERS,
            }
        };
        RawRecord {
            offset: Offset::new(self.messages.offset(index)),
            timestamp: self.messages.timestamp(index),
            key: self.messages.key(index),
            value: self.messages.value(index),
            headers,
        }
    }
}

impl Drop for KafkaBatch {
    fn drop(&mut self) {
        if self.out.fetch_sub(1, Ordering::AcqRel) == BATCHES_OUT {
            self.wake.wake();
        }
    }
}
