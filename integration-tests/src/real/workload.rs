//! The workload: counters, and windowed counts behind a repartition topic, whose results are known without running them.
//!
//! ```text
//!   in ──┬── count per key ─────────────────────────▶ counts     1, 2, 3, … for each key
//!        └── by bucket ▶ repartition ▶ per window ──▶ windows    1, 2, 3, … for each bucket and window
//! ```
//! Nothing is cached, so that every single count is written: a loss, a duplicate or a swap shows in the output itself.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use millstream::StreamsConfig;
use millstream::broker::Broker;
use millstream::config::ExactlyOnce;
use millstream::operators::dsl::{Materialized, StreamsBuilder, TimeWindows};
use millstream::operators::topology::Topology;
use millstream_examples::topics;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

/// The length of a window in milliseconds.
pub const WINDOW: i64 = 10_000;

/// How long a load may take to be acknowledged.
const PATIENCE: Duration = Duration::from_secs(300);

/// A run of the workload: its names and its inputs.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The application id; topics begin with it.
    pub app: String,
    /// How many partitions each topic has.
    pub partitions: i32,
    /// How many keys there are.
    pub keys: u64,
    /// How many buckets there are.
    pub buckets: u64,
    /// The time of the first input, in milliseconds; each further one is a millisecond later.
    pub base: i64,
}

/// The right results: how often each key counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// By key.
    pub counts: HashMap<String, i64>,
    /// By bucket and start of the window, as `bucket@start`.
    pub windows: HashMap<String, i64>,
}

/// Spreads numbers, so that neighbours have nothing in common.
fn mixed(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Workload {
    /// The input topic.
    pub fn input(&self) -> String {
        format!("{}.in", self.app)
    }

    /// The output topics: counts and windows.
    pub fn outputs(&self) -> [String; 2] {
        [format!("{}.counts", self.app), format!("{}.windows", self.app)]
    }

    /// The changelogs of both stores.
    pub fn changelogs(&self) -> [String; 2] {
        [format!("{}-counts-changelog", self.app), format!("{}-windows-changelog", self.app)]
    }

    /// The repartition topic.
    pub fn repartition(&self) -> String {
        format!("{}-buckets-repartition", self.app)
    }

    /// The `number`th input: key, bucket, time.
    pub fn record(&self, number: u64) -> (String, String, i64) {
        let chance = mixed(number);
        let (key, bucket) = (chance % self.keys, (chance >> 32) % self.buckets);
        (format!("k{key}"), format!("b{bucket}"), self.base + number as i64)
    }

    /// Counts an input.
    pub fn note_expected(&self, number: u64, expected: &mut Expected) {
        let (key, bucket, time) = self.record(number);
        *expected.counts.entry(key).or_default() += 1;
        *expected.windows.entry(format!("{bucket}@{}", time - time.rem_euclid(WINDOW))).or_default() += 1;
    }

    /// What is to be counted.
    ///
    /// # Errors
    /// If the topology does not build.
    pub fn topology(&self) -> anyhow::Result<Topology> {
        use millstream::operators::dsl::Grouped;
        let builder = StreamsBuilder::new();
        let [counts, windows] = self.outputs();
        let inputs = builder.stream::<String, String>(self.input());
        inputs.group_by_key().count(Materialized::named("counts").caching(false)).to_stream().to(counts);
        // A day of grace: nothing is late, however long a process was away.
        let by_time = TimeWindows::of_size_and_grace(Duration::from_millis(WINDOW as u64), Duration::from_secs(86_400));
        inputs
            .group_by_with(|_, bucket: &String| bucket.clone(), Grouped::named("buckets"))
            .windowed_by(by_time)
            .count(Materialized::named("windows").caching(false))
            .to_stream_with_key(|key, _| format!("{}@{}", key.key, key.window.start))
            .to(windows);
        Ok(builder.build()?)
    }

    /// How an instance is set: exactly-once, a commit every 100 ms, short sessions.
    pub fn config(&self, bootstrap: &str, state: &Path) -> StreamsConfig {
        StreamsConfig::new(&self.app, bootstrap)
            .processing_guarantee(ExactlyOnce)
            .commit_interval(Duration::from_millis(100))
            .session_timeout(Duration::from_secs(6))
            .workers(1)
            .state_dir(state)
    }

    /// Creates the topics that a user would have created.
    ///
    /// # Errors
    /// If the broker refuses.
    pub async fn create_topics(&self, broker: &dyn Broker) -> anyhow::Result<()> {
        let [counts, windows] = self.outputs();
        let forever = [("retention.ms", "-1")];
        let wanted = [self.input(), counts, windows].map(|name| topics::topic(name, self.partitions, &forever));
        topics::create(&*broker.admin(), wanted.into()).await
    }
}

/// Writes inputs.
pub struct Loader {
    workload: Workload,
    producer: BaseProducer,
    /// The number of the next input.
    pub next: u64,
    /// What must come of those written.
    pub expected: Expected,
}

impl Loader {
    /// A loader that goes straight to the brokers.
    ///
    /// # Errors
    /// If the client cannot be made.
    pub fn new(workload: &Workload, bootstrap: &str) -> anyhow::Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            // Nothing is written twice or left out, whatever happens to the brokers.
            .set("message.timeout.ms", PATIENCE.as_millis().to_string())
            .set("linger.ms", "10")
            .create()?;
        Ok(Self { workload: workload.clone(), producer, next: 0, expected: Expected::default() })
    }

    /// Hands the next inputs to the client.
    ///
    /// # Errors
    /// If the client refuses one.
    pub fn send(&mut self, count: u64) -> anyhow::Result<()> {
        let topic = self.workload.input();
        for number in self.next..self.next + count {
            let (key, bucket, time) = self.workload.record(number);
            let partition = millstream::partitioner::partition_of(key.as_bytes(), self.workload.partitions);
            loop {
                let record = BaseRecord::to(&topic).key(&key).payload(&bucket).timestamp(time).partition(partition);
                match self.producer.send(record) {
                    Ok(()) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                        self.producer.poll(Duration::from_millis(10));
                    }
                    Err((error, _)) => return Err(error).context("writing an input"),
                }
            }
            self.workload.note_expected(number, &mut self.expected);
        }
        self.next += count;
        self.producer.poll(Duration::ZERO);
        Ok(())
    }

    /// Waits until all are acknowledged.
    ///
    /// # Errors
    /// If they are not.
    pub fn flush(&self) -> anyhow::Result<()> {
        self.producer.flush(PATIENCE).context("inputs were not acknowledged")
    }
}

impl Expected {
    /// How many outputs there must be in each of the two topics.
    pub fn totals(&self) -> [i64; 2] {
        [self.counts.values().sum(), self.windows.values().sum()]
    }

    /// The same as sorted maps, for comparing and showing.
    pub fn sorted(&self) -> [BTreeMap<&str, i64>; 2] {
        [&self.counts, &self.windows].map(|map| map.iter().map(|(key, count)| (key.as_str(), *count)).collect())
    }
}
