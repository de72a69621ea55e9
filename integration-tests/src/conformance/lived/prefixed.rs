//! A cluster of its own for each application on a cluster that they share: every name gets a prefix on its way out and
//! loses it on its way in, so that what is written has the names of the vectors.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use millstream::broker::{
    Admin, Broker, BrokerError, Committed, Fetcher, Isolation, Member, MemberEvent, MemberSettings, NewTopic,
    OffsetCommit, OutRecord, Ownership, PartitionQueue, Producer, ProducerSettings, Ticket, TopicDescription,
    TopicOutcome, Wake,
};
use millstream::state::model::{Position, TopicPartition};

use crate::support::answer;

/// The names of one application.
#[derive(Clone)]
struct Names(Arc<str>);

impl Names {
    fn out(&self, name: &str) -> Arc<str> {
        format!("{}{name}", self.0).into()
    }

    fn back(&self, name: &str) -> Arc<str> {
        name.strip_prefix(&*self.0).unwrap_or(name).into()
    }

    fn place(&self, partition: &TopicPartition) -> TopicPartition {
        TopicPartition::new(self.out(&partition.topic), partition.partition)
    }

    fn places(&self, partitions: &[TopicPartition]) -> Vec<TopicPartition> {
        partitions.iter().map(|partition| self.place(partition)).collect()
    }

    fn offsets(&self, offsets: Vec<OffsetCommit>) -> Vec<OffsetCommit> {
        let offsets = offsets.into_iter();
        offsets.map(|commit| OffsetCommit { partition: self.place(&commit.partition), ..commit }).collect()
    }
}

/// The cluster as one application sees it.
pub(super) struct Prefixed {
    inner: Arc<dyn Broker>,
    names: Names,
    created: Created,
}

/// All topics that were created. A lock because the broker's clients may be on several threads.
type Created = Arc<Mutex<BTreeSet<Arc<str>>>>;

impl Prefixed {
    pub(super) fn new(inner: Arc<dyn Broker>, prefix: String) -> Self {
        Self { inner, names: Names(prefix.into()), created: Created::default() }
    }

    /// The topics that were created, as the application names them.
    pub(super) fn topics(&self) -> BTreeSet<Arc<str>> {
        self.created.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Broker for Prefixed {
    fn admin(&self) -> Arc<dyn Admin> {
        let (names, created) = (self.names.clone(), self.created.clone());
        Arc::new(PrefixedAdmin { inner: self.inner.admin(), names, created })
    }

    fn producer(&self, settings: ProducerSettings, wake: Wake) -> Result<Box<dyn Producer>, BrokerError> {
        let transactional_id = settings.transactional_id.map(|id| self.names.out(&id).to_string());
        let inner = self.inner.producer(ProducerSettings { transactional_id, ..settings }, wake)?;
        Ok(Box::new(PrefixedProducer { inner, names: self.names.clone() }))
    }

    fn fetcher(&self, isolation: Isolation, wake: Wake) -> Result<Box<dyn Fetcher>, BrokerError> {
        let inner = self.inner.fetcher(isolation, wake)?;
        Ok(Box::new(PrefixedFetcher { inner, names: self.names.clone() }))
    }

    fn member(&self, settings: MemberSettings, wake: Wake) -> Result<Box<dyn Member>, BrokerError> {
        let group = self.names.out(&settings.group).to_string();
        let topics = settings.topics.iter().map(|topic| self.names.out(topic)).collect();
        let inner = self.inner.member(MemberSettings { group, topics, ..settings }, wake)?;
        Ok(Box::new(PrefixedMember { inner, names: self.names.clone() }))
    }
}

struct PrefixedAdmin {
    inner: Arc<dyn Admin>,
    names: Names,
    created: Created,
}

impl Admin for PrefixedAdmin {
    fn describe_topics(&self, topics: Vec<Arc<str>>) -> Ticket<Vec<Option<TopicDescription>>> {
        let described = answer(self.inner.describe_topics(topics.iter().map(|topic| self.names.out(topic)).collect()));
        let back = |topic: TopicDescription| TopicDescription { name: self.names.back(&topic.name), ..topic };
        Ticket::ready(described.map(|topics| topics.into_iter().map(|topic| topic.map(back)).collect()))
    }

    fn create_topics(&self, topics: Vec<NewTopic>) -> Ticket<Vec<TopicOutcome>> {
        let names = topics.iter().map(|topic| topic.name.clone());
        self.created.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
        let topics = topics.into_iter().map(|topic| NewTopic { name: self.names.out(&topic.name), ..topic });
        self.inner.create_topics(topics.collect())
    }

    fn delete_topics(&self, topics: Vec<Arc<str>>) -> Ticket<()> {
        self.inner.delete_topics(topics.iter().map(|topic| self.names.out(topic)).collect())
    }

    fn start_positions(&self, partitions: Vec<TopicPartition>) -> Ticket<Vec<Position>> {
        self.inner.start_positions(self.names.places(&partitions))
    }

    fn end_positions(&self, partitions: Vec<TopicPartition>, isolation: Isolation) -> Ticket<Vec<Position>> {
        self.inner.end_positions(self.names.places(&partitions), isolation)
    }

    fn committed(&self, group: &str, partitions: Vec<TopicPartition>) -> Ticket<Vec<Option<Committed>>> {
        self.inner.committed(&self.names.out(group), self.names.places(&partitions))
    }

    fn delete_records(&self, before: Vec<(TopicPartition, Position)>) -> Ticket<()> {
        let before = before.into_iter().map(|(partition, position)| (self.names.place(&partition), position));
        self.inner.delete_records(before.collect())
    }
}

struct PrefixedProducer {
    inner: Box<dyn Producer>,
    names: Names,
}

impl Producer for PrefixedProducer {
    fn init(&mut self) -> Ticket<()> {
        self.inner.init()
    }

    fn begin(&mut self) -> Result<(), BrokerError> {
        self.inner.begin()
    }

    fn produce(&mut self, record: OutRecord<'_>) -> Result<bool, BrokerError> {
        let topic = self.names.out(record.topic);
        self.inner.produce(OutRecord { topic: &topic, ..record })
    }

    fn flush(&mut self) -> Ticket<()> {
        self.inner.flush()
    }

    fn send_offsets(&mut self, offsets: Vec<OffsetCommit>, ownership: &Ownership) -> Ticket<()> {
        self.inner.send_offsets(self.names.offsets(offsets), ownership)
    }

    fn commit(&mut self) -> Ticket<()> {
        self.inner.commit()
    }

    fn abort(&mut self) -> Ticket<()> {
        self.inner.abort()
    }
}

struct PrefixedFetcher {
    inner: Box<dyn Fetcher>,
    names: Names,
}

impl Fetcher for PrefixedFetcher {
    fn assign(&mut self, partition: &TopicPartition, from: Position) -> Result<Box<dyn PartitionQueue>, BrokerError> {
        self.inner.assign(&self.names.place(partition), from)
    }

    fn unassign(&mut self, partition: &TopicPartition) -> Result<(), BrokerError> {
        self.inner.unassign(&self.names.place(partition))
    }
}

struct PrefixedMember {
    inner: Box<dyn Member>,
    names: Names,
}

impl Member for PrefixedMember {
    fn poll(&mut self) -> Option<MemberEvent> {
        let mut event = self.inner.poll()?;
        if let MemberEvent::Assigned(assigned) = &mut event {
            for one in &mut assigned.partitions {
                one.partition = TopicPartition::new(self.names.back(&one.partition.topic), one.partition.partition);
            }
        }
        Some(event)
    }

    fn acknowledge(&mut self) {
        self.inner.acknowledge();
    }

    fn commit(&mut self, offsets: Vec<OffsetCommit>, ownership: &Ownership) -> Ticket<()> {
        self.inner.commit(self.names.offsets(offsets), ownership)
    }

    fn leave(&mut self) -> Ticket<()> {
        self.inner.leave()
    }
}
