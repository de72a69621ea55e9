//! Looking into the embedded cluster from a test: what a broker's own tools would show.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use millstream_state::model::{Headers, Offset, Position, Timestamp, TopicPartition};

use super::super::{Batch, BrokerError, Committed, Isolation};
use super::EmbeddedBroker;
use super::topic::Topic;

/// A record of the log, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Where it is.
    pub offset: Offset,
    /// Its time.
    pub timestamp: Timestamp,
    /// Its key; `None` is null.
    pub key: Option<Bytes>,
    /// Its value; `None` is null.
    pub value: Option<Bytes>,
    /// Its headers.
    pub headers: Headers,
}

/// A transaction that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    /// Whose it is.
    pub transactional_id: String,
    /// The epoch of the producer that opened it.
    pub epoch: i32,
    /// The partitions it has written to.
    pub partitions: Vec<TopicPartition>,
    /// The groups it holds offsets for.
    pub groups: Vec<Arc<str>>,
}

impl EmbeddedBroker {
    /// All records of a partition from the start of its log.
    ///
    /// # Errors
    /// If there is no such partition.
    pub fn read_log(&self, topic: &str, partition: i32, isolation: Isolation) -> Result<Vec<LogRecord>, BrokerError> {
        let partition = TopicPartition::new(topic, partition);
        let runs = self.shared.with(|cluster| {
            let log = cluster.topics.log(&partition)?;
            let (mut runs, mut from) = (Vec::new(), log.start());
            while let Ok(found) = log.read(from, isolation, usize::MAX) {
                from = found.next;
                match found.run {
                    Some(run) => runs.push(run),
                    None => break,
                }
            }
            Ok(runs)
        })?;
        let owned = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
        let records = runs.iter().flat_map(|run| (0..run.len()).map(|index| run.get(index)));
        let own = |record: millstream_state::model::RawRecord<'_>| LogRecord {
            offset: record.offset,
            timestamp: record.timestamp,
            key: owned(record.key),
            value: owned(record.value),
            headers: record.headers.clone(),
        };
        Ok(records.map(own).collect())
    }

    /// The end of a partition at an isolation level.
    ///
    /// # Errors
    /// If there is no such partition.
    pub fn end(&self, topic: &str, partition: i32, isolation: Isolation) -> Result<Position, BrokerError> {
        let partition = TopicPartition::new(topic, partition);
        self.shared.with(|cluster| Ok(Position::new(cluster.topics.log(&partition)?.end(isolation))))
    }

    /// The names of all topics, sorted.
    pub fn topics(&self) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> =
            self.shared.with(|cluster| cluster.topics.iter_mut().map(|topic: &mut Topic| topic.name.clone()).collect());
        names.sort();
        names
    }

    /// What a group has committed, without waiting for open transactions.
    pub fn group_offsets(&self, group: &str) -> BTreeMap<TopicPartition, Committed> {
        self.shared
            .with(|cluster| cluster.groups.get(group).map(|group| group.offsets.committed.clone()).unwrap_or_default())
    }

    /// A group's generation and what each member holds.
    pub fn group_members(&self, group: &str) -> (i32, BTreeMap<Arc<str>, Vec<TopicPartition>>) {
        self.shared.with(|cluster| match cluster.groups.get(group) {
            Some(group) => {
                let members = group.assignments().map(|(id, held)| (id.clone(), held.to_vec())).collect();
                (group.generation, members)
            }
            None => Default::default(),
        })
    }

    /// The transactions that the broker knows to be open.
    pub fn open_transactions(&self) -> Vec<OpenTransaction> {
        self.shared.with(|cluster| {
            let open = cluster.transactions.slots.iter().filter(|transaction| transaction.since.is_some());
            let describe = |transaction: &super::transactions::Transaction| OpenTransaction {
                transactional_id: transaction.id.clone(),
                epoch: transaction.epoch,
                partitions: transaction
                    .partitions
                    .iter()
                    .filter_map(|(slot, partition)| {
                        Some(TopicPartition::new(cluster.topics.at(*slot)?.name.clone(), *partition))
                    })
                    .collect(),
                groups: transaction.groups.clone(),
            };
            open.map(describe).collect()
        })
    }
}
