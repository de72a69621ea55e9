//! A producer of the embedded cluster: its records are in the log as soon as they are taken.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::super::{BrokerError, ErrorClass, OffsetCommit, OutRecord, Ownership, Producer, ProducerSettings, Ticket};
use super::cluster::Cluster;
use super::connection::Connection;
use super::faults::{CallKind, Fault};
use super::member::EmbeddedOwnership;
use super::transactions::Identity;

pub(super) struct EmbeddedProducer {
    connection: Connection,
    transactional_id: Option<String>,
    timeout: Duration,
    /// Set by `init`, whose answer may come late.
    identity: Arc<OnceLock<Identity>>,
    /// A record whose acknowledgement was lost; the next flush tells.
    undelivered: Option<BrokerError>,
    /// A commit or abort was answered with an error: whether it happened must be settled before another transaction.
    unsettled: bool,
}

impl EmbeddedProducer {
    pub(super) fn new(connection: Connection, settings: ProducerSettings) -> Self {
        Self {
            connection,
            transactional_id: settings.transactional_id,
            timeout: settings.transaction_timeout,
            identity: Arc::default(),
            undelivered: None,
            unsettled: false,
        }
    }

    fn refuse(&self, class: ErrorClass, call: &str, reason: &str) -> BrokerError {
        let id = self.transactional_id.as_deref().unwrap_or("none");
        BrokerError::new(class, format!("{call} by client {}, transactional id {id}", self.connection.client()), reason)
    }

    fn transactional(&self, call: &str) -> Result<Identity, BrokerError> {
        if self.transactional_id.is_none() {
            return Err(self.refuse(ErrorClass::Fatal, call, "the producer has no transactional id"));
        }
        let identity = self.identity.get().copied();
        identity.ok_or_else(|| self.refuse(ErrorClass::Fatal, call, "the transactional id is not initialised"))
    }

    /// Commits or aborts.
    fn end(&mut self, kind: CallKind, effect: fn(&mut Cluster, Identity) -> Result<(), BrokerError>) -> Ticket<()> {
        let who = match self.transactional(if kind == CallKind::Commit { "commit" } else { "abort" }) {
            Ok(who) => who,
            Err(refusal) => return Ticket::ready(Err(refusal)),
        };
        let mut ticket = self.connection.call(kind, None, move |cluster| effect(cluster, who));
        match ticket.poll() {
            Some(answer) => {
                self.unsettled = answer.as_ref().is_err_and(|error| error.class == ErrorClass::Unknown);
                Ticket::ready(answer)
            }
            // An answer that comes late is an answer.
            None => {
                self.unsettled = false;
                ticket
            }
        }
    }
}

impl Producer for EmbeddedProducer {
    fn init(&mut self) -> Ticket<()> {
        let Some(id) = self.transactional_id.clone() else {
            let refusal = self.refuse(ErrorClass::Fatal, "init", "the producer has no transactional id");
            return Ticket::ready(Err(refusal));
        };
        if self.identity.get().is_some() {
            return Ticket::ready(Err(self.refuse(ErrorClass::Fatal, "init", "it was called before; once is all")));
        }
        let (timeout, identity) = (self.timeout, self.identity.clone());
        self.connection.call(CallKind::Init, None, move |cluster| {
            let who = cluster.init_producer(&id, timeout);
            identity.get_or_init(|| who);
            Ok(())
        })
    }

    fn begin(&mut self) -> Result<(), BrokerError> {
        self.connection.check_alive(CallKind::Begin)?;
        let who = self.transactional("begin")?;
        if let (Fault::FailBefore(error), _) = self.connection.fault(CallKind::Begin, None) {
            return Err(error);
        }
        if self.unsettled {
            return Err(self.refuse(ErrorClass::Fatal, "begin", "the outcome of the last transaction is not settled"));
        }
        self.connection.shared().with(|cluster| cluster.begin(who))
    }

    fn produce(&mut self, record: OutRecord<'_>) -> Result<bool, BrokerError> {
        self.connection.check_alive(CallKind::Produce)?;
        let who = match self.transactional_id {
            Some(_) => Some(self.transactional("produce")?),
            None => None,
        };
        let fault = self.connection.fault(CallKind::Produce, Some((record.topic, record.partition))).0;
        if let Fault::FailBefore(error) = fault {
            return Err(error);
        }
        let shared = self.connection.shared();
        // Without a time of its own the record takes the broker's, which has to be the present.
        if record.timestamp.is_none() {
            shared.with(|cluster| cluster.produce(who, &record))?;
        } else {
            shared.with_hot(|cluster| cluster.produce(who, &record))?;
        }
        if matches!(fault, Fault::LoseAnswer) {
            self.undelivered.get_or_insert_with(|| self.connection.lost(CallKind::Produce));
        }
        Ok(true)
    }

    fn flush(&mut self) -> Ticket<()> {
        let undelivered = self.undelivered.take();
        let who = self.identity.get().copied();
        self.connection.call(CallKind::Flush, None, move |cluster| match (&undelivered, who) {
            (Some(error), who) => {
                who.into_iter().for_each(|who| cluster.doom(who, error));
                Err(error.clone())
            }
            (None, _) => Ok(()),
        })
    }

    fn send_offsets(&mut self, offsets: Vec<OffsetCommit>, ownership: &Ownership) -> Ticket<()> {
        let checked =
            self.transactional("send_offsets").and_then(|who| Ok((who, EmbeddedOwnership::of(ownership)?.clone())));
        let (who, group) = match checked {
            Ok((who, owner)) => (who, owner.group),
            Err(refusal) => return Ticket::ready(Err(refusal)),
        };
        let about = offsets.first().map(|commit| (commit.partition.topic.clone(), commit.partition.partition));
        let ownership = ownership.clone();
        self.connection.call(CallKind::SendOffsets, about.as_ref().map(|(t, p)| (t, *p)), move |cluster| {
            cluster.send_offsets(who, &group, offsets.clone(), &ownership)
        })
    }

    fn commit(&mut self) -> Ticket<()> {
        if let Some(error) = self.undelivered.take()
            && let Some(who) = self.identity.get().copied()
        {
            self.connection.shared().with(|cluster| cluster.doom(who, &error));
        }
        self.end(CallKind::Commit, Cluster::commit)
    }

    fn abort(&mut self) -> Ticket<()> {
        self.undelivered = None;
        self.end(CallKind::Abort, Cluster::abort)
    }
}
