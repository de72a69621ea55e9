//! A reader of assigned partitions, without a group.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use millstream_state::model::{Position, TopicPartition};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::Consumer as _;

use super::errors::Failure;
use super::native::Meeting;
use super::queue::{KafkaQueue, Tenure};
use super::{Consuming, KafkaSettings, config, native, offsets};
use crate::broker::{BrokerError, ErrorClass, Fetcher, Isolation, PartitionQueue, Wake};

/// A [`Fetcher`] over one client.
pub(super) struct KafkaFetcher {
    consumer: Arc<native::Consumer>,
    isolation: Isolation,
    assigned: HashSet<TopicPartition>,
    /// Topics whose leaders were asked for.
    asked: HashSet<Arc<str>>,
    /// The questions that are not answered yet.
    questions: Vec<Meeting>,
    wake: Wake,
}

/// How long a topic's leaders are asked for.
const MEETING: Duration = Duration::from_secs(10);

struct UntilUnassigned(Isolation);

impl Tenure for UntilUnassigned {
    fn is_current(&self) -> bool {
        true
    }

    fn polls(&self) -> bool {
        true
    }

    fn reads_committed(&self) -> bool {
        self.0 == Isolation::ReadCommitted
    }
}

impl KafkaFetcher {
    pub(super) fn new(settings: &KafkaSettings, isolation: Isolation, wake: Wake) -> Result<Self, BrokerError> {
        let consumer = native::Consumer::from_config_and_context(
            &config::fetcher(settings, isolation),
            Consuming::without_group(),
        )
        .map_err(|error| config::not_made("make a fetcher", &error))?;
        Ok(Self {
            consumer: Arc::new(consumer),
            isolation,
            assigned: HashSet::new(),
            asked: HashSet::new(),
            questions: Vec::new(),
            wake,
        })
    }

    /// Lets the client ask who leads a topic. It would do so by itself, but only when its timer of a second goes off. What the
    /// answer says is of no interest here. (A question for offsets would make it look as well, but not safely: see `leaders`.)
    fn meet_leaders(&mut self, topic: &Arc<str>) {
        self.questions.retain(|question| question.poll().is_none());
        if self.asked.insert(topic.clone()) {
            self.questions.extend(Meeting::ask(&self.consumer, topic, MEETING));
        }
    }
}

impl Fetcher for KafkaFetcher {
    fn assign(&mut self, partition: &TopicPartition, from: Position) -> Result<Box<dyn PartitionQueue>, BrokerError> {
        let call = || format!("fetch {partition} from {from}");
        if self.assigned.contains(partition) {
            return Err(BrokerError::new(ErrorClass::Fatal, call(), "the partition is assigned already"));
        }
        let queue = KafkaQueue::detach(
            &self.consumer,
            partition.clone(),
            Box::new(UntilUnassigned(self.isolation)),
            self.wake.clone(),
        )
        .ok_or_else(|| BrokerError::new(ErrorClass::Fatal, call(), "the partition has no queue"))?;
        offsets::single(partition, from)
            .and_then(|list| self.consumer.incremental_assign(&list))
            .map_err(|error| Failure::from(error).error(call()))?;
        self.assigned.insert(partition.clone());
        // Now that the client knows of the partition, so that it begins as soon as it knows the leader.
        self.meet_leaders(&partition.topic);
        Ok(Box::new(queue.started_at(from)))
    }

    fn unassign(&mut self, partition: &TopicPartition) -> Result<(), BrokerError> {
        if !self.assigned.remove(partition) {
            return Ok(());
        }
        self.consumer
            .incremental_unassign(&offsets::without_offsets([partition]))
            .map_err(|error| Failure::from(error).error(format!("stop fetching {partition}")))?;
        // Nobody may drain again: what the client has to say about itself is taken here.
        self.consumer.poll(Duration::ZERO);
        Ok(())
    }
}
