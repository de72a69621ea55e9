//! A producer: records go straight into librdkafka's queue, blocking calls to a thread of their own.
//!
//! ```text
//!   produce ─────────────► librdkafka's queue ──► broker
//!       │  ◄─ reports ──── what was delivered is freed; the first record that was not ──► the next flush
//!   flush, commit, … ──► [calls thread] ──► tickets      (`caller`)
//!                        [reports thread] ──► takes reports while a call is under way
//!                                         └─► gives up a call that does not return
//! ```
//! The calls need somebody to take the delivery reports meanwhile, hence the second thread. At other times the thread that
//! sends does: a record that another thread frees costs both of them more, because its memory and the count of waiting records
//! are behind locks, which each of them holds for every record.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::Producer as _;

use super::caller::{Caller, What};
use super::native::{self, Sender, Topic};
use super::{KafkaSettings, Producing, config, offsets};
use crate::broker::{
    BrokerError, ErrorClass, OffsetCommit, OutRecord, Ownership, Producer, ProducerSettings, Ticket, Wake,
};

/// How long the reports thread waits at a time.
const REPORTS_POLL: Duration = Duration::from_millis(500);

/// After so many records the reports on earlier ones are taken.
const REPORTS_EVERY: u32 = 256;

struct Known {
    name: Arc<str>,
    topic: Topic,
    /// Until the topic's partitions are known. A record sent earlier would be added to the transaction as one for partition
    /// -1, whatever partition it names, and the commit would fail.
    looking_up: Option<Ticket<()>>,
}

/// A [`Producer`] over one client.
pub(super) struct KafkaProducer {
    caller: Arc<Caller>,
    topics: Vec<Known>,
    /// Records since reports were taken.
    sent: u32,
}

impl KafkaProducer {
    pub(super) fn new(settings: &KafkaSettings, producer: ProducerSettings, wake: Wake) -> Result<Self, BrokerError> {
        let name: Arc<str> = producer.transactional_id.as_deref().unwrap_or(&producer.client_id).into();
        let call = || format!("make producer {name}");
        let sender = Sender::from_config_and_context(&config::producer(settings, &producer), Producing::default())
            .map_err(|error| config::not_made(&call(), &error))?;
        let transactional = producer.transactional_id.is_some();
        // Without transactions a record may wait as long as librdkafka lets it.
        let timeout = if transactional { producer.transaction_timeout } else { config::DELIVERY_TIMEOUT };
        let caller = Caller::new(name.clone(), Arc::new(sender), transactional, timeout, wake)
            .ok_or_else(|| failed(call(), "librdkafka has no queue for its reports"))?;
        let caller = Arc::new(caller);
        let (calls, reports) = (caller.clone(), caller.clone());
        // Dropped on an error, it stops whichever thread there is.
        let made = Self { caller, topics: Vec::new(), sent: 0 };
        spawn(format!("calls {name}"), move || calls.serve()).map_err(|error| failed(call(), error))?;
        spawn(format!("reports {name}"), move || {
            reports.sender.context().set_taker(Wake::current_thread());
            while !reports.is_stopped() {
                reports.reports.take();
                reports.watch();
                std::thread::park_timeout(REPORTS_POLL);
            }
        })
        .map_err(|error| failed(call(), error))?;
        Ok(made)
    }

    /// Where the topic is in the list, whether or not it has been looked up. Callers keep their names, so that comparing
    /// addresses finds it.
    fn index_of(&self, topic: &Arc<str>) -> Option<usize> {
        let same = |known: &Known| Arc::ptr_eq(&known.name, topic);
        self.topics.iter().position(same).or_else(|| self.topics.iter().position(|known| known.name == *topic))
    }

    fn look_up(&mut self, name: &Arc<str>) -> Result<(), BrokerError> {
        let call = || self.caller.call(&format!("produce to {name}"));
        let topic = Topic::new(&self.caller.sender, name).ok_or_else(|| failed(call(), "not a topic name"))?;
        let looking_up = Some(self.caller.start(What::LookUp(name.clone())));
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
}

impl Producer for KafkaProducer {
    fn init(&mut self) -> Ticket<()> {
        self.caller.start(What::Init)
    }

    fn begin(&mut self) -> Result<(), BrokerError> {
        self.caller.alive()?;
        self.caller.sender.context().take_first();
        let begun = native::begin_transaction(&self.caller.sender);
        begun.map_err(|failure| {
            // A client that is in no state to begin (`_STATE`) will not get into it by itself.
            let stuck = failure.code == RDKafkaErrorCode::State;
            let mut error = self.caller.replaceable(failure, self.caller.call("begin a transaction"));
            if stuck && error.class == ErrorClass::Fatal {
                error.class = ErrorClass::ProducerFenced;
            }
            error
        })
    }

    fn produce(&mut self, record: OutRecord<'_>) -> Result<bool, BrokerError> {
        self.caller.alive()?;
        let Some(index) = self.index_of(record.topic) else {
            self.look_up(record.topic)?;
            return Ok(false);
        };
        if !self.is_ready(index)? {
            return Ok(false);
        }
        match self.topics[index].topic.produce(&record) {
            Ok(()) => {
                self.sent += 1;
                if self.sent == REPORTS_EVERY {
                    self.sent = 0;
                    self.caller.reports.take();
                }
                Ok(true)
            }
            Err(failure) if failure.code == RDKafkaErrorCode::QueueFull => {
                self.caller.tell_of_room();
                Ok(false)
            }
            Err(failure) => {
                let call = format!("produce to {}-{}", record.topic, record.partition);
                // A transaction that has to be aborted takes no records (`_STATE`); which error it was, the flush tells.
                let must_abort = failure.code == RDKafkaErrorCode::State;
                let mut error = self.caller.replaceable(failure, self.caller.call(&call));
                if must_abort && error.class == ErrorClass::Fatal {
                    error.class = ErrorClass::Abortable;
                }
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> Ticket<()> {
        self.caller.start(What::Flush)
    }

    fn send_offsets(&mut self, offsets: Vec<OffsetCommit>, ownership: &Ownership) -> Ticket<()> {
        let refused = |reason: &str| {
            let call = self.caller.call("send offsets");
            Ticket::ready(Err(BrokerError::new(ErrorClass::MemberFenced, call, reason)))
        };
        if ownership.generation < 0 || ownership.member_id.is_empty() {
            return refused("an ownership without generation or member id, which the broker would let pass");
        }
        match offsets::commits(&offsets) {
            Ok(list) => self.caller.start(What::SendOffsets(list, ownership.clone())),
            Err(error) => Ticket::ready(Err(failed(self.caller.call("send offsets"), error))),
        }
    }

    fn commit(&mut self) -> Ticket<()> {
        self.caller.start(What::Commit)
    }

    fn abort(&mut self) -> Ticket<()> {
        self.caller.start(What::Abort)
    }
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        // An open transaction is left to the id's next producer, or to the broker's timeout, as after a crash.
        self.caller.stop();
    }
}

fn failed(call: String, reason: impl std::fmt::Display) -> BrokerError {
    BrokerError::new(ErrorClass::Fatal, call, reason.to_string())
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name).spawn(work).map(drop)
}
