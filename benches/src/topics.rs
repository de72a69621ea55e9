//! Topics that are made for a run and deleted after it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::runtime::Runtime;

use crate::restart::watch::{Stopwatch, pause};

const TIMEOUT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(10);

/// The topics whose names begin with a prefix of this run's own; all of them are deleted in the end.
pub struct Topics {
    admin: AdminClient<DefaultClientContext>,
    runtime: Runtime,
    bootstrap: String,
    prefix: String,
}

impl Topics {
    /// Takes a prefix that no other run has.
    ///
    /// # Errors
    /// If no client can be made.
    pub fn new(bootstrap: &str, prefix: String) -> Result<Self> {
        let admin = ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { admin, runtime, bootstrap: bootstrap.to_owned(), prefix })
    }

    /// Makes a topic and answers its full name.
    ///
    /// # Errors
    /// If the broker refuses.
    pub fn create(&self, name: &str, partitions: i32) -> Result<String> {
        let name = format!("{}-{name}", self.prefix);
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        let made = self.runtime.block_on(self.admin.create_topics([&topic], &options))?;
        for result in made {
            if let Err((name, code)) = result {
                bail!("creating topic {name}: {code}");
            }
        }
        self.wait_for(&name, partitions)?;
        Ok(name)
    }

    /// How many partitions a topic has.
    ///
    /// # Errors
    /// If the broker does not tell.
    pub fn partitions(&self, topic: &str) -> Result<i32> {
        let metadata = self.admin.inner().fetch_metadata(Some(topic), TIMEOUT).context("describing a topic")?;
        Ok(metadata.topics().first().map_or(0, |topic| topic.partitions().len() as i32))
    }

    /// The controller made the topic; the broker that clients ask may hear of it later.
    fn wait_for(&self, name: &str, partitions: i32) -> Result<()> {
        let began = Stopwatch::start();
        loop {
            let metadata = self.admin.inner().fetch_metadata(Some(name), TIMEOUT).context("describing topics")?;
            let found = metadata.topics().iter().flat_map(|topic| topic.partitions());
            if found.filter(|partition| partition.leader() >= 0).count() == partitions as usize {
                return Ok(());
            }
            ensure!(began.elapsed() < TIMEOUT, "topic {name} was made, but has no leaders after {TIMEOUT:?}");
            pause(LOOK);
        }
    }

    /// The name that a run's group, producer and internal topics begin with.
    pub fn name(&self, rest: &str) -> String {
        format!("{}-{rest}", self.prefix)
    }

    /// Deletes every topic whose name begins with `name`, and the group of that name.
    ///
    /// # Errors
    /// If the broker does not say which topics there are.
    pub fn delete(&self, name: &str) -> Result<()> {
        let metadata = self.admin.inner().fetch_metadata(None, TIMEOUT).context("listing topics")?;
        let ours: Vec<&str> =
            metadata.topics().iter().map(|t| t.name()).filter(|topic| topic.starts_with(name)).collect();
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        if !ours.is_empty() {
            self.runtime.block_on(self.admin.delete_topics(&ours, &options))?;
        }
        // There need not be one.
        let _ = self.runtime.block_on(self.admin.delete_groups(&[name], &options));
        Ok(())
    }

    /// The broker's address.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        if let Err(error) = self.delete(&self.prefix) {
            eprintln!("topics {}… are left behind: {error}", self.prefix);
        }
    }
}

/// A consumer's settings for reading to an end, without a group's membership.
pub fn reader(bootstrap: &str, group: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", group).set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false").set("isolation.level", "read_committed");
    config.set("fetch.queue.backoff.ms", "50").set("check.crcs", "false");
    config
}

/// The end of each partition of a topic.
///
/// # Errors
/// If the broker does not tell.
pub fn ends(consumer: &BaseConsumer, topic: &str) -> Result<Vec<i64>> {
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len() as i32);
    (0..partitions).map(|partition| Ok(consumer.fetch_watermarks(topic, partition, TIMEOUT)?.1)).collect()
}

/// All partitions of a topic at their beginning.
///
/// # Errors
/// Never, with valid offsets.
pub fn from_the_start(topic: &str, partitions: usize) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions as i32 {
        list.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    Ok(list)
}

/// What a group must have committed for its work to be done.
#[derive(Default)]
pub struct Wanted {
    positions: Vec<(String, i32, i64)>,
}

impl Wanted {
    /// The present ends of a topic's partitions, less `markers` offsets that hold no record.
    ///
    /// # Errors
    /// If the broker does not tell.
    pub fn add(&mut self, consumer: &BaseConsumer, topic: &str, markers: i64) -> Result<()> {
        let ends = ends(consumer, topic)?.into_iter().enumerate();
        let wanted = ends.map(|(partition, end)| (topic.to_owned(), partition as i32, end - markers));
        self.positions.extend(wanted.filter(|(_, _, end)| *end > 0));
        Ok(())
    }

    /// Whether the client's group has committed all that.
    ///
    /// # Errors
    /// If an offset is invalid, which none is.
    pub fn is_committed(&self, group: &BaseConsumer) -> Result<bool> {
        let mut list = TopicPartitionList::new();
        for (topic, partition, _) in &self.positions {
            list.add_partition_offset(topic, *partition, Offset::Beginning)?;
        }
        // The broker may not know a group that nobody has joined yet.
        let Ok(committed) = group.committed_offsets(list, TIMEOUT) else { return Ok(false) };
        Ok(self.positions.iter().all(|(topic, partition, end)| {
            let found = committed.find_partition(topic, *partition).map(|element| element.offset());
            matches!(found, Some(Offset::Offset(offset)) if offset >= *end)
        }))
    }
}

/// The repartition topics of an application.
///
/// # Errors
/// If the broker does not say which topics there are.
pub fn repartition_topics(consumer: &BaseConsumer, application: &str) -> Result<Vec<String>> {
    let metadata = consumer.fetch_metadata(None, TIMEOUT)?;
    let names = metadata.topics().iter().map(|topic| topic.name());
    let ours = names.filter(|name| name.starts_with(application) && name.ends_with("-repartition"));
    Ok(ours.map(str::to_owned).collect())
}
