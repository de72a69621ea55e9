//! The group's side of a member: what happens inside librdkafka's rebalance callback, and the thread that polls for it.
//!
//! ```text
//!   assign callback ── capture ownership, detach queues, assign paused ──► [pending] ── stable offsets ──► Assigned
//!   revoke callback ── Revoking ──► (commits go on) ──► acknowledged, or too late: Lost ── unassign
//! ```
//! The callbacks run on the thread itself, inside its polls.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use millstream_state::model::{Position, TopicPartition};
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::errors::Failure;
use super::native::{self, Consumer, GroupMetadata};
use super::queue::{KafkaQueue, Tenure, astray, seek_until_started};
use super::{Consuming, offsets};
use crate::broker::{
    Assigned, AssignedPartition, BrokerError, Committed, Completer, ErrorClass, OffsetCommit, Ownership, Wake,
};
use crate::clock::{Clock as _, Monotonic, SystemClock};

/// How long one attempt to read the committed offsets may take; in between, rebalances are served.
const OFFSET_FETCH_SLICE: Duration = Duration::from_millis(500);

/// How long the thread sleeps at most; events and commands wake it.
const NAP: Duration = Duration::from_millis(100);

/// And while it leaves.
const GOODBYE_NAP: Duration = Duration::from_millis(5);

/// How long librdkafka may take to send its goodbye, after which the client is closed without: with no coordinator to be
/// reached there is nobody to tell.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(5);

/// What the member asks of the thread.
pub(super) enum Command {
    Acknowledge(u64),
    Commit { offsets: Vec<OffsetCommit>, generation: i32, member_id: Arc<str>, done: Completer<()> },
    Leave(Completer<()>),
}

/// What the thread tells the member. Revocations are numbered, so that a late acknowledgement is not taken for another's.
pub(super) enum Told {
    Revoking(u64),
    Assigned(Assigned),
    Lost,
    Refused(BrokerError),
    Failed(BrokerError),
}

/// An assignment that has not been handed out yet.
struct Pending {
    ownership: Ownership,
    list: TopicPartitionList,
    queues: Vec<KafkaQueue>,
    started: bool,
}

#[derive(Default)]
struct State {
    revocation: u64,
    pending: Option<Pending>,
    /// Partitions are assigned, as librdkafka sees it.
    held: bool,
    /// And the member has been told.
    handed_out: bool,
    leave: Option<Completer<()>>,
    leave_until: Monotonic,
    failed: bool,
    /// The member was dropped: nobody listens.
    abandoned: bool,
}

/// The membership, as part of the consumer's context.
pub(super) struct Membership {
    group: String,
    wake: Wake,
    patience: Duration,
    clock: SystemClock,
    events: SyncSender<Told>,
    // Locks because the context must be `Sync`; only the membership's thread uses what is in them.
    commands: Mutex<Receiver<Command>>,
    state: Mutex<State>,
    consumer: OnceLock<Weak<Consumer>>,
    /// Goes up whenever partitions are given up; the queues compare.
    term: Arc<AtomicU64>,
}

struct Term {
    current: Arc<AtomicU64>,
    ours: u64,
}

impl Tenure for Term {
    fn is_current(&self) -> bool {
        self.current.load(Ordering::Acquire) == self.ours
    }

    fn polls(&self) -> bool {
        false
    }

    fn reads_committed(&self) -> bool {
        true
    }
}

impl Membership {
    /// `patience` is how long a revocation waits to be acknowledged.
    pub(super) fn new(
        group: String,
        patience: Duration,
        wake: Wake,
        events: SyncSender<Told>,
        commands: Receiver<Command>,
    ) -> Self {
        Self {
            group,
            wake,
            patience,
            clock: SystemClock::default(),
            events,
            commands: Mutex::new(commands),
            state: Mutex::default(),
            consumer: OnceLock::new(),
            term: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, event: Told) {
        if self.events.send(event).is_err() {
            self.state().abandoned = true;
        }
        self.wake.wake();
    }

    fn fail(&self, error: BrokerError) {
        let first = !std::mem::replace(&mut self.state().failed, true);
        if first {
            self.tell(Told::Failed(error));
        }
    }

    // -------------------------------------------------------------------------------------- inside the callback

    pub(super) fn rebalance(&self, consumer: &Consumer, assign: bool, list: &mut TopicPartitionList) {
        let done = if assign { self.assigned(consumer, list) } else { self.revoked(consumer) };
        if let Err(failure) = done {
            self.fail(failure.error(format!("rebalance of group {}", self.group)));
        }
    }

    fn assigned(&self, consumer: &Consumer, list: &mut TopicPartitionList) -> Result<(), Failure> {
        self.state().held = true;
        let shared = self.consumer.get().and_then(Weak::upgrade).filter(|_| !self.state().abandoned);
        let Some(shared) = shared else {
            return Ok(consumer.unassign()?);
        };
        let ownership = self.capture(consumer)?;
        let ours = self.term.fetch_add(1, Ordering::AcqRel) + 1;
        let mut queues = Vec::with_capacity(list.count());
        for element in native::elements(list) {
            let partition = TopicPartition::new(element.topic, element.partition);
            let tenure = Box::new(Term { current: self.term.clone(), ours });
            let queue = KafkaQueue::detach(&shared, partition.clone(), tenure, self.wake.clone());
            queues.push(queue.ok_or_else(|| Failure {
                reason: format!("{partition} has no queue"),
                ..Failure::of(RDKafkaErrorCode::Fail)
            })?);
        }
        // An explicit offset, so that nothing is looked up; paused at once, so that nothing is kept of what may be fetched
        // from there. The first seek says where to begin.
        list.set_all_offsets(Offset::Offset(0))?;
        consumer.assign(list)?;
        consumer.pause(list)?;
        self.state().pending = Some(Pending { ownership, list: list.clone(), queues, started: false });
        Ok(())
    }

    /// The right to commit, as it is at this moment. Read later, it could be another generation's.
    fn capture(&self, consumer: &Consumer) -> Result<Ownership, Failure> {
        let metadata = GroupMetadata::capture(consumer)
            .filter(|metadata| metadata.generation() >= 0 && !metadata.member_id().is_empty())
            .ok_or_else(|| Failure {
                reason: "an assignment without a generation or member id".to_owned(),
                ..Failure::of(RDKafkaErrorCode::IllegalGeneration)
            })?;
        Ok(Ownership {
            generation: metadata.generation(),
            member_id: metadata.member_id().into(),
            handle: Arc::new(metadata),
        })
    }

    fn revoked(&self, consumer: &Consumer) -> Result<(), Failure> {
        let (handed_out, number) = {
            let mut state = self.state();
            state.pending = None;
            state.revocation += 1;
            (state.handed_out && !state.abandoned, state.revocation)
        };
        if handed_out {
            let lost = consumer.assignment_lost();
            if !lost {
                self.tell(Told::Revoking(number));
            }
            if lost || !self.wait_for_acknowledgement(consumer, number) {
                self.tell(Told::Lost);
            }
        }
        // From here on the old queues answer that they are no longer ours.
        self.term.fetch_add(1, Ordering::AcqRel);
        {
            let mut state = self.state();
            state.held = false;
            state.handed_out = false;
            state.leave_until = self.clock.monotonic().after(GOODBYE_PATIENCE);
        }
        Ok(consumer.unassign()?)
    }

    /// False if the member took too long, or the group went on without us.
    fn wait_for_acknowledgement(&self, consumer: &Consumer, number: u64) -> bool {
        let deadline = self.clock.monotonic().after(self.patience);
        let commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let left = deadline.since(self.clock.monotonic());
            match commands.recv_timeout(left.min(NAP)) {
                Ok(Command::Acknowledge(acknowledged)) if acknowledged == number => return true,
                Ok(command) => self.serve(consumer, command),
                Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                    tracing::warn!(
                        group = self.group,
                        "a revocation was not acknowledged in time: giving up the partitions"
                    );
                    return false;
                }
                Err(RecvTimeoutError::Timeout) if consumer.assignment_lost() => return false,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.state().abandoned = true;
                    return true;
                }
            }
        }
    }

    // --------------------------------------------------------------------------------------------- the thread

    /// Lives as long as the membership.
    pub(super) fn run(consumer: &Arc<Consumer>) {
        let Some(membership) = consumer.context().membership() else { return };
        // The consumer is new, so nothing is set yet.
        let _ = membership.consumer.set(Arc::downgrade(consumer));
        while membership.step(consumer) {
            // No event tells that librdkafka has sent its goodbye.
            let leaving = membership.state().leave.is_some();
            std::thread::park_timeout(if leaving { GOODBYE_NAP } else { NAP });
        }
        membership.state().pending = None;
        close(consumer);
        if let Some(done) = membership.state().leave.take() {
            done.complete(Ok(()));
        }
    }

    /// Serves what there is; false when the membership is over.
    fn step(&self, consumer: &Consumer) -> bool {
        loop {
            let command = self.commands.lock().unwrap_or_else(PoisonError::into_inner).try_recv();
            match command {
                Ok(command) => self.serve(consumer, command),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.state().abandoned = true;
                    break;
                }
            }
        }
        // A poll that served a rebalance answers like one that found nothing: a few, and the rest after the nap.
        for _ in 0..4 {
            match consumer.poll(Duration::ZERO) {
                None => {}
                Some(Ok(_)) => self.fail(astray(format!("membership of group {}", self.group))),
                Some(Err(error)) => self.report(error),
            }
        }
        let pending = self.state().pending.take();
        if let Some(pending) = pending {
            self.settle(consumer, pending);
        }
        let state = self.state();
        if state.abandoned {
            return false;
        }
        let leaving = state.leave.is_some();
        !leaving || !state.failed && (state.held || !self.said_goodbye(consumer, state.leave_until))
    }

    /// Whether librdkafka has sent the request to leave: it forgets its member id then. Closed any earlier, it would not
    /// send it at all for a static member; closed later, it waits for the answer.
    fn said_goodbye(&self, consumer: &Consumer, patience: Monotonic) -> bool {
        GroupMetadata::capture(consumer).is_none_or(|metadata| metadata.member_id().is_empty())
            || self.clock.monotonic() >= patience
    }

    fn serve(&self, consumer: &Consumer, command: Command) {
        match command {
            // Of a revocation that is over.
            Command::Acknowledge(_) => {}
            Command::Commit { offsets, generation, member_id, done } => {
                done.complete(self.commit(consumer, &offsets, generation, &member_id));
            }
            Command::Leave(done) => {
                let mut state = self.state();
                state.leave = Some(done);
                state.leave_until = self.clock.monotonic().after(GOODBYE_PATIENCE);
                drop(state);
                consumer.unsubscribe();
            }
        }
    }

    /// Commits under the present membership, if it still is the one that the offsets were read under. (librdkafka has no
    /// way to commit under a former one.)
    fn commit(
        &self,
        consumer: &Consumer,
        offsets: &[OffsetCommit],
        generation: i32,
        member_id: &str,
    ) -> Result<(), BrokerError> {
        let call = || format!("commit offsets of group {}", self.group);
        let present = self.state().handed_out && !consumer.assignment_lost();
        let present = present
            && GroupMetadata::capture(consumer)
                .is_some_and(|now| now.generation() == generation && now.member_id() == member_id);
        if !present {
            let reason = format!("generation {generation} of member {member_id} is over");
            return Err(BrokerError::new(ErrorClass::MemberFenced, call(), reason));
        }
        if offsets.is_empty() {
            return Ok(());
        }
        offsets::commits(offsets)
            .and_then(|list| consumer.commit(&list, CommitMode::Sync))
            .map_err(|error| Failure::from(error).error_of_effect(call()))
    }

    /// Reads the committed offsets and hands the assignment out; or puts it back for another try.
    fn settle(&self, consumer: &Consumer, mut pending: Pending) {
        match self.try_settle(consumer, &mut pending) {
            Ok(Some(committed)) => {
                let partitions = pending.queues.into_iter().zip(committed);
                let partitions = partitions.map(|(queue, committed)| AssignedPartition {
                    partition: queue.partition().clone(),
                    committed,
                    queue: Box::new(queue),
                });
                let assigned = Assigned { ownership: pending.ownership, partitions: partitions.collect() };
                self.state().handed_out = true;
                self.tell(Told::Assigned(assigned));
            }
            Ok(None) => self.put_back(pending),
            Err(failure) => match failure.class() {
                ErrorClass::NotAuthorized => self.fail(failure.error(format!("read offsets of group {}", self.group))),
                _ => {
                    tracing::debug!(group = self.group, ?failure, "committed offsets cannot be read yet");
                    self.put_back(pending);
                }
            },
        }
    }

    fn put_back(&self, pending: Pending) {
        self.state().pending = Some(pending);
        // Not to sleep before the next try, which waits itself.
        std::thread::current().unpark();
    }

    /// `None` while a transaction with offsets for one of the partitions is open.
    fn try_settle(
        &self,
        consumer: &Consumer,
        pending: &mut Pending,
    ) -> Result<Option<Vec<Option<Committed>>>, Failure> {
        let partitions: Vec<TopicPartition> = pending.queues.iter().map(|queue| queue.partition().clone()).collect();
        if partitions.is_empty() {
            return Ok(Some(Vec::new()));
        }
        if !pending.started {
            // So that the workers' seeks find the partitions started.
            seek_until_started(consumer, || Ok(pending.list.clone()))?;
            pending.started = true;
        }
        let answer = consumer.committed_offsets(offsets::without_offsets(&partitions), OFFSET_FETCH_SLICE)?;
        let mut committed = Vec::with_capacity(partitions.len());
        for element in offsets::in_order(&partitions, native::elements(&answer)) {
            let Some(element) = element else { return Ok(None) };
            match element.code {
                RDKafkaErrorCode::NoError => committed.push(
                    (element.offset >= 0)
                        .then(|| Committed { position: Position::new(element.offset), metadata: element.metadata }),
                ),
                RDKafkaErrorCode::UnstableOffsetCommit => return Ok(None),
                code => return Err(Failure::of(code)),
            }
        }
        Ok(Some(committed))
    }

    /// Errors of the client as a whole: most come and go.
    fn report(&self, error: KafkaError) {
        let failure = Failure::from(error);
        let call = || format!("membership of group {}", self.group);
        match (failure.code, failure.fatal) {
            (RDKafkaErrorCode::FencedInstanceId, true) => {
                self.fail(BrokerError::new(ErrorClass::InstanceFenced, call(), failure.reason));
            }
            (_, true)
            | (
                RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::InvalidSessionTimeout
                | RDKafkaErrorCode::InvalidGroupId
                | RDKafkaErrorCode::GroupMaxSizeReached,
                _,
            ) => self.fail(failure.error(call())),
            // librdkafka asks to join again every second.
            (RDKafkaErrorCode::InconsistentGroupProtocol, _) => self.tell(Told::Refused(BrokerError::new(
                ErrorClass::Retriable,
                format!("join group {}", self.group),
                format!(
                    "its present members share it out in another way than Millstream, so they belong to Kafka Streams or to \
                     another program; it can be joined when they have left it or their sessions have timed out ({})",
                    failure.reason
                ),
            ))),
            (RDKafkaErrorCode::UnknownTopicOrPartition, _) => {
                tracing::warn!(group = self.group, "a topic of the subscription does not exist");
            }
            _ => tracing::debug!(group = self.group, ?failure, "the membership's client reports an error"),
        }
    }
}

/// Closes the consumer; its callbacks run in these polls.
fn close(consumer: &rdkafka::consumer::BaseConsumer<Consuming>) {
    match consumer.close_queue() {
        Ok(()) => {
            while !consumer.closed() {
                consumer.poll(NAP);
            }
        }
        Err(error) => tracing::warn!(%error, "the membership's client could not be closed"),
    }
}
