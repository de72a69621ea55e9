//! Reads topics from their start to their present end, as a read_committed consumer sees them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use millstream::broker::{Broker, Isolation, PartitionQueue};
use millstream::state::model::{Position, RawRecord, TopicPartition};
use tokio::time::Instant;

use crate::calls::{ask, notifying, progress};

/// How many records are taken at once.
const BATCH: usize = 10_000;

/// How long nothing may arrive before reading is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The last committed value of each key: a topic read as a table. A null value deletes its key.
///
/// # Errors
/// If the topic cannot be read.
pub async fn table(broker: &dyn Broker, topic: &Arc<str>) -> anyhow::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut table = BTreeMap::new();
    read(broker, topic, |_, record| {
        let key = record.key.unwrap_or_default().to_vec();
        match record.value {
            Some(value) => table.insert(key, value.to_vec()),
            None => table.remove(&key),
        };
    })
    .await?;
    Ok(table)
}

/// Hands every committed record that is in the topic now to `each`, in order within each partition.
///
/// # Errors
/// If the topic does not exist or cannot be read.
pub async fn read(
    broker: &dyn Broker,
    topic: &Arc<str>,
    mut each: impl FnMut(i32, &RawRecord<'_>),
) -> anyhow::Result<()> {
    let partitions = partitions(broker, topic).await?;
    let admin = broker.admin();
    let starts = ask(|| admin.start_positions(partitions.clone())).await?;
    let ends = ask(|| admin.end_positions(partitions.clone(), Isolation::ReadCommitted)).await?;
    let (wake, notify) = notifying();
    let mut fetcher = broker.fetcher(Isolation::ReadCommitted, wake)?;
    let mut open = Vec::new();
    for ((partition, start), end) in partitions.into_iter().zip(starts).zip(ends) {
        if start < end {
            open.push(Reading { queue: fetcher.assign(&partition, start)?, partition, end });
        }
    }
    let mut last_moved = Instant::now();
    while !open.is_empty() {
        let mut moved = false;
        for reading in &mut open {
            moved |= reading.drain(&mut each).with_context(|| format!("reading {}", reading.partition))?;
        }
        open.retain(|reading| !reading.is_done());
        if moved {
            last_moved = Instant::now();
        } else if last_moved.elapsed() > PATIENCE {
            bail!("nothing arrived from topic {topic} for {} s", PATIENCE.as_secs());
        } else if !open.is_empty() {
            progress(&notify).await;
        }
    }
    Ok(())
}

/// All partitions of a topic.
///
/// # Errors
/// If there is no such topic, or the broker does not answer.
pub async fn partitions(broker: &dyn Broker, topic: &Arc<str>) -> anyhow::Result<Vec<TopicPartition>> {
    let admin = broker.admin();
    let described = ask(|| admin.describe_topics(vec![topic.clone()])).await?;
    let found = described.into_iter().next().flatten().with_context(|| format!("there is no topic {topic}"))?;
    Ok((0..found.partitions).map(|partition| TopicPartition::new(topic.clone(), partition)).collect())
}

struct Reading {
    queue: Box<dyn PartitionQueue>,
    partition: TopicPartition,
    end: Position,
}

impl Reading {
    fn is_done(&self) -> bool {
        self.queue.position() >= self.end
    }

    /// Takes what is waiting; records at or behind the end were not there when reading began.
    fn drain(&mut self, each: &mut impl FnMut(i32, &RawRecord<'_>)) -> anyhow::Result<bool> {
        let Some(batch) = self.queue.drain(BATCH)? else { return Ok(false) };
        for record in (0..batch.len()).map(|index| batch.get(index)) {
            if record.offset.number() < self.end.number() {
                each(self.partition.partition, &record);
            }
        }
        Ok(true)
    }
}
