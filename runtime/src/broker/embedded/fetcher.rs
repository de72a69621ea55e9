//! A reader of assigned partitions of the embedded cluster.

use rustc_hash::FxHashSet;

use millstream_state::model::{Position, TopicPartition};

use super::super::{BrokerError, ErrorClass, Fetcher, Isolation, PartitionQueue};
use super::connection::Connection;
use super::queue::EmbeddedQueue;

pub(super) struct EmbeddedFetcher {
    connection: Connection,
    isolation: Isolation,
    assigned: FxHashSet<TopicPartition>,
}

impl EmbeddedFetcher {
    pub(super) fn new(connection: Connection, isolation: Isolation) -> Self {
        Self { connection, isolation, assigned: FxHashSet::default() }
    }
}

impl Fetcher for EmbeddedFetcher {
    fn assign(&mut self, partition: &TopicPartition, from: Position) -> Result<Box<dyn PartitionQueue>, BrokerError> {
        if !self.assigned.insert(partition.clone()) {
            let call = format!("assign topic {}, partition {}", partition.topic, partition.partition);
            return Err(BrokerError::new(ErrorClass::Fatal, call, "it is assigned already"));
        }
        let mut queue = EmbeddedQueue::new(self.connection.clone(), partition, self.isolation);
        queue.seek(from)?;
        Ok(Box::new(queue))
    }

    fn unassign(&mut self, partition: &TopicPartition) -> Result<(), BrokerError> {
        self.assigned.remove(partition);
        Ok(())
    }
}
