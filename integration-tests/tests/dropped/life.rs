//! An application on a real broker that commits only when it has to, and an instance of it that is stepped by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream::StreamsConfig;
use millstream::broker::kafka::{KafkaBroker, KafkaSettings};
use millstream::broker::{Broker, Isolation, NewTopic, OutRecord, ProducerSettings, Wake};
use millstream::clock::{Clock as _, SystemClock};
use millstream::config::Guarantee;
use millstream::instance::{Instance, Parts, State, Who};
use millstream::operators::dsl::{Materialized, StreamsBuilder};
use millstream::operators::topology::Topology;
use millstream::state::engine::{RocksSettings, RocksStorage};
use millstream::state::model::{Headers, Position, Timestamp, TopicPartition};
use millstream::task::Now;
use millstream::worker::Step;
use millstream_integration_tests::support::{answer, built, loader, until};

use crate::PATIENCE;

const PARTITIONS: i32 = 2;

/// Long enough to process something first.
pub(crate) const COMMIT_INTERVAL: Duration = Duration::from_secs(2);

/// Longer than a test takes.
const NEVER: Duration = Duration::from_secs(600);

/// A name, the topics that belong to it, and where they are.
#[derive(Clone)]
pub(crate) struct Application {
    address: String,
    id: String,
    panics: bool,
    /// With which guarantee it commits every [`COMMIT_INTERVAL`]; else it commits when it is stopped.
    commits: Option<Guarantee>,
}

impl Application {
    pub(crate) fn new(address: &str, name: &str) -> Self {
        let id = format!("dropped-{name}-{:x}", std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos());
        let app = Self { address: address.to_owned(), id, panics: false, commits: None };
        let topic = |end: &str| NewTopic {
            name: app.topic(end),
            partitions: PARTITIONS,
            replication: None,
            // The records are from 2023.
            config: BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]),
        };
        answer(app.broker().admin().create_topics(vec![topic("in"), topic("out")])).unwrap();
        app
    }

    /// The same, seen from elsewhere.
    pub(crate) fn behind(&self, address: &str) -> Self {
        Self { address: address.to_owned(), ..self.clone() }
    }

    pub(crate) fn that_panics(self) -> Self {
        Self { panics: true, ..self }
    }

    pub(crate) fn committing(self, guarantee: Guarantee) -> Self {
        Self { commits: Some(guarantee), ..self }
    }

    pub(crate) fn broker(&self) -> KafkaBroker {
        KafkaBroker::new(KafkaSettings::new(&self.address)).unwrap()
    }

    fn topic(&self, end: &str) -> Arc<str> {
        format!("{}-{end}", self.id).into()
    }

    fn places(&self, end: &str) -> Vec<TopicPartition> {
        let topic = self.topic(end);
        (0..PARTITIONS).map(|partition| TopicPartition::new(topic.clone(), partition)).collect()
    }

    pub(crate) fn topology(&self) -> Topology {
        let builder = StreamsBuilder::new();
        let panics = self.panics;
        let inputs = builder.stream::<String, String>(&*self.topic("in"));
        let inputs = inputs.peek(move |_, _| assert!(!panics, "as the test wants it"));
        let counts = inputs.group_by_key().count(Materialized::named("counts").caching(false));
        counts.to_stream().to(&*self.topic("out"));
        built(&builder)
    }

    pub(crate) fn config(&self) -> StreamsConfig {
        let never = Guarantee::ExactlyOnce { transaction_timeout: NEVER };
        StreamsConfig::new(&self.id, &self.address)
            .processing_guarantee(self.commits.unwrap_or(never))
            .commit_interval(if self.commits.is_some() { COMMIT_INTERVAL } else { NEVER / 2 })
            .session_timeout(Duration::from_secs(6))
            .workers(2)
    }

    /// Calls of both kinds: rdkafka's and those that are made here.
    pub(crate) fn calls(&self, broker: &KafkaBroker) -> impl Send + use<> {
        let admin = broker.admin();
        let delete = self.places("in").into_iter().map(|place| (place, Position::START)).collect();
        (
            admin.end_positions(self.places("in"), Isolation::ReadCommitted),
            admin.committed(&self.id, self.places("in")),
            admin.describe_topics(vec![self.topic("in")]),
            admin.delete_records(delete),
        )
    }

    /// Writes inputs.
    pub(crate) fn load(&self, count: i64) {
        let mut loader = loader(&self.broker()).unwrap();
        let topic = self.topic("in");
        for number in 0..count {
            let record = OutRecord {
                topic: &topic,
                partition: (number % i64::from(PARTITIONS)) as i32,
                timestamp: Some(Timestamp::from_millis(1_700_000_000_000)),
                key: Some(b"key"),
                value: Some(b"value"),
                headers: &Headers::new(),
            };
            until(PATIENCE, "room for a record", || loader.produce(record).unwrap().then_some(()));
        }
        answer(loader.flush()).unwrap();
    }

    /// What was written is in transactions that nobody has committed: once they are aborted, as by the next start, there is
    /// nothing to be read.
    pub(crate) fn assert_nothing_committed(&self) {
        let broker = self.broker();
        let committed = answer(broker.admin().committed(&self.id, self.places("in"))).unwrap();
        assert_eq!(committed.len(), 2);
        assert!(committed.iter().all(Option::is_none), "{committed:?}");
        for worker in 0..2 {
            let id = format!("{}-a-{worker}", self.id);
            let settings =
                ProducerSettings { client_id: id.clone(), transactional_id: Some(id), transaction_timeout: NEVER };
            answer(broker.producer(settings, Wake::nobody()).unwrap().init()).unwrap();
        }
        let places = self.places("out");
        let ends = answer(broker.admin().end_positions(places.clone(), Isolation::ReadUncommitted)).unwrap();
        assert!(ends.iter().any(|end| *end > Position::START), "{ends:?}");
        let mut fetcher = broker.fetcher(Isolation::ReadCommitted, Wake::nobody()).unwrap();
        for (place, end) in places.iter().zip(ends) {
            let mut queue = fetcher.assign(place, Position::START).unwrap();
            until(PATIENCE, "the end of the output", || {
                assert!(queue.drain(1000).unwrap().is_none(), "{place} has a committed record");
                (queue.position() >= end).then_some(())
            });
        }
    }
}

/// An instance, with its disk.
pub(crate) struct Life {
    instance: Instance,
    app: Application,
    broker: Arc<dyn Broker>,
    clock: SystemClock,
    _disk: tempfile::TempDir,
}

impl Life {
    pub(crate) fn new(app: &Application) -> Self {
        let broker: Arc<dyn Broker> = Arc::new(app.broker());
        let disk = tempfile::tempdir().unwrap();
        let config = app.config();
        let parts = Parts {
            topology: Arc::new(app.topology()),
            storage: Arc::new(RocksStorage::new(disk.path(), &RocksSettings::default())),
            who: Who { name: "a".into(), workers_ever: config.workers, nonce: 1 },
            broker: broker.clone(),
            config,
        };
        let instance = Instance::new(&parts, &Wake::current_thread()).unwrap();
        Self { instance, app: app.clone(), broker, clock: SystemClock::default(), _disk: disk }
    }

    /// Steps until it is as wanted.
    fn step_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        until(PATIENCE, what, || {
            let now = Now { monotonic: self.clock.monotonic(), wall: self.clock.wall() };
            while self.instance.step(now) == Step::Progress {}
            done(self).then_some(())
        });
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, time: Duration) {
        let begun = self.clock.monotonic();
        self.step_until("a later time", |life| life.clock.monotonic().since(begun) >= time);
    }

    pub(crate) fn run(&mut self) {
        self.step_until("a running instance", |life| life.instance.state() == State::Running);
    }

    /// Lets it process records, and write what comes of them; it does not commit.
    pub(crate) fn process(&mut self, count: i64) {
        self.app.load(count);
        let admin = self.broker.admin();
        let places = self.app.places("out");
        let ask = || admin.end_positions(places.clone(), Isolation::ReadUncommitted);
        let mut asked = ask();
        self.step_until("an output for every record", |_| {
            let Some(ends) = asked.poll() else { return false };
            let written: i64 = ends.unwrap().iter().map(|end| end.number()).sum();
            let all = written == count;
            if !all {
                asked = ask();
            }
            all
        });
    }
}
