//! Topics and offsets of the embedded cluster.

use std::sync::Arc;

use millstream_state::model::{Position, TopicPartition};

use super::super::{
    Admin, BrokerError, Committed, ErrorClass, Isolation, NewTopic, Ticket, TopicDescription, TopicOutcome,
};
use super::cluster::Cluster;
use super::connection::Connection;
use super::faults::CallKind;
use super::log::PartitionLog;

pub(super) struct EmbeddedAdmin(pub(super) Connection);

fn first(partitions: &[TopicPartition]) -> Option<(Arc<str>, i32)> {
    partitions.first().map(|first| (first.topic.clone(), first.partition))
}

fn positions(
    cluster: &Cluster,
    partitions: &[TopicPartition],
    of: impl Fn(&PartitionLog) -> i64,
) -> Result<Vec<Position>, BrokerError> {
    partitions.iter().map(|partition| Ok(Position::new(of(cluster.topics.log(partition)?)))).collect()
}

fn delete(cluster: &mut Cluster, before: &[(TopicPartition, Position)]) -> Result<(), BrokerError> {
    for (partition, position) in before {
        let end = cluster.topics.log(partition)?.high_watermark();
        let call = || format!("delete the records of {partition} before {position}");
        if position.number() > end || position.number() < 0 {
            let reason = format!("the log ends at {end}");
            return Err(BrokerError::new(ErrorClass::OffsetOutOfRange, call(), reason));
        }
        if cluster.topics.get(&partition.topic).is_some_and(|topic| !topic.heeded.deletes) {
            let reason = "the topic's cleanup.policy does not include delete";
            return Err(BrokerError::new(ErrorClass::Fatal, call(), reason));
        }
        let log = cluster.topics.log_mut(partition)?;
        log.delete_before(position.number());
        log.news(&mut cluster.outbox.wakes);
    }
    Ok(())
}

impl EmbeddedAdmin {
    fn about_topic(topic: Option<&Arc<str>>) -> Option<(&Arc<str>, i32)> {
        topic.map(|topic| (topic, -1))
    }
}

impl Admin for EmbeddedAdmin {
    fn describe_topics(&self, topics: Vec<Arc<str>>) -> Ticket<Vec<Option<TopicDescription>>> {
        let about = topics.first().cloned();
        self.0.call(CallKind::DescribeTopics, Self::about_topic(about.as_ref()), move |cluster| {
            Ok(topics.iter().map(|name| cluster.topics.get(name).map(super::topic::Topic::describe)).collect())
        })
    }

    fn create_topics(&self, topics: Vec<NewTopic>) -> Ticket<Vec<TopicOutcome>> {
        let about = topics.first().map(|topic| topic.name.clone());
        self.0.call(CallKind::CreateTopics, Self::about_topic(about.as_ref()), move |cluster| {
            Ok(topics.iter().map(|topic| cluster.create_topic(topic)).collect())
        })
    }

    fn delete_topics(&self, topics: Vec<Arc<str>>) -> Ticket<()> {
        let about = topics.first().cloned();
        self.0.call(CallKind::DeleteTopics, Self::about_topic(about.as_ref()), move |cluster| {
            topics.iter().for_each(|name| cluster.delete_topic(name));
            Ok(())
        })
    }

    fn start_positions(&self, partitions: Vec<TopicPartition>) -> Ticket<Vec<Position>> {
        let about = first(&partitions);
        self.0.call(CallKind::StartPositions, about.as_ref().map(|(t, p)| (t, *p)), move |cluster| {
            positions(cluster, &partitions, PartitionLog::start)
        })
    }

    fn end_positions(&self, partitions: Vec<TopicPartition>, isolation: Isolation) -> Ticket<Vec<Position>> {
        let about = first(&partitions);
        self.0.call(CallKind::EndPositions, about.as_ref().map(|(t, p)| (t, *p)), move |cluster| {
            positions(cluster, &partitions, |log| log.end(isolation))
        })
    }

    fn committed(&self, group: &str, partitions: Vec<TopicPartition>) -> Ticket<Vec<Option<Committed>>> {
        let (about, group) = (first(&partitions), group.to_owned());
        self.0.call_later(
            CallKind::Committed,
            about.as_ref().map(|(t, p)| (t, *p)),
            move |cluster: &mut Cluster, completer| cluster.fetch_offsets(&group, partitions, completer),
        )
    }

    fn delete_records(&self, before: Vec<(TopicPartition, Position)>) -> Ticket<()> {
        let about = before.first().map(|(first, _)| (first.topic.clone(), first.partition));
        self.0.call(CallKind::DeleteRecords, about.as_ref().map(|(t, p)| (t, *p)), move |cluster| {
            delete(cluster, &before)
        })
    }
}
