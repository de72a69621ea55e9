//! A producer's blocking calls, one after the other on a thread of their own.
//!
//! ```text
//!   [calls thread]    waiting ──► under way ──► answer
//!   [reports thread]              └── too long? ──► «unknown», and so for all that wait: the handle is of no use
//! ```
//! rdkafka's own `flush` and `commit_transaction` sleep in slices of 100 ms; the C calls return when they are done. Now and
//! then one does not return at all. Nobody waits for it then: its ticket is answered, and the handle takes no more calls.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::Producer as _;

use super::errors::Failure;
use super::native::{self, GroupMetadata, Reports, Sender};
use crate::broker::{BrokerError, Completer, ErrorClass, Ownership, Ticket, Wake};
use crate::clock::{Clock as _, Monotonic, SystemClock};

/// How many calls may wait; each caller waits for its ticket, so that few do.
const CALLS_WAITING: usize = 64;

/// How long looking up a topic may take.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(10);

/// How much longer than its own timeout a call may take before nobody waits for it any more.
const GRACE: Duration = Duration::from_secs(10);

/// How long initialising is tried on one handle, at least; after that another one is made.
const INIT_PATIENCE: Duration = Duration::from_secs(8);

/// What to call.
pub(super) enum What {
    Init,
    Flush,
    SendOffsets(TopicPartitionList, Ownership),
    Commit,
    Abort,
    LookUp(Arc<str>),
    WaitForRoom,
}

struct Call {
    what: What,
    done: Option<Completer<()>>,
}

struct UnderWay {
    done: Completer<()>,
    until: Monotonic,
}

/// What both the producer and its threads know.
pub(super) struct Caller {
    /// The transactional id or the client id, for errors.
    name: Arc<str>,
    pub(super) sender: Arc<Sender>,
    pub(super) reports: Reports,
    transactional: bool,
    timeout: Duration,
    wake: Wake,
    clock: SystemClock,
    calls: SyncSender<Call>,
    // A lock because the calls thread takes calls out and the reports thread empties it when the former is stuck.
    waiting: Mutex<Receiver<Call>>,
    // A lock because its single writer is the calls thread, and the reports thread takes out what takes too long.
    under_way: Mutex<Option<UnderWay>>,
    waiting_for_room: AtomicBool,
    given_up: AtomicBool,
    stopped: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fatal(call: String, reason: impl std::fmt::Display) -> BrokerError {
    BrokerError::new(ErrorClass::Fatal, call, reason.to_string())
}

/// How long to wait for a connection before transactions are initialised without one, which fails in its own way.
const CONNECTING: Duration = Duration::from_secs(5);

impl Caller {
    pub(super) fn new(
        name: Arc<str>,
        sender: Arc<Sender>,
        transactional: bool,
        timeout: Duration,
        wake: Wake,
    ) -> Option<Self> {
        let (calls, waiting) = sync_channel(CALLS_WAITING);
        let reports = Reports::of(&sender)?;
        Some(Self {
            name,
            sender,
            reports,
            transactional,
            timeout,
            wake,
            clock: SystemClock::default(),
            calls,
            waiting: Mutex::new(waiting),
            under_way: Mutex::default(),
            waiting_for_room: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        })
    }

    /// A call's name for errors.
    pub(super) fn call(&self, what: &str) -> String {
        format!("{what} as {}", self.name)
    }

    pub(super) fn start(&self, what: What) -> Ticket<()> {
        if let Err(error) = self.alive() {
            return Ticket::ready(Err(error));
        }
        let (done, ticket) = Ticket::pair(self.wake.clone());
        if self.calls.try_send(Call { what, done: Some(done) }).is_err() {
            let reason = "more calls are waiting than there are callers";
            return Ticket::ready(Err(BrokerError::new(ErrorClass::Retriable, self.call("call"), reason)));
        }
        ticket
    }

    /// Wakes when there is room in the queue again.
    pub(super) fn tell_of_room(&self) {
        let call = Call { what: What::WaitForRoom, done: None };
        if !self.waiting_for_room.swap(true, Ordering::AcqRel) && self.calls.try_send(call).is_err() {
            // The thread is busy with a call, whose completion wakes as well.
            self.waiting_for_room.store(false, Ordering::Release);
        }
    }

    /// An error once the client has not returned from a call.
    pub(super) fn alive(&self) -> Result<(), BrokerError> {
        if !self.given_up.load(Ordering::Acquire) {
            return Ok(());
        }
        let reason = "the client did not return from a call; it is replaced by a new one";
        Err(BrokerError::new(ErrorClass::ProducerFenced, self.call("call"), reason))
    }

    /// Ends the threads, the calls thread as soon as it is out of its call. What is queued is not sent.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        // So that one that waits for calls looks. One that is busy looks by itself.
        let _ = self.calls.try_send(Call { what: What::WaitForRoom, done: None });
        self.sender.context().wake_taker();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// The calls thread.
    pub(super) fn serve(&self) {
        while !self.is_stopped() {
            let Ok(Call { what, done }) = locked(&self.waiting).recv() else { return };
            let until = self.clock.monotonic().after(self.timeout + GRACE);
            self.sender.context().set_under_way(true);
            *locked(&self.under_way) = done.map(|done| UnderWay { done, until });
            let answer = self.make(&what);
            self.sender.context().set_under_way(false);
            // Absent if it was given up meanwhile.
            let under_way = locked(&self.under_way).take();
            if let Some(UnderWay { done, .. }) = under_way {
                done.complete(answer);
            }
            if self.given_up.load(Ordering::Acquire) {
                return;
            }
        }
    }

    /// Answers for the calls thread if that has been in a call for too long.
    pub(super) fn watch(&self) {
        let overdue = {
            let mut under_way = locked(&self.under_way);
            let late = under_way.as_ref().is_some_and(|under_way| self.clock.monotonic() >= under_way.until);
            if late { under_way.take() } else { None }
        };
        let unknown = || BrokerError::unknown(self.call("call"), "the client did not return from it");
        if let Some(UnderWay { done, .. }) = overdue {
            self.given_up.store(true, Ordering::Release);
            tracing::warn!(
                producer = &*self.name,
                "the client does not return from a call and is replaced by a new one"
            );
            done.complete(Err(unknown()));
        } else if !self.given_up.load(Ordering::Acquire) {
            return;
        }
        // The calls thread is inside of its call, not at its queue.
        if let Ok(waiting) = self.waiting.try_lock() {
            while let Ok(call) = waiting.try_recv() {
                if let Some(done) = call.done {
                    done.complete(Err(unknown()));
                }
            }
        }
    }

    fn make(&self, what: &What) -> Result<(), BrokerError> {
        match what {
            What::Init => self.init(),
            What::Flush => self.flush(),
            What::SendOffsets(list, ownership) => self.send_offsets(list, ownership),
            What::Commit => self.commit(),
            What::Abort => self.abort(),
            What::LookUp(topic) => self.look_up(topic),
            What::WaitForRoom => {
                self.wait_for_room();
                Ok(())
            }
        }
    }

    /// After a fatal error librdkafka answers everything with «fatal»: what it was is asked for.
    fn root_of(&self, failure: Failure) -> Failure {
        match self.sender.client().fatal_error() {
            Some((code, reason)) => Failure { code, reason, fatal: true, ..failure },
            None => failure,
        }
    }

    /// A client that has failed for good can be replaced: that it did so is not yet the end of those who use it.
    pub(super) fn replaceable(&self, failure: Failure, call: String) -> BrokerError {
        let failure = self.root_of(failure);
        let spent = failure.fatal;
        let mut error = failure.error(call);
        if spent && error.class == ErrorClass::Fatal {
            error.class = ErrorClass::ProducerFenced;
        }
        error
    }

    /// The same for a call that changes the log.
    fn replaceable_of_effect(&self, failure: Failure, call: String) -> BrokerError {
        let mut error = self.replaceable(failure, call);
        if error.class == ErrorClass::Retriable {
            error.class = ErrorClass::Unknown;
        }
        error
    }

    /// Asks again while the coordinator completes what the id's former producer left open.
    fn init(&self) -> Result<(), BrokerError> {
        let patience = self.timeout.max(INIT_PATIENCE);
        let deadline = self.clock.monotonic().after(patience);
        loop {
            let left = deadline.since(self.clock.monotonic()).max(Duration::from_secs(1));
            // Comes with the first answer of a broker. Asked before there is a connection, librdkafka looks for the
            // coordinator again only after half a second.
            self.sender.client().fetch_cluster_id(left.min(CONNECTING));
            let Err(failure) = native::init_transactions(&self.sender, left) else {
                return Ok(());
            };
            let failure = self.root_of(failure);
            if failure.class() != ErrorClass::Retriable || deadline.since(self.clock.monotonic()).is_zero() {
                return Err(failure.error(self.call("initialise transactions")));
            }
            tracing::debug!(producer = &*self.name, ?failure, "transactions cannot be initialised yet");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn flush(&self) -> Result<(), BrokerError> {
        let flushed = native::flush(&self.sender, self.timeout + Duration::from_secs(5));
        if let Some(first) = self.sender.context().take_first() {
            let call = self.call(&format!("deliver to {}", first.partition));
            let failure = Failure { abortable: self.transactional, ..first.failure };
            return Err(self.replaceable(failure, call));
        }
        flushed.map_err(|failure| self.replaceable(failure, self.call("flush")))
    }

    fn send_offsets(&self, list: &TopicPartitionList, ownership: &Ownership) -> Result<(), BrokerError> {
        let call = || self.call(&format!("send offsets of {ownership:?}"));
        let Some(group) = ownership.handle.downcast_ref::<GroupMetadata>() else {
            return Err(fatal(call(), "the ownership is not one of this broker's"));
        };
        native::send_offsets(&self.sender, list, group, self.timeout)
            .map_err(|failure| self.replaceable_of_effect(failure, call()))
    }

    fn commit(&self) -> Result<(), BrokerError> {
        native::commit_transaction(&self.sender, self.timeout)
            .map_err(|failure| self.replaceable_of_effect(failure, self.call("commit a transaction")))
    }

    fn abort(&self) -> Result<(), BrokerError> {
        // Drops what is queued, and waits for what is on its way.
        let aborted = native::abort_transaction(&self.sender, self.timeout);
        self.sender.context().take_first();
        aborted.map_err(|failure| self.replaceable(failure, self.call("abort a transaction")))
    }

    fn look_up(&self, topic: &str) -> Result<(), BrokerError> {
        let call = || self.call(&format!("look up {topic}"));
        let metadata = self.sender.client().fetch_metadata(Some(topic), LOOK_UP_TIMEOUT);
        let metadata = metadata.map_err(|error| Failure::from(error).error(call()))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        match found.map(|found| found.error()) {
            Some(None) => Ok(()),
            Some(Some(error)) => Err(Failure::of(error.into()).error(call())),
            None => Err(Failure::of(RDKafkaErrorCode::UnknownTopicOrPartition).error(call())),
        }
    }

    /// Wakes when a quarter of the queue has gone, or after a while.
    fn wait_for_room(&self) {
        let full = native::queued(&self.sender);
        for _ in 0..500 {
            if native::queued(&self.sender) * 4 <= full * 3 {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
        self.waiting_for_room.store(false, Ordering::Release);
        self.wake.wake();
    }
}

#[cfg(test)]
mod tests;
