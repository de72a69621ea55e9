//! What an instance on a slow broker has come to, and the input that it is slow with.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const TIMEOUT: Duration = Duration::from_secs(30);
const PARTITIONS: i32 = 4;

/// An application's group, asked from outside.
pub struct Group {
    client: BaseConsumer,
    input: String,
}

impl Group {
    /// The group of this application, which reads `APP-in`.
    ///
    /// # Errors
    /// If no client can be made.
    pub fn new(bootstrap: &str, app: &str) -> Result<Self> {
        let mut config = ClientConfig::new();
        let client = config.set("bootstrap.servers", bootstrap).set("group.id", app).create()?;
        Ok(Self { client, input: format!("{app}-in") })
    }

    /// How many records it has committed.
    ///
    /// # Errors
    /// If an offset is invalid, which none is.
    pub fn committed(&self) -> Result<u64> {
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition_offset(&self.input, partition, Offset::Beginning)?;
        }
        // A slow broker may not answer in time, and need not know the group yet.
        let Ok(committed) = self.client.committed_offsets(list, TIMEOUT) else { return Ok(0) };
        let elements = committed.elements();
        let offsets = elements.iter().map(|element| match element.offset() {
            Offset::Offset(offset) => offset as u64,
            _ => 0,
        });
        Ok(offsets.sum())
    }
}

/// Makes `APP-in` and `APP-out`, and fills the first with records of 1,000 bytes, each with a key of its own.
///
/// # Errors
/// If the broker does not take them.
pub async fn fill(bootstrap: &str, app: &str, records: u64) -> Result<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let names = [format!("{app}-in"), format!("{app}-out")];
    let topics = names.each_ref().map(|name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1)));
    for made in admin.create_topics(&topics, &AdminOptions::new().operation_timeout(Some(TIMEOUT))).await? {
        made.map_err(|(name, code)| anyhow::anyhow!("creating {name}: {code}"))?;
    }
    let producer: BaseProducer =
        config.set("linger.ms", "20").set("queue.buffering.max.messages", "1000000").create()?;
    let value = vec![b'v'; 1_000];
    for record in 0..records {
        let key = format!("key-{record:08}");
        let sent = producer.send(BaseRecord::to(&names[0]).key(&key).payload(&value));
        sent.map_err(|(error, _)| error).context("filling the input")?;
    }
    Ok(producer.flush(TIMEOUT)?)
}
