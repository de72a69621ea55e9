//! Turns a worker's effects into one Kafka transaction after another.
//!
//! ```text
//!  Initialising → Idle ─begin→ Open ─commit→ Flushing → SendingOffsets → Committing ─► Committed (proof)
//!                               │               │             │              │ outcome unknown
//!                               └───────────────┴── abort ────┘              ▼
//!                                              Aborting ─► RolledBack   Settling: new producer, same id, then
//!                                                                       compare the commit id in the log
//! ```
//! Nothing here reads state or calls an operator. Under at-least-once the same path runs without the transaction:
//! flush, commit offsets to the group, proof.

use std::sync::Arc;

use millstream_state::commit::Committed;
use millstream_state::model::TopicPartition;

use super::offsets::OffsetCommitter;
use super::settle::Settling;
use crate::broker::{
    Admin, Broker, BrokerError, ErrorClass, OffsetCommit, OutRecord, Ownership, Producer, ProducerSettings, Ticket,
    Wake,
};
use crate::clock::Monotonic;
use crate::trouble::{Breaker, Troubles};

/// How a worker's transactions are made.
#[derive(Clone)]
pub struct TransactionSettings {
    /// The producer; with a transactional id under exactly-once, without under at-least-once.
    pub producer: ProducerSettings,
    /// The consumer group: the application id.
    pub group: String,
    /// Distinguishes commits of this process from those of any other.
    pub nonce: u64,
    /// Where it is told what is refused and tried again.
    pub troubles: Troubles,
}

/// What to commit.
#[derive(Clone)]
pub struct CommitRequest {
    /// Input positions with their metadata; never empty.
    pub offsets: Vec<OffsetCommit>,
    /// The ownership under which the inputs were read.
    pub ownership: Ownership,
    /// The commit's id, as it stands in the metadata.
    pub id: i64,
}

/// What has become of a transaction.
#[derive(Debug)]
pub enum Outcome {
    /// It is in the log for good.
    Committed(Committed),
    /// Nothing of it is: the tasks must be rewound. If `member_fenced`, their ownership is gone as well.
    RolledBack {
        /// Whether the group has moved on.
        member_fenced: bool,
        /// Why.
        reason: BrokerError,
    },
}

enum Phase {
    Initialising(Ticket<()>),
    /// Waits to try again with a new producer.
    Renewing {
        at: Monotonic,
    },
    Idle,
    Open {
        since: Monotonic,
    },
    Flushing(CommitRequest, Ticket<()>),
    SendingOffsets(CommitRequest, Ticket<()>),
    Committing {
        request: CommitRequest,
        ticket: Ticket<()>,
        attempts: u32,
    },
    Aborting {
        ticket: Ticket<()>,
        member_fenced: bool,
        reason: BrokerError,
    },
    Settling(Box<Settling>),
}

/// How often a call whose outcome is unknown or that may succeed later is made again on the same producer.
const MAX_ATTEMPTS: u32 = 3;

/// One worker's producer and the state of its transaction.
pub struct Transaction {
    broker: Arc<dyn Broker>,
    admin: Arc<dyn Admin>,
    committer: OffsetCommitter,
    settings: TransactionSettings,
    wake: Wake,
    producer: Box<dyn Producer>,
    phase: Phase,
    sequence: u64,
    failures: u32,
    /// About initialising the producer.
    breaker: Breaker,
    /// Whether a producer has been initialised: what was allowed once may be allowed again.
    has_worked: bool,
    /// Whether the producer has a transaction that is neither committed nor rolled back.
    begun: bool,
}

impl Transaction {
    /// A producer for these settings; it initialises its transactional id first.
    ///
    /// # Errors
    /// If the producer's settings are refused.
    pub fn start(
        broker: Arc<dyn Broker>,
        committer: OffsetCommitter,
        settings: TransactionSettings,
        wake: Wake,
    ) -> Result<Self, BrokerError> {
        let mut producer = broker.producer(settings.producer.clone(), wake.clone())?;
        let phase = match settings.producer.transactional_id {
            Some(_) => Phase::Initialising(producer.init()),
            None => Phase::Idle,
        };
        let what = format!("producer {} cannot be initialised", settings.producer.client_id);
        Ok(Self {
            admin: broker.admin(),
            breaker: Breaker::new(&settings.troubles, what),
            broker,
            committer,
            settings,
            wake,
            producer,
            phase,
            sequence: 0,
            failures: 0,
            has_worked: false,
            begun: false,
        })
    }

    /// Whether an abort takes back what was sent.
    pub fn transactional(&self) -> bool {
        self.settings.producer.transactional_id.is_some()
    }

    /// How many control records a commit adds to each partition it wrote.
    pub fn markers(&self) -> i64 {
        i64::from(self.transactional())
    }

    /// The id of the next commit.
    pub fn next_id(&self) -> i64 {
        // Fibonacci hashing spreads the sequence over all 64 bits; the nonce makes it this process's own.
        (self.settings.nonce ^ (self.sequence + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)) as i64
    }

    /// Whether the producer can be used, with or without an open transaction.
    pub fn ready(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Open { .. })
    }

    /// Since when a transaction is open.
    pub fn open_since(&self) -> Option<Monotonic> {
        match self.phase {
            Phase::Open { since } => Some(since),
            _ => None,
        }
    }

    /// When to poll again though nothing wakes.
    pub fn deadline(&self) -> Option<Monotonic> {
        match &self.phase {
            Phase::Renewing { at } => Some(*at),
            Phase::Settling(settling) => settling.deadline(),
            _ => None,
        }
    }

    /// Opens a transaction if none is open.
    ///
    /// # Errors
    /// [`ErrorClass::ProducerFenced`] and others of the producer; call [`Transaction::abort`] then.
    pub fn begin(&mut self, now: Monotonic) -> Result<(), BrokerError> {
        if let Phase::Idle = self.phase {
            if self.transactional() {
                self.producer.begin()?;
                self.begun = true;
            }
            self.phase = Phase::Open { since: now };
        }
        Ok(())
    }

    /// Takes a record into the transaction; `Ok(false)` if the producer's queue is full.
    ///
    /// # Errors
    /// If the record cannot be sent, or the producer failed.
    pub fn produce(&mut self, record: OutRecord<'_>) -> Result<bool, BrokerError> {
        self.producer.produce(record)
    }

    /// Starts to commit the open transaction.
    pub fn commit(&mut self, request: CommitRequest) {
        self.phase = Phase::Flushing(request, self.producer.flush());
    }

    /// Starts to abort whatever is open; the outcome is [`Outcome::RolledBack`].
    pub fn abort(&mut self, now: Monotonic, member_fenced: bool, error: &BrokerError) {
        let reason = error.clone();
        self.phase = match error.class {
            // Such a producer does not do as much as abort.
            ErrorClass::Fatal | ErrorClass::ProducerFenced if self.transactional() => {
                Phase::Settling(Box::new(Settling::abort(now, member_fenced, reason, self.settling())))
            }
            _ if self.begun => Phase::Aborting { ticket: self.producer.abort(), member_fenced, reason },
            // With no transaction open there is nothing to abort.
            _ if self.transactional() => Phase::Aborting { ticket: Ticket::ready(Ok(())), member_fenced, reason },
            // Without transactions neither: what was sent was sent. What is still on its way arrives before the changelogs
            // are read again.
            class => {
                let ticket = self.producer.flush();
                if matches!(class, ErrorClass::Fatal | ErrorClass::ProducerFenced) {
                    self.replace_producer();
                }
                Phase::Aborting { ticket, member_fenced, reason }
            }
        };
    }

    fn settling(&self) -> Breaker {
        let what = format!("a transaction of producer {} cannot be settled", self.settings.producer.client_id);
        Breaker::new(&self.settings.troubles, what)
    }

    fn replace_producer(&mut self) {
        match self.broker.producer(self.settings.producer.clone(), self.wake.clone()) {
            Ok(producer) => self.producer = producer,
            Err(error) => tracing::warn!("the producer cannot be replaced, going on with the old one: {error}"),
        }
    }

    /// Goes on as far as answers have come; `Some` when a transaction has ended.
    ///
    /// # Errors
    /// If the worker cannot go on at all.
    pub fn poll(&mut self, now: Monotonic) -> Result<Option<Outcome>, BrokerError> {
        loop {
            let phase = std::mem::replace(&mut self.phase, Phase::Idle);
            let (next, outcome, again) = match phase {
                Phase::Initialising(mut ticket) => match ticket.poll() {
                    None => (Phase::Initialising(ticket), None, false),
                    Some(Ok(())) => {
                        self.breaker.worked(now);
                        self.has_worked = true;
                        (Phase::Idle, None, false)
                    }
                    Some(Err(error)) => (self.failed_init(now, error)?, None, false),
                },
                Phase::Renewing { at } if now >= at => {
                    self.producer = self.broker.producer(self.settings.producer.clone(), self.wake.clone())?;
                    (Phase::Initialising(self.producer.init()), None, true)
                }
                Phase::Flushing(request, mut ticket) => match ticket.poll() {
                    None => (Phase::Flushing(request, ticket), None, false),
                    Some(Ok(())) => (self.send_offsets(request), None, true),
                    Some(Err(error)) => {
                        self.abort(now, false, &error);
                        continue;
                    }
                },
                Phase::SendingOffsets(request, mut ticket) => match ticket.poll() {
                    None => (Phase::SendingOffsets(request, ticket), None, false),
                    Some(Ok(())) => (self.end(request), None, true),
                    Some(Err(error)) => {
                        self.offsets_refused(now, request, &error);
                        continue;
                    }
                },
                Phase::Committing { request, mut ticket, attempts } => match ticket.poll() {
                    None => (Phase::Committing { request, ticket, attempts }, None, false),
                    Some(Ok(())) => (Phase::Idle, Some(self.proof()), false),
                    Some(Err(error)) => (self.commit_refused(now, request, attempts, error), None, true),
                },
                Phase::Aborting { mut ticket, member_fenced, reason } => match ticket.poll() {
                    None => (Phase::Aborting { ticket, member_fenced, reason }, None, false),
                    Some(Ok(())) => (Phase::Idle, Some(Outcome::RolledBack { member_fenced, reason }), false),
                    Some(Err(_)) if !self.transactional() => {
                        (Phase::Idle, Some(Outcome::RolledBack { member_fenced, reason }), false)
                    }
                    Some(Err(error)) => {
                        tracing::warn!("aborting failed, a new producer will settle it: {error}");
                        let settling = Settling::abort(now, member_fenced, reason, self.settling());
                        (Phase::Settling(Box::new(settling)), None, true)
                    }
                },
                Phase::Settling(settling) => self.settle(now, settling)?,
                other @ (Phase::Idle | Phase::Open { .. } | Phase::Renewing { .. }) => (other, None, false),
            };
            self.phase = next;
            self.begun &= outcome.is_none();
            if outcome.is_some() || !again {
                return Ok(outcome);
            }
        }
    }

    fn settle(
        &mut self,
        now: Monotonic,
        mut settling: Box<Settling>,
    ) -> Result<(Phase, Option<Outcome>, bool), BrokerError> {
        let settled = settling.poll(now, &mut self.producer, &|| {
            let producer = self.broker.producer(self.settings.producer.clone(), self.wake.clone())?;
            Ok((producer, self.admin.clone(), self.settings.group.clone()))
        })?;
        Ok(match settled {
            None => (Phase::Settling(settling), None, false),
            Some(None) => (Phase::Idle, Some(self.proof()), false),
            Some(Some(rolled_back)) => (Phase::Idle, Some(rolled_back), false),
        })
    }

    fn proof(&mut self) -> Outcome {
        self.sequence += 1;
        Outcome::Committed(Committed::testify(self.sequence))
    }

    fn failed_init(&mut self, now: Monotonic, error: BrokerError) -> Result<Phase, BrokerError> {
        let at = self.breaker.refused(now, &error);
        let never_allowed = error.class == ErrorClass::NotAuthorized && !self.has_worked;
        if never_allowed || error.class == ErrorClass::Fatal || self.breaker.is_hopeless(now, error.class) {
            return Err(error);
        }
        Ok(Phase::Renewing { at })
    }

    fn send_offsets(&mut self, request: CommitRequest) -> Phase {
        let ticket = if self.transactional() {
            self.producer.send_offsets(request.offsets.clone(), &request.ownership)
        } else {
            self.committer.commit(request.offsets.clone(), request.ownership.clone(), &self.wake)
        };
        Phase::SendingOffsets(request, ticket)
    }

    fn end(&mut self, request: CommitRequest) -> Phase {
        let ticket = if self.transactional() { self.producer.commit() } else { Ticket::ready(Ok(())) };
        Phase::Committing { request, ticket, attempts: 1 }
    }

    /// Offsets that were not taken are not committed: whatever the reason, the transaction can be aborted safely.
    fn offsets_refused(&mut self, now: Monotonic, request: CommitRequest, error: &BrokerError) {
        match error.class {
            ErrorClass::Retriable | ErrorClass::Unknown if !self.transactional() => {
                // Committing the same offsets twice is harmless, and without them the records would come again.
                self.failures += 1;
                if self.failures < MAX_ATTEMPTS {
                    self.phase = self.send_offsets(request);
                    return;
                }
                self.abort(now, false, error);
            }
            ErrorClass::MemberFenced | ErrorClass::InstanceFenced => self.abort(now, true, error),
            _ => self.abort(now, false, error),
        }
        self.failures = 0;
    }

    fn commit_refused(&mut self, now: Monotonic, request: CommitRequest, attempts: u32, error: BrokerError) -> Phase {
        match error.class {
            // Told to abort on the first try, the broker has not committed. After an unknown outcome nothing is sure.
            ErrorClass::Abortable if attempts == 1 => {
                Phase::Aborting { ticket: self.producer.abort(), member_fenced: false, reason: error }
            }
            ErrorClass::Retriable | ErrorClass::Unknown if attempts < MAX_ATTEMPTS => {
                tracing::warn!(attempt = attempts, "the outcome of a commit is not known, asking again: {error}");
                Phase::Committing { request, ticket: self.producer.commit(), attempts: attempts + 1 }
            }
            _ => {
                tracing::warn!("the outcome of a commit is not known, settling it with a new producer: {error}");
                let partition: Option<TopicPartition> = request.offsets.first().map(|offset| offset.partition.clone());
                let settling = Settling::commit(now, (request.id, partition), error, self.settling());
                Phase::Settling(Box::new(settling))
            }
        }
    }
}
