//! Transactional ids, their epochs, and the transactions they have open.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::super::{BrokerError, ErrorClass, OffsetCommit, OutRecord, Ownership};
use super::cluster::{Cluster, unknown};
use super::offsets;
use super::segment::{Kind, size};
use crate::clock::Monotonic;
use millstream_state::model::TopicPartition;

/// What the log adds to each record, roughly; counted against `max.message.bytes`.
const RECORD_OVERHEAD: usize = 70;

/// A producer as the broker knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) producer: u32,
    pub(super) epoch: i32,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Committed,
    Aborted,
}

/// What a marker is written to.
#[derive(Clone, Debug)]
pub(super) enum MarkerTarget {
    /// A partition, by the topic's slot.
    Partition(usize, i32),
    /// The offsets of a group.
    Group(Arc<str>),
}

/// A marker of a transaction whose end is decided, that is not written yet.
#[derive(Debug)]
pub(super) struct LateMarker {
    due: Monotonic,
    producer: u32,
    outcome: Outcome,
    target: MarkerTarget,
}

/// A transactional id.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) id: String,
    pub(super) epoch: i32,
    timeout: Duration,
    pub(super) open: bool,
    /// When the broker first heard of the open transaction.
    pub(super) since: Option<Monotonic>,
    pub(super) partitions: Vec<(usize, i32)>,
    pub(super) groups: Vec<Arc<str>>,
    last: Option<Outcome>,
    /// Why the open transaction can only be aborted.
    doomed: Option<String>,
}

/// All transactional ids.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    pub(super) slots: Vec<Transaction>,
    by_id: FxHashMap<String, u32>,
}

impl Transactions {
    /// The producer's transaction state, if the producer is still the current one.
    fn current(&mut self, who: Identity) -> Result<&mut Transaction, BrokerError> {
        let slot = &mut self.slots[who.producer as usize];
        if slot.epoch == who.epoch {
            return Ok(slot);
        }
        let call = format!("transactional id {}, producer epoch {}", slot.id, who.epoch);
        Err(BrokerError::new(ErrorClass::ProducerFenced, call, format!("the epoch is {} now", slot.epoch)))
    }
}

impl Transaction {
    fn error(&self, class: ErrorClass, call: &str, reason: impl Into<String>) -> BrokerError {
        BrokerError::new(class, format!("{call} of a transaction of {}", self.id), reason)
    }

    fn must_be_open(&self, call: &str) -> Result<(), BrokerError> {
        if self.open { Ok(()) } else { Err(self.error(ErrorClass::Fatal, call, "no transaction is open")) }
    }
}

impl Cluster {
    /// Registers a transactional id: the epoch goes up, and what was open is aborted.
    pub(super) fn init_producer(&mut self, id: &str, timeout: Duration) -> Identity {
        let producer = match self.transactions.by_id.get(id) {
            Some(producer) => *producer,
            None => {
                let producer = self.transactions.slots.len() as u32;
                self.transactions.by_id.insert(id.to_owned(), producer);
                self.transactions.slots.push(Transaction {
                    id: id.to_owned(),
                    epoch: -1,
                    timeout,
                    open: false,
                    since: None,
                    partitions: Vec::new(),
                    groups: Vec::new(),
                    last: None,
                    doomed: None,
                });
                producer
            }
        };
        if self.transactions.slots[producer as usize].open {
            self.end_transaction(producer, Outcome::Aborted);
        }
        self.write_markers_of(producer);
        let slot = &mut self.transactions.slots[producer as usize];
        slot.epoch += 1;
        (slot.timeout, slot.last) = (timeout, None);
        Identity { producer, epoch: slot.epoch }
    }

    pub(super) fn begin(&mut self, who: Identity) -> Result<(), BrokerError> {
        // A client is told to wait until the markers of its last transaction are written.
        self.write_markers_of(who.producer);
        let slot = self.transactions.current(who)?;
        if slot.open {
            return Err(slot.error(ErrorClass::Fatal, "begin", "one is open already"));
        }
        (slot.open, slot.last) = (true, None);
        Ok(())
    }

    /// Appends a record.
    pub(super) fn produce(&mut self, who: Option<Identity>, record: &OutRecord<'_>) -> Result<(), BrokerError> {
        let no_such = || unknown(&TopicPartition::new(record.topic.clone(), record.partition));
        let slot = self.topics.slot(record.topic).ok_or_else(no_such)?;
        let topic = self.topics.at_mut(slot).ok_or_else(no_such)?;
        let heeded = topic.heeded;
        let log = topic.partition_mut(record.partition).ok_or_else(no_such)?;
        let bytes = size(record) + RECORD_OVERHEAD;
        if bytes > heeded.max_message_bytes {
            let call = format!("produce to topic {}, partition {}", record.topic, record.partition);
            let reason = format!("{bytes} bytes are more than max.message.bytes ({})", heeded.max_message_bytes);
            return Err(BrokerError::new(ErrorClass::Fatal, call, reason));
        }
        if let Some(who) = who {
            let transaction = self.transactions.current(who)?;
            transaction.must_be_open("produce")?;
            if !log.has_open(who.producer) {
                transaction.partitions.push((slot, record.partition));
                transaction.since.get_or_insert(self.time.now);
            }
        }
        let created = record.timestamp.filter(|_| !heeded.log_append_time);
        let timestamp = created.map_or(self.time.wall, |timestamp| timestamp.millis());
        log.append(record, timestamp, who.map(|who| who.producer));
        log.news(&mut self.outbox.wakes);
        Ok(())
    }

    /// Adds offsets to a transaction. A refusal leaves the transaction fit only for an abort, as in Kafka's client.
    pub(super) fn send_offsets(
        &mut self,
        who: Identity,
        group: &Arc<str>,
        offsets: Vec<OffsetCommit>,
        ownership: &Ownership,
    ) -> Result<(), BrokerError> {
        self.transactions.current(who)?.must_be_open("send_offsets")?;
        let checked = self.check_commit(group, &offsets, ownership);
        let transaction = self.transactions.current(who)?;
        if let Err(refusal) = checked {
            transaction.doomed = Some(refusal.to_string());
            return Err(refusal);
        }
        transaction.since.get_or_insert(self.time.now);
        if !transaction.groups.contains(group) {
            transaction.groups.push(group.clone());
        }
        if let Some(group) = self.groups.get_mut(group) {
            group.offsets.commit(Some(who.producer), offsets);
        }
        Ok(())
    }

    /// Whether the group takes these offsets from this member.
    pub(super) fn check_commit(
        &self,
        group: &Arc<str>,
        offsets: &[OffsetCommit],
        ownership: &Ownership,
    ) -> Result<(), BrokerError> {
        match self.groups.get(group) {
            Some(group) => group.check_owner(&ownership.member_id, ownership.generation)?,
            None => {
                let call = format!("commit for group {group} by member {}", ownership.member_id);
                return Err(BrokerError::new(ErrorClass::MemberFenced, call, "there is no such group"));
            }
        }
        offsets::check(offsets, &self.topics)
    }

    /// Notes that the open transaction lost a record, so that it cannot commit.
    pub(super) fn doom(&mut self, who: Identity, reason: &BrokerError) {
        if let Ok(transaction) = self.transactions.current(who) {
            transaction.doomed = Some(reason.to_string());
        }
    }

    /// Commits the open transaction; once more if the last one was committed already and nobody knew.
    pub(super) fn commit(&mut self, who: Identity) -> Result<(), BrokerError> {
        let transaction = self.transactions.current(who)?;
        if !transaction.open && transaction.last == Some(Outcome::Committed) {
            return Ok(());
        }
        transaction.must_be_open("commit")?;
        if let Some(reason) = &transaction.doomed {
            return Err(transaction.error(ErrorClass::Abortable, "commit", reason.clone()));
        }
        self.end_transaction(who.producer, Outcome::Committed);
        Ok(())
    }

    pub(super) fn abort(&mut self, who: Identity) -> Result<(), BrokerError> {
        let transaction = self.transactions.current(who)?;
        if !transaction.open && transaction.last == Some(Outcome::Aborted) {
            return Ok(());
        }
        transaction.must_be_open("abort")?;
        self.end_transaction(who.producer, Outcome::Aborted);
        Ok(())
    }

    fn end_transaction(&mut self, producer: u32, outcome: Outcome) {
        let slot = &mut self.transactions.slots[producer as usize];
        (slot.open, slot.since, slot.doomed, slot.last) = (false, None, None, Some(outcome));
        let partitions = std::mem::take(&mut slot.partitions);
        let groups = std::mem::take(&mut slot.groups);
        let partitions = partitions.into_iter().map(|(topic, partition)| MarkerTarget::Partition(topic, partition));
        let targets: Vec<MarkerTarget> = partitions.chain(groups.into_iter().map(MarkerTarget::Group)).collect();
        for target in targets {
            match &self.marker_delay {
                None => self.write_marker(producer, outcome, target),
                Some(delay) => {
                    let due = self.time.now.after(delay());
                    self.late_markers.push(LateMarker { due, producer, outcome, target });
                }
            }
        }
        self.answer_fetches();
    }

    fn write_marker(&mut self, producer: u32, outcome: Outcome, target: MarkerTarget) {
        match target {
            MarkerTarget::Partition(topic, partition) => {
                let kind = if outcome == Outcome::Committed { Kind::Commit } else { Kind::Abort };
                if let Some(log) = self.topics.at_mut(topic).and_then(|topic| topic.partition_mut(partition)) {
                    log.end_transaction(producer, self.time.wall, kind);
                    log.news(&mut self.outbox.wakes);
                }
            }
            MarkerTarget::Group(name) => {
                if let Some(group) = self.groups.get_mut(&name) {
                    group.offsets.end_transaction(producer, outcome == Outcome::Committed);
                    group.offsets_settled(&mut self.outbox);
                }
            }
        }
    }

    fn write_markers(&mut self, which: impl Fn(&LateMarker) -> bool) {
        if !self.late_markers.iter().any(&which) {
            return;
        }
        let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.late_markers).into_iter().partition(which);
        self.late_markers = later;
        now.into_iter().for_each(|marker| self.write_marker(marker.producer, marker.outcome, marker.target));
        self.answer_fetches();
    }

    /// Writes the markers whose time has come.
    pub(super) fn write_due_markers(&mut self) {
        let now = self.time.now;
        self.write_markers(|marker| marker.due <= now);
    }

    fn write_markers_of(&mut self, producer: u32) {
        self.write_markers(|marker| marker.producer == producer);
    }

    /// Aborts what has been open for too long; its producer is fenced, as Kafka does.
    pub(super) fn abort_overdue_transactions(&mut self) {
        let now = self.time.now;
        for producer in 0..self.transactions.slots.len() {
            let slot = &mut self.transactions.slots[producer];
            if slot.since.is_some_and(|since| now.since(since) >= slot.timeout) {
                slot.epoch += 1;
                self.end_transaction(producer as u32, Outcome::Aborted);
            }
        }
    }
}
