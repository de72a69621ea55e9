//! Between our positions and librdkafka's lists.

use std::collections::HashMap;
use std::sync::Arc;

use millstream_state::model::{Position, TopicPartition};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::native::Element;
use crate::broker::OffsetCommit;

/// A list of one partition.
pub(super) fn single(partition: &TopicPartition, at: Position) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(at.number()))?;
    Ok(list)
}

/// A list of partitions without offsets.
pub(super) fn without_offsets<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(&partition.topic, partition.partition);
    }
    list
}

/// A list of positions to commit, with their metadata.
pub(super) fn commits(offsets: &[OffsetCommit]) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for commit in offsets {
        let mut element = list.add_partition(&commit.partition.topic, commit.partition.partition);
        element.set_offset(Offset::Offset(commit.position.number()))?;
        if !commit.metadata.is_empty() {
            element.set_metadata(&commit.metadata);
        }
    }
    Ok(list)
}

/// Puts the elements of an answer into the order of the question; `None` where there is no answer.
pub(super) fn in_order(partitions: &[TopicPartition], elements: Vec<Element>) -> Vec<Option<Element>> {
    let mut by_partition: HashMap<(Arc<str>, i32), Element> =
        elements.into_iter().map(|element| ((Arc::from(element.topic.as_str()), element.partition), element)).collect();
    partitions.iter().map(|partition| by_partition.remove(&(partition.topic.clone(), partition.partition))).collect()
}
