//! The checker: reads what was committed with a client of its own, and knows what it must be.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use millstream::broker::{Broker, Isolation};
use millstream::state::model::TopicPartition;
use millstream_examples::calls::ask;
use millstream_examples::{outputs, stores};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::workload::{Expected, WINDOW, Workload};

/// How long markers and committed offsets may take to appear after the last output was seen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Follows both outputs as a read_committed consumer and holds every record against the one before.
pub struct Follower {
    consumer: BaseConsumer,
    outputs: [String; 2],
    /// Per output: each key's last count and its partition.
    last: [HashMap<String, (i64, i32)>; 2],
    seen: [i64; 2],
}

fn reader(bootstrap: &str, topics: &[String], partitions: i32) -> anyhow::Result<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "checker")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("fetch.wait.max.ms", "50")
        .create()?;
    let mut list = TopicPartitionList::new();
    for topic in topics {
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
    }
    consumer.assign(&list)?;
    Ok(consumer)
}

fn number(bytes: Option<&[u8]>) -> Option<i64> {
    Some(i64::from_be_bytes(bytes?.try_into().ok()?))
}

impl Follower {
    /// A follower of a workload's outputs from their beginning.
    ///
    /// # Errors
    /// If the client cannot be made.
    pub fn new(workload: &Workload, bootstrap: &str) -> anyhow::Result<Self> {
        let outputs = workload.outputs();
        let consumer = reader(bootstrap, &outputs, workload.partitions)?;
        Ok(Self { consumer, outputs, last: Default::default(), seen: [0; 2] })
    }

    /// Takes what there is, waiting at most this long for the first; answers how many there were.
    ///
    /// # Errors
    /// If a count is not one more than the last of its key: something was lost, doubled or swapped.
    pub fn follow(&mut self, wait: Duration) -> anyhow::Result<u64> {
        let mut taken = 0;
        let mut wait = wait;
        while let Some(polled) = self.consumer.poll(wait) {
            wait = Duration::ZERO;
            let message = match polled {
                Ok(message) => message,
                // Brokers come and go; the client asks again.
                Err(error) => {
                    tracing::debug!(%error, "the checker's client reports an error");
                    break;
                }
            };
            let output = usize::from(message.topic() != self.outputs[0]);
            let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
            let place = || format!("{}-{} at {}", message.topic(), message.partition(), message.offset());
            let count = number(message.payload()).with_context(|| format!("{}: not a number", place()))?;
            let (last, partition) = self.last[output].get(&key).copied().unwrap_or((0, message.partition()));
            ensure!(partition == message.partition(), "{}: {key} was in partition {partition} before", place());
            ensure!(count == last + 1, "{}: {key} counts {count} after {last}", place());
            self.last[output].insert(key, (count, partition));
            self.seen[output] += 1;
            taken += 1;
            if taken >= 10_000 {
                break;
            }
        }
        Ok(taken)
    }

    /// How many outputs were seen in each of the two topics.
    pub fn seen(&self) -> [i64; 2] {
        self.seen
    }

    /// Whether every count has arrived.
    pub fn is_complete(&self, expected: &Expected) -> bool {
        self.seen == expected.totals()
    }

    /// What is there, against what must be.
    ///
    /// # Errors
    /// If they differ.
    pub fn compare(&self, expected: &Expected) -> anyhow::Result<()> {
        for (output, (expected, last)) in expected.sorted().iter().zip(&self.last).enumerate() {
            let last: BTreeMap<&str, i64> = last.iter().map(|(key, (count, _))| (key.as_str(), *count)).collect();
            let wrong = expected.iter().find(|(key, count)| last.get(*key) != Some(*count));
            if let Some((key, count)) = wrong {
                bail!("{}: {key} counts {:?} instead of {count}", self.outputs[output], last.get(key));
            }
            ensure!(last.len() == expected.len(), "{}: more keys than there are", self.outputs[output]);
        }
        Ok(())
    }
}

/// Both changelogs, replayed by the checker's own client, say what must be.
///
/// # Errors
/// If they do not.
pub fn changelogs(workload: &Workload, bootstrap: &str, expected: &Expected) -> anyhow::Result<()> {
    let topics = workload.changelogs();
    let consumer = reader(bootstrap, &topics, workload.partitions)?;
    let mut ends = BTreeMap::new();
    for topic in &topics {
        for partition in 0..workload.partitions {
            let (_, end) = consumer.fetch_watermarks(topic, partition, PATIENCE)?;
            ends.insert((topic.clone(), partition), end);
        }
    }
    let mut found: [HashMap<String, i64>; 2] = Default::default();
    let mut quiet = 0;
    while quiet < 20 {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            let at = consumer.position()?;
            let done = ends.iter().all(|((topic, partition), end)| {
                let at = at.find_partition(topic, *partition).map(|element| element.offset());
                *end == 0 || matches!(at, Some(Offset::Offset(at)) if at >= *end)
            });
            quiet += if done { 20 } else { 1 };
            continue;
        };
        quiet = 0;
        let message = message?;
        let (key, windows) = (message.key().unwrap_or_default(), message.topic() != topics[0]);
        let key = if windows { windowed(key).context("a key of a window changelog")? } else { text(key) };
        let count = number(message.payload()).with_context(|| format!("{key} in {}", message.topic()))?;
        found[usize::from(windows)].insert(key, count);
    }
    ensure!(found[0] == expected.counts, "the changelog of counts differs from what must be");
    ensure!(found[1] == expected.windows, "the changelog of windows differs from what must be");
    Ok(())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A key of a window store: the key, 8 bytes of the window's start, 4 of a sequence number.
fn windowed(key: &[u8]) -> Option<String> {
    let (rest, _) = key.split_last_chunk::<4>()?;
    let (key, start) = rest.split_last_chunk::<8>()?;
    let start = i64::from_be_bytes(*start);
    (start % WINDOW == 0).then(|| format!("{}@{start}", text(key)))
}

/// The stores that stopped instances left hold what their changelogs say.
///
/// # Errors
/// If they do not.
pub async fn stores_on_disk(workload: &Workload, broker: &dyn Broker, folders: &[PathBuf]) -> anyhow::Result<()> {
    let report = stores::check(broker, &workload.topology()?, &workload.app, folders).await?;
    ensure!(report.differences.is_empty(), "stores and changelogs differ: {:?}", report.differences);
    ensure!(report.keys > 0, "no store was found in {folders:?}");
    Ok(())
}

/// No transaction hangs: in each topic committed records reach to the end. And all inputs are committed.
///
/// # Errors
/// If that does not become so.
pub async fn nothing_hangs(workload: &Workload, broker: &dyn Broker) -> anyhow::Result<()> {
    let [counts, windows] = workload.outputs();
    let [first, second] = workload.changelogs();
    let mut partitions = Vec::new();
    for topic in [counts, windows, first, second, workload.repartition()] {
        partitions.extend(outputs::partitions(broker, &topic.into()).await?);
    }
    let sources: Vec<_> = [workload.input(), workload.repartition()]
        .iter()
        .flat_map(|topic| (0..workload.partitions).map(|number| TopicPartition::new(topic.as_str(), number)))
        .collect();
    let admin = broker.admin();
    let mut left = String::new();
    let settled = tokio::time::timeout(PATIENCE, async {
        loop {
            let stable = ask(|| admin.end_positions(partitions.clone(), Isolation::ReadCommitted)).await?;
            let high = ask(|| admin.end_positions(partitions.clone(), Isolation::ReadUncommitted)).await?;
            let hanging = partitions.iter().zip(stable.iter().zip(&high)).find(|(_, (stable, high))| stable != high);
            let ends = ask(|| admin.end_positions(sources.clone(), Isolation::ReadUncommitted)).await?;
            let committed = ask(|| admin.committed(&workload.app, sources.clone())).await?;
            let behind = sources.iter().zip(committed.iter().zip(&ends)).find(|(_, (committed, end))| {
                end.number() > 0 && committed.as_ref().is_none_or(|committed| committed.position < **end)
            });
            match (hanging, behind) {
                (None, None) => return anyhow::Ok(()),
                (Some((partition, (stable, high))), _) => {
                    left = format!("a transaction is open in {partition}: {stable} of {high} are stable");
                }
                (None, Some((partition, (committed, end)))) => {
                    left = format!("{partition} is committed to {committed:?} of {end}");
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    settled.await.map_err(|_| anyhow::anyhow!("{left}"))?
}
