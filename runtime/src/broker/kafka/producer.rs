//! A producer: records go straight into librdkafka's queue, blocking calls to a thread of their own.
//!
//! ```text
//!   produce ─────────────► librdkafka's queue ──► broker
//!   flush, commit, … ──► [calls thread] ──► tickets
//!                        [reports thread] ──► the first record that was not delivered ──► the next flush
//! ```
//! rdkafka's own `flush` and `commit_transaction` sleep in slices of 100 ms; the C calls return when they are done. They
//! need somebody to take the delivery reports meanwhile, hence the second thread. Only failures are reported.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::Producer as _;

use super::errors::Failure;
use super::native::{self, GroupMetadata, Sender, Topic};
use super::{KafkaSettings, Producing, config, offsets};
use crate::broker::{
    BrokerError, Completer, ErrorClass, OffsetCommit, OutRecord, Ownership, Producer, ProducerSettings, Ticket, Wake,
};
use crate::clock::{Clock as _, SystemClock};

/// How many calls may wait; each caller waits for its ticket, so that few do.
const CALLS_WAITING: usize = 64;

/// How long looking up a topic may take.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the reports thread waits at a time; it ends after the last such wait. rdkafka spins through the last
/// millisecond of each, hence not shorter.
const REPORTS_POLL: Duration = Duration::from_millis(500);

enum Call {
    Init(Completer<()>),
    Flush(Completer<()>),
    SendOffsets(TopicPartitionList, Ownership, Completer<()>),
    Commit(Completer<()>),
    Abort(Completer<()>),
    LookUp(Arc<str>, Completer<()>),
    WaitForRoom,
}

struct Known {
    name: Arc<str>,
    topic: Topic,
    /// Until the topic's partitions are known. A record sent earlier would be added to the transaction as one for partition
    /// -1, whatever partition it names, and the commit would fail.
    looking_up: Option<Ticket<()>>,
}

/// A [`Producer`] over one client.
pub(super) struct KafkaProducer {
    shared: Shared,
    topics: Vec<Known>,
    calls: SyncSender<Call>,
    stopped: Arc<AtomicBool>,
}

/// What both the producer and its thread know.
#[derive(Clone)]
struct Shared {
    /// The transactional id or the client id, for errors.
    name: Arc<str>,
    sender: Arc<Sender>,
    transactional: bool,
    timeout: Duration,
    wake: Wake,
    waiting_for_room: Arc<AtomicBool>,
}

impl KafkaProducer {
    pub(super) fn new(settings: &KafkaSettings, producer: ProducerSettings, wake: Wake) -> Result<Self, BrokerError> {
        let name: Arc<str> = producer.transactional_id.as_deref().unwrap_or(&producer.client_id).into();
        let call = || format!("make producer {name}");
        let sender = Sender::from_config_and_context(&config::producer(settings, &producer), Producing::default())
            .map_err(|error| config::not_made(&call(), &error))?;
        let transactional = producer.transactional_id.is_some();
        let shared = Shared {
            name: name.clone(),
            sender: Arc::new(sender),
            transactional,
            // Without transactions a record may wait as long as librdkafka lets it.
            timeout: if transactional { producer.transaction_timeout } else { config::DELIVERY_TIMEOUT },
            wake,
            waiting_for_room: Arc::default(),
        };
        let (calls, served) = sync_channel(CALLS_WAITING);
        let stopped = Arc::<AtomicBool>::default();
        let (caller, reporter, stop) = (shared.clone(), shared.sender.clone(), stopped.clone());
        spawn(format!("calls {name}"), move || caller.serve(&served)).map_err(|error| failed(call(), error))?;
        spawn(format!("reports {name}"), move || {
            while !stop.load(Ordering::Acquire) {
                reporter.poll(REPORTS_POLL);
            }
        })
        .map_err(|error| failed(call(), error))?;
        Ok(Self { shared, topics: Vec::new(), calls, stopped })
    }

    fn start(&self, call: impl FnOnce(Completer<()>) -> Call) -> Ticket<()> {
        let (done, ticket) = Ticket::pair(self.shared.wake.clone());
        if self.calls.try_send(call(done)).is_err() {
            let reason = "more calls are waiting than there are callers";
            return Ticket::ready(Err(BrokerError::new(ErrorClass::Retriable, self.shared.call("call"), reason)));
        }
        ticket
    }

    /// Where the topic is in the list, whether or not it has been looked up. Callers keep their names, so that comparing
    /// addresses finds it.
    fn index_of(&self, topic: &Arc<str>) -> Option<usize> {
        let same = |known: &Known| Arc::ptr_eq(&known.name, topic);
        self.topics.iter().position(same).or_else(|| self.topics.iter().position(|known| known.name == *topic))
    }

    fn look_up(&mut self, name: &Arc<str>) -> Result<(), BrokerError> {
        let call = || self.shared.call(&format!("produce to {name}"));
        let topic = Topic::new(&self.shared.sender, name).ok_or_else(|| failed(call(), "not a topic name"))?;
        let looking_up = Some(self.start(|done| Call::LookUp(name.clone(), done)));
        self.topics.push(Known { name: name.clone(), topic, looking_up });
        Ok(())
    }

    /// False while the topic is being looked up.
    fn is_ready(&mut self, index: usize) -> Result<bool, BrokerError> {
        let Some(ticket) = &mut self.topics[index].looking_up else { return Ok(true) };
        match ticket.poll() {
            None => Ok(false),
            Some(Ok(())) => {
                self.topics[index].looking_up = None;
                Ok(true)
            }
            Some(Err(error)) => {
                self.topics.swap_remove(index);
                if error.class == ErrorClass::Retriable { Ok(false) } else { Err(error) }
            }
        }
    }

    fn wait_for_room(&self) {
        if !self.shared.waiting_for_room.swap(true, Ordering::AcqRel) && self.calls.try_send(Call::WaitForRoom).is_err()
        {
            // The thread is busy with a call, whose completion wakes as well.
            self.shared.waiting_for_room.store(false, Ordering::Release);
        }
    }
}

impl Producer for KafkaProducer {
    fn init(&mut self) -> Ticket<()> {
        self.start(Call::Init)
    }

    fn begin(&mut self) -> Result<(), BrokerError> {
        self.shared.sender.context().take_first();
        let begun = native::begin_transaction(&self.shared.sender);
        begun.map_err(|failure| self.shared.root_of(failure).error(self.shared.call("begin a transaction")))
    }

    fn produce(&mut self, record: OutRecord<'_>) -> Result<bool, BrokerError> {
        let Some(index) = self.index_of(record.topic) else {
            self.look_up(record.topic)?;
            return Ok(false);
        };
        if !self.is_ready(index)? {
            return Ok(false);
        }
        match self.topics[index].topic.produce(&record) {
            Ok(()) => Ok(true),
            Err(failure) if failure.code == RDKafkaErrorCode::QueueFull => {
                self.wait_for_room();
                Ok(false)
            }
            Err(failure) => {
                let call = format!("produce to {}-{}", record.topic, record.partition);
                // A transaction that has to be aborted takes no records (`_STATE`); which error it was, the flush tells.
                let must_abort = failure.code == RDKafkaErrorCode::State;
                let mut error = self.shared.root_of(failure).error(self.shared.call(&call));
                if must_abort && error.class == ErrorClass::Fatal {
                    error.class = ErrorClass::Abortable;
                }
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> Ticket<()> {
        self.start(Call::Flush)
    }

    fn send_offsets(&mut self, offsets: Vec<OffsetCommit>, ownership: &Ownership) -> Ticket<()> {
        let refused = |reason: &str| {
            let call = self.shared.call("send offsets");
            Ticket::ready(Err(BrokerError::new(ErrorClass::MemberFenced, call, reason)))
        };
        if ownership.generation < 0 || ownership.member_id.is_empty() {
            return refused("an ownership without generation or member id, which the broker would let pass");
        }
        match offsets::commits(&offsets) {
            Ok(list) => self.start(|done| Call::SendOffsets(list, ownership.clone(), done)),
            Err(error) => Ticket::ready(Err(failed(self.shared.call("send offsets"), error))),
        }
    }

    fn commit(&mut self) -> Ticket<()> {
        self.start(Call::Commit)
    }

    fn abort(&mut self) -> Ticket<()> {
        self.start(Call::Abort)
    }
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        // The calls thread ends when its channel does. An open transaction is left to the id's next producer, or to the
        // broker's timeout, as after a crash.
        self.stopped.store(true, Ordering::Release);
    }
}

impl Shared {
    fn call(&self, what: &str) -> String {
        format!("{what} as {}", self.name)
    }

    /// After a fatal error librdkafka answers everything with «fatal»: what it was is asked for.
    fn root_of(&self, failure: Failure) -> Failure {
        match self.sender.client().fatal_error() {
            Some((code, reason)) => Failure { code, reason, fatal: true, ..failure },
            None => failure,
        }
    }

    fn serve(&self, calls: &Receiver<Call>) {
        while let Ok(call) = calls.recv() {
            match call {
                Call::Init(done) => done.complete(self.init()),
                Call::Flush(done) => done.complete(self.flush()),
                Call::SendOffsets(list, ownership, done) => done.complete(self.send_offsets(&list, &ownership)),
                Call::Commit(done) => done.complete(self.commit()),
                Call::Abort(done) => done.complete(self.abort()),
                Call::LookUp(topic, done) => done.complete(self.look_up(&topic)),
                Call::WaitForRoom => self.wait_for_room(),
            }
        }
    }

    /// Asks again while the coordinator completes what the id's former producer left open.
    fn init(&self) -> Result<(), BrokerError> {
        let clock = SystemClock::default();
        let deadline = clock.monotonic().after(self.timeout + Duration::from_secs(60));
        loop {
            let Err(failure) = native::init_transactions(&self.sender, self.timeout.max(Duration::from_secs(10)))
            else {
                return Ok(());
            };
            let failure = self.root_of(failure);
            if failure.class() != ErrorClass::Retriable || deadline.since(clock.monotonic()).is_zero() {
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
            let failure = Failure { abortable: self.transactional, ..self.root_of(first.failure) };
            return Err(failure.error(call));
        }
        flushed.map_err(|failure| failure.error(self.call("flush")))
    }

    fn send_offsets(&self, list: &TopicPartitionList, ownership: &Ownership) -> Result<(), BrokerError> {
        let call = || self.call(&format!("send offsets of {ownership:?}"));
        let Some(group) = ownership.handle.downcast_ref::<GroupMetadata>() else {
            return Err(failed(call(), "the ownership is not one of this broker's"));
        };
        native::send_offsets(&self.sender, list, group, self.timeout)
            .map_err(|failure| self.root_of(failure).error_of_effect(call()))
    }

    fn commit(&self) -> Result<(), BrokerError> {
        native::commit_transaction(&self.sender, self.timeout)
            .map_err(|failure| self.root_of(failure).error_of_effect(self.call("commit a transaction")))
    }

    fn abort(&self) -> Result<(), BrokerError> {
        // Drops what is queued, and waits for what is on its way.
        let aborted = native::abort_transaction(&self.sender, self.timeout);
        self.sender.context().take_first();
        aborted.map_err(|failure| self.root_of(failure).error(self.call("abort a transaction")))
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

fn failed(call: String, reason: impl std::fmt::Display) -> BrokerError {
    BrokerError::new(ErrorClass::Fatal, call, reason.to_string())
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name).spawn(work).map(drop)
}
