//! The whole state of the embedded cluster, and what time does to it.
//!
//! Everything here runs under the one lock; whom to wake and what to answer is collected in an [`Outbox`] that is emptied
//! after the lock is released.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use millstream_state::model::{TopicId, TopicPartition};
use rustc_hash::FxHashMap;

use super::super::{BrokerError, Completer, ErrorClass, NewTopic, TopicOutcome, Wake};
use super::group::Group;
use super::log::PartitionLog;
use super::offsets::WaitingFetch;
use super::topic::Topic;
use super::transactions::{LateMarker, Transactions};
use crate::clock::{Clock, Monotonic};

/// What is to be done once the lock is released.
#[derive(Default)]
pub(super) struct Outbox {
    pub(super) wakes: Vec<Wake>,
    answers: Vec<Box<dyn FnOnce() + Send>>,
}

impl Outbox {
    /// Answers a ticket.
    pub(super) fn answer<T: Send + 'static>(&mut self, completer: Completer<T>, answer: Result<T, BrokerError>) {
        self.answers.push(Box::new(move || completer.complete(answer)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wakes.is_empty() && self.answers.is_empty()
    }

    /// Wakes and answers; never under the lock.
    pub(super) fn send(self) {
        self.answers.into_iter().for_each(|answer| answer());
        self.wakes.iter().for_each(Wake::wake);
    }
}

/// All topics. A topic that was deleted leaves its slot empty for ever, so that a slot number never means another one.
#[derive(Debug, Default)]
pub(super) struct Topics {
    slots: Vec<Option<Topic>>,
    by_name: FxHashMap<Arc<str>, usize>,
}

impl Topics {
    pub(super) fn slot(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Topic> {
        self.slot(name).and_then(|slot| self.slots[slot].as_ref())
    }

    pub(super) fn at(&self, slot: usize) -> Option<&Topic> {
        self.slots.get(slot).and_then(Option::as_ref)
    }

    pub(super) fn at_mut(&mut self, slot: usize) -> Option<&mut Topic> {
        self.slots.get_mut(slot).and_then(Option::as_mut)
    }

    /// How many partitions a topic has; 0 if there is no such topic.
    pub(super) fn partitions(&self, name: &str) -> i32 {
        self.get(name).map_or(0, |topic| topic.partitions.len() as i32)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Topic> {
        self.slots.iter_mut().flatten()
    }

    pub(super) fn log(&self, partition: &TopicPartition) -> Result<&PartitionLog, BrokerError> {
        self.get(&partition.topic)
            .and_then(|topic| topic.partition(partition.partition))
            .ok_or_else(|| unknown(partition))
    }

    pub(super) fn log_mut(&mut self, partition: &TopicPartition) -> Result<&mut PartitionLog, BrokerError> {
        self.slot(&partition.topic)
            .and_then(|slot| self.at_mut(slot))
            .and_then(|topic| topic.partition_mut(partition.partition))
            .ok_or_else(|| unknown(partition))
    }
}

/// The error for a partition that does not exist.
pub(super) fn unknown(partition: &TopicPartition) -> BrokerError {
    let TopicPartition { topic, partition } = partition;
    BrokerError::new(
        ErrorClass::UnknownTopic,
        format!("topic {topic}, partition {partition}"),
        "the broker has no such topic or partition",
    )
}

/// The broker's time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Time {
    /// For timeouts.
    pub(super) now: Monotonic,
    /// For record timestamps and retention, in milliseconds.
    pub(super) wall: i64,
}

/// The state of the cluster.
pub(super) struct Cluster {
    pub(super) time: Time,
    pub(super) topics: Topics,
    pub(super) transactions: Transactions,
    pub(super) groups: BTreeMap<Arc<str>, Group>,
    pub(super) fetches: Vec<WaitingFetch>,
    /// Clients whose heartbeats do not arrive.
    pub(super) muted: BTreeSet<Arc<str>>,
    /// Clients whose members neither are heard nor hear.
    pub(super) cut_off: BTreeSet<Arc<str>>,
    /// How long after the end of a transaction each of its markers is written; `None` is at once.
    pub(super) marker_delay: Option<Box<dyn Fn() -> Duration + Send>>,
    pub(super) late_markers: Vec<LateMarker>,
    pub(super) outbox: Outbox,
    housekeeping_interval: Duration,
    housekept: Monotonic,
    next_reader: u64,
}

impl Cluster {
    pub(super) fn new(clock: &dyn Clock, housekeeping_interval: Duration) -> Self {
        let time = Time { now: clock.monotonic(), wall: clock.wall().millis() };
        Self {
            time,
            topics: Topics::default(),
            transactions: Transactions::default(),
            groups: BTreeMap::new(),
            fetches: Vec::new(),
            muted: BTreeSet::new(),
            cut_off: BTreeSet::new(),
            marker_delay: None,
            late_markers: Vec::new(),
            outbox: Outbox::default(),
            housekeeping_interval,
            housekept: time.now,
            next_reader: 0,
        }
    }

    /// Does what is due by this clock: transaction and session timeouts, revocations nobody acknowledged, housekeeping.
    pub(super) fn advance(&mut self, clock: &dyn Clock) {
        let now = clock.monotonic();
        // Records get the present, and the two clocks do not tick together.
        self.time.wall = clock.wall().millis();
        // No timeout is finer than a millisecond, and this is called for every batch.
        if now.since(self.time.now) < Duration::from_millis(1) {
            return;
        }
        self.time.now = now;
        self.abort_overdue_transactions();
        self.write_due_markers();
        for group in self.groups.values_mut() {
            group.advance(now, &self.topics, &mut self.outbox);
        }
        if now.since(self.housekept) >= self.housekeeping_interval {
            self.housekeep();
        }
    }

    /// Starts the session timeouts of members whose connection has ended.
    pub(super) fn note_dead_members(&mut self) {
        for group in self.groups.values_mut() {
            group.advance(self.time.now, &self.topics, &mut self.outbox);
        }
    }

    /// Stops or resumes the heartbeats of a client.
    pub(super) fn set_heartbeats(&mut self, client: &Arc<str>, arrive: bool) {
        if arrive {
            self.muted.remove(client)
        } else {
            self.muted.insert(client.clone())
        };
        let since = (!arrive).then_some(self.time.now);
        for group in self.groups.values_mut() {
            group.mute(client, since);
        }
    }

    /// Cuts the members of a client off, or lets them through again.
    pub(super) fn set_cut_off(&mut self, client: &Arc<str>, cut_off: bool) {
        if cut_off {
            self.cut_off.insert(client.clone());
        } else {
            self.cut_off.remove(client);
        }
        self.set_heartbeats(client, !cut_off);
        for group in self.groups.values_mut() {
            group.wake_client(client, &mut self.outbox);
        }
    }

    /// Retention and compaction.
    pub(super) fn housekeep(&mut self) {
        self.housekept = self.time.now;
        for topic in self.topics.iter_mut() {
            if topic.housekeep(self.time.wall) {
                topic.partitions.iter_mut().for_each(|log| log.news(&mut self.outbox.wakes));
            }
        }
    }

    /// Compacts a topic as far as it is stable.
    pub(super) fn compact(&mut self, name: &str) {
        let wall = self.time.wall;
        if let Some(topic) = self.topics.slot(name).and_then(|slot| self.topics.at_mut(slot)) {
            let delete_retention = topic.heeded.delete_retention;
            topic.partitions.iter_mut().for_each(|log| log.compact(wall, delete_retention, true));
        }
    }

    pub(super) fn reader_id(&mut self) -> u64 {
        self.next_reader += 1;
        self.next_reader
    }

    pub(super) fn create_topic(&mut self, wanted: &NewTopic) -> TopicOutcome {
        if self.topics.get(&wanted.name).is_some() {
            return TopicOutcome::Existed;
        }
        let slot = self.topics.slots.len();
        // Any number will do that no other topic of this cluster has; this one also looks like an id in a log.
        let id = TopicId(0x6d69_6c6c_7374_4000_8000_0000_0000_0001 + slot as u128);
        match Topic::create(wanted, id) {
            Ok(topic) => {
                self.topics.slots.push(Some(topic));
                self.topics.by_name.insert(wanted.name.clone(), slot);
                self.topic_changed(&wanted.name);
                TopicOutcome::Created
            }
            Err(refusal) => TopicOutcome::Refused(refusal),
        }
    }

    pub(super) fn delete_topic(&mut self, name: &str) {
        let Some(slot) = self.topics.by_name.remove(name) else { return };
        if let Some(topic) = self.topics.slots[slot].take() {
            self.outbox.wakes.extend(topic.partitions.iter().flat_map(PartitionLog::everybody));
        }
        for group in self.groups.values_mut() {
            group.offsets.forget_topic(name);
        }
        self.topic_changed(name);
    }

    fn topic_changed(&mut self, name: &str) {
        for group in self.groups.values_mut() {
            group.topic_changed(name, self.time.now, &self.topics, &mut self.outbox);
        }
    }
}
