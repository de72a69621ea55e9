//! The records of one partition, read straight from the log.

use std::cell::Cell;

use millstream_state::model::{Position, TopicPartition};

use super::super::{Batch, BrokerError, ErrorClass, Isolation, PartitionQueue, Wake};
use super::cluster::unknown;
use super::connection::Connection;
use super::faults::{CallKind, Fault};

pub(super) struct EmbeddedQueue {
    connection: Connection,
    partition: TopicPartition,
    /// The topic's slot: a topic made anew under the same name is another one.
    slot: Option<usize>,
    reader: u64,
    isolation: Isolation,
    /// `None` while idle. A cell because the position moves past control records also when it is only looked at.
    position: Cell<Option<i64>>,
}

impl EmbeddedQueue {
    /// A queue that is idle until the first seek.
    pub(super) fn new(connection: Connection, partition: &TopicPartition, isolation: Isolation) -> Self {
        let (slot, reader) = connection.shared().with(|cluster| {
            let reader = cluster.reader_id();
            let slot = cluster.topics.slot(&partition.topic);
            if let Ok(log) = cluster.topics.log_mut(partition) {
                log.subscribe(reader, isolation, connection.wake().clone());
            }
            (slot, reader)
        });
        Self { connection, partition: partition.clone(), slot, reader, isolation, position: Cell::new(None) }
    }

    fn out_of_range(&self, position: i64, (start, end): (i64, i64)) -> BrokerError {
        BrokerError::new(
            ErrorClass::OffsetOutOfRange,
            format!("fetch from topic {}, partition {}", self.partition.topic, self.partition.partition),
            format!("offset {position} is not in the log, which goes from {start} to {end}"),
        )
    }
}

impl PartitionQueue for EmbeddedQueue {
    fn drain(&mut self, max: usize) -> Result<Option<Box<dyn Batch>>, BrokerError> {
        let Some(from) = self.position.get() else { return Ok(None) };
        self.connection.check_alive(CallKind::Drain)?;
        let about = (&self.partition.topic, self.partition.partition);
        if let (Fault::FailBefore(error), _) = self.connection.fault(CallKind::Drain, Some(about)) {
            return Err(error);
        }
        let found = self.connection.shared().with(|cluster| {
            let topic = self.slot.and_then(|slot| cluster.topics.at_mut(slot));
            let log = topic.and_then(|topic| topic.partition_mut(self.partition.partition));
            let log = log.ok_or_else(|| unknown(&self.partition))?;
            let mut found = log
                .read(from, self.isolation, max)
                .map_err(|range| self.out_of_range(from, (range.start, range.end)))?;
            // Past the control records after the last record, if nothing is waiting behind them.
            if found.run.is_some()
                && let Ok(rest) = log.read(found.next, self.isolation, 1)
                && rest.run.is_none()
            {
                found.next = rest.next;
            }
            log.wait(self.reader, found.next);
            Ok(found)
        })?;
        self.position.set(Some(found.next));
        Ok(found.run.map(|run| Box::new(run) as Box<dyn Batch>))
    }

    fn seek(&mut self, to: Position) -> Result<(), BrokerError> {
        self.connection.check_alive(CallKind::Drain)?;
        self.position.set(Some(to.number()));
        self.connection.shared().with(|cluster| {
            // As if fetched at once: whoever waits is told of what is there already, an error included.
            let log = self.slot.and_then(|slot| cluster.topics.at_mut(slot));
            if let Some(log) = log.and_then(|topic| topic.partition_mut(self.partition.partition)) {
                log.wait(self.reader, to.number());
                log.news(&mut cluster.outbox.wakes);
            }
        });
        Ok(())
    }

    fn position(&self) -> Position {
        let Some(from) = self.position.get() else { return Position::START };
        let rest = self.connection.shared().with(|cluster| {
            let topic = self.slot.and_then(|slot| cluster.topics.at(slot))?;
            topic.partition(self.partition.partition)?.read(from, self.isolation, 1).ok()
        });
        if let Some(rest) = rest.filter(|rest| rest.run.is_none()) {
            self.position.set(Some(rest.next));
        }
        Position::new(self.position.get().unwrap_or(from))
    }

    fn end(&self) -> Option<Position> {
        self.position.get()?;
        self.connection.shared().with(|cluster| {
            let topic = self.slot.and_then(|slot| cluster.topics.at(slot))?;
            Some(Position::new(topic.partition(self.partition.partition)?.end(self.isolation)))
        })
    }

    fn set_wake(&mut self, wake: Wake) {
        self.connection.set_wake(wake.clone());
        let partition = self.partition.partition;
        self.connection.shared().with(|cluster| {
            let topic = self.slot.and_then(|slot| cluster.topics.at_mut(slot));
            if let Some(log) = topic.and_then(|topic| topic.partition_mut(partition)) {
                log.set_wake(self.reader, &wake);
                // What was told to the old owner before the move is told to the new one as well.
                if let Some(position) = self.position.get() {
                    log.wait(self.reader, position);
                    log.news(&mut cluster.outbox.wakes);
                }
            }
        });
    }
}

impl Drop for EmbeddedQueue {
    fn drop(&mut self) {
        let partition = self.partition.partition;
        self.connection.shared().with_hot(|cluster| {
            let topic = self.slot.and_then(|slot| cluster.topics.at_mut(slot));
            if let Some(log) = topic.and_then(|topic| topic.partition_mut(partition)) {
                log.unsubscribe(self.reader);
            }
        });
    }
}
