//! The broker, as the tests see it: topics, input, how far the application is, what is in the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use millstream::broker::kafka::{KafkaBroker, KafkaSettings};
use millstream::broker::{Broker, Isolation, NewTopic, OutRecord};
use millstream::partitioner::partition_of;
use millstream::state::model::{Headers, RawRecord, Timestamp};
use millstream_examples::calls::{answer, ask};
use millstream_examples::drained::{Drained, Status};
use millstream_examples::outputs;
use millstream_integration_tests::support::{bootstrap, loader};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::application::Application;
use crate::input::{PARTITIONS, Record};

/// How long anything may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// How often it is looked for.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

const SOURCES: [&str; 5] = ["clicks", "views", "profiles", "regions", "prices"];
/// Upstream first.
const INTERNAL: [&str; 3] =
    ["homes-subscription-registration-topic", "homes-subscription-response-topic", "by-bucket-repartition"];
const OUTPUTS: [&str; 9] = ["counts", "windowed", "closed", "sessions", "sums", "enriched", "priced", "pairs", "homes"];
/// Every record of the clicks makes one of these.
const SURE: &str = "counts";

/// The broker and the topics of one application on it.
pub(crate) struct Cluster {
    pub(crate) bootstrap: String,
    pub(crate) application: String,
    broker: KafkaBroker,
    /// Asks what the seam does not tell: all topics, and groups.
    client: BaseConsumer,
}

impl Cluster {
    /// A new application with its topics.
    pub(crate) async fn new(name: &str) -> Option<Self> {
        let bootstrap = bootstrap()?;
        let application = format!("{name}-{:x}", std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos());
        let broker = KafkaBroker::new(KafkaSettings::new(bootstrap.clone())).unwrap();
        let client =
            ClientConfig::new().set("bootstrap.servers", &bootstrap).set("group.id", "looks").create().unwrap();
        let topic = |name: &&str| NewTopic {
            name: format!("{application}-{name}").into(),
            // A foreign key needs no equal counts.
            partitions: if *name == "regions" { 2 } else { PARTITIONS },
            replication: None,
            config: BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]),
        };
        let topics = SOURCES.iter().chain(&OUTPUTS).map(topic).collect();
        answer(broker.admin().create_topics(topics)).await.unwrap();
        Some(Self { bootstrap, application, broker, client })
    }

    fn topic(&self, name: &str) -> Arc<str> {
        format!("{}-{name}", self.application).into()
    }

    /// Writes records, each with the partition that a Java producer would choose.
    pub(crate) async fn write(&self, records: &[Record]) {
        let mut producer = loader(&self.broker).unwrap();
        let mut look = tokio::time::interval(Duration::from_millis(5));
        let headers = Headers::new();
        for record in records {
            let (topic, value) = (self.topic(record.topic), record.bytes());
            let partitions = if record.topic == "regions" { 2 } else { PARTITIONS };
            let out = || OutRecord {
                topic: &topic,
                partition: partition_of(record.key.as_bytes(), partitions),
                timestamp: Some(Timestamp::from_millis(record.timestamp)),
                key: Some(record.key.as_bytes()),
                value: value.as_deref(),
                headers: &headers,
            };
            while !producer.produce(out()).unwrap() {
                look.tick().await;
            }
        }
        answer(producer.flush()).await.unwrap();
    }

    /// Waits until everything is processed and committed.
    pub(crate) async fn until_drained(&self, application: &mut Application) {
        let topics = |names: &[&str]| names.iter().map(|name| self.topic(name)).collect::<Vec<_>>();
        let inputs = [topics(&SOURCES), topics(&INTERNAL)].concat();
        let drained = Drained { group: self.application.clone(), inputs, outputs: topics(&OUTPUTS) };
        let wait = async {
            let mut look = tokio::time::interval(LOOK);
            loop {
                look.tick().await;
                application.check_alive();
                if drained.check(&self.broker).await.unwrap() == Status::Drained {
                    return;
                }
            }
        };
        assert!(tokio::time::timeout(LIMIT, wait).await.is_ok(), "not everything is processed in time");
    }

    /// Whether the group has no members.
    pub(crate) fn group_is_empty(&self) -> bool {
        let groups = self.client.fetch_group_list(Some(self.application.as_str()), LIMIT).unwrap();
        groups.groups().iter().all(|group| group.members().is_empty())
    }

    /// Waits until that is so.
    pub(crate) async fn until_group_is_empty(&self) {
        let wait = async {
            let mut look = tokio::time::interval(LOOK);
            loop {
                look.tick().await;
                if self.group_is_empty() {
                    return;
                }
            }
        };
        assert!(tokio::time::timeout(LIMIT, wait).await.is_ok(), "members stay in the group");
    }

    /// Whether the output has records of a transaction that is neither committed nor aborted.
    pub(crate) async fn has_open_transaction(&self) -> bool {
        let partitions = outputs::partitions(&self.broker, &self.topic(SURE)).await.unwrap();
        let admin = self.broker.admin();
        // In this order: what is stable later than the end was read covers it.
        let ends = ask(|| admin.end_positions(partitions.clone(), Isolation::ReadUncommitted)).await.unwrap();
        let stable = ask(|| admin.end_positions(partitions.clone(), Isolation::ReadCommitted)).await.unwrap();
        stable.iter().zip(&ends).any(|(stable, end)| stable < end)
    }

    pub(crate) async fn until_a_transaction_is_open(&self, application: &mut Application) {
        self.until_transaction_is(true, application).await;
    }

    pub(crate) async fn until_no_transaction_is_open(&self, application: &mut Application) {
        self.until_transaction_is(false, application).await;
    }

    async fn until_transaction_is(&self, open: bool, application: &mut Application) {
        let wait = async {
            let mut look = tokio::time::interval(Duration::from_millis(5));
            while self.has_open_transaction().await != open {
                application.check_alive();
                look.tick().await;
            }
        };
        assert!(tokio::time::timeout(LIMIT, wait).await.is_ok(), "waited for open transactions: {open}");
    }

    /// Changelogs, repartition topics and those of the foreign-key join, without the application's name.
    pub(crate) fn internal_topics(&self) -> BTreeSet<String> {
        let metadata = self.client.fetch_metadata(None, LIMIT).unwrap();
        let prefix = format!("{}-", self.application);
        let names = metadata.topics().iter().filter_map(|topic| topic.name().strip_prefix(&prefix));
        let users = |name: &&str| SOURCES.contains(name) || OUTPUTS.contains(name);
        names.filter(|name| !users(name)).map(str::to_owned).collect()
    }

    /// Hands each committed record of a topic to `each`, in order within each partition.
    pub(crate) async fn read(&self, topic: &str, mut each: impl FnMut(&RawRecord<'_>)) {
        outputs::read(&self.broker, &self.topic(topic), |_, record| each(record)).await.unwrap();
    }
}
