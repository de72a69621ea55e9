//! Global tables and timers of an instance with threads and RocksDB, on the embedded broker and, if
//! `MILLSTREAM_TEST_BOOTSTRAP` names one, on a real one.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests against a real broker take real time")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millstream::broker::embedded::EmbeddedBroker;
use millstream::broker::kafka::{KafkaBroker, KafkaSettings};
use millstream::broker::{Broker, BrokerError, Isolation, NewTopic, OutRecord, Ticket, Wake};
use millstream::clock::SystemClock;
use millstream::operators::dsl::StreamsBuilder;
use millstream::operators::processor::{Outcome, Processor, ProcessorContext, Punctuation, Timer};
use millstream::operators::push::Record;
use millstream::operators::topology::Topology;
use millstream::state::model::{Headers, Position, Timestamp, TopicPartition};
use millstream::{State, Streams, StreamsConfig};
use millstream_integration_tests::support::{self, bootstrap, loader};

const PATIENCE: Duration = Duration::from_secs(90);
const PARTITIONS: i32 = 2;

fn until<T>(what: &str, poll: impl FnMut() -> Option<T>) -> T {
    support::until(PATIENCE, what, poll)
}

fn wait<T>(mut ticket: Ticket<T>) -> Result<T, BrokerError> {
    until("the answer", || ticket.poll())
}

/// Names that no other run has used.
struct Names(String);

impl Names {
    fn of(&self, what: &str) -> String {
        format!("{}-{what}", self.0)
    }
}

/// Hands a tick to `ticks` every 100 ms; no record ever comes to it.
struct Ticking;

impl Processor<String, String, String, String> for Ticking {
    fn init(&mut self, cx: &mut ProcessorContext<'_, String, String>) -> Outcome {
        cx.schedule(Duration::from_millis(100), Punctuation::WallClock);
        Ok(())
    }

    fn process(&mut self, _: &mut ProcessorContext<'_, String, String>, _: Record<'_, String, String>) -> Outcome {
        Ok(())
    }

    fn punctuate(&mut self, cx: &mut ProcessorContext<'_, String, String>, _: Timer, now: Timestamp) -> Outcome {
        cx.forward(Record::new(&"tick".to_owned(), &now.to_string(), now))
    }
}

fn topology(names: &Names) -> Topology {
    let builder = StreamsBuilder::new();
    let table = builder.global_table::<String, String>(names.of("names"));
    let codes = builder.stream::<String, String>(names.of("codes"));
    let show = |code: &String, name: Option<&String>| format!("{code}={}", name.map_or("?", |name| name));
    codes.left_join_global_table(&table, |_, code| Some(code.clone()), show).to(names.of("out"));
    builder.stream::<String, String>(names.of("nothing")).process((), |()| Ticking).to(names.of("ticks"));
    builder.build().unwrap()
}

fn write(broker: &dyn Broker, topic: &str, records: &[(i32, &str, &str)]) {
    let mut producer = loader(broker).unwrap();
    let topic: Arc<str> = topic.into();
    for (partition, key, value) in records {
        let record = OutRecord {
            topic: &topic,
            partition: *partition,
            timestamp: Some(Timestamp::from_millis(1_700_000_000_000)),
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: &Headers::new(),
        };
        until("room in the queue", || producer.produce(record).unwrap().then_some(()));
    }
    wait(producer.flush()).unwrap();
}

/// The values committed to a topic, once there are so many.
fn values(broker: &dyn Broker, topic: &str, count: usize) -> BTreeSet<String> {
    let mut fetcher = broker.fetcher(Isolation::ReadCommitted, Wake::nobody()).unwrap();
    let partitions = (0..PARTITIONS).map(|partition| TopicPartition::new(topic, partition));
    let mut queues: Vec<_> = partitions.map(|at| fetcher.assign(&at, Position::START).unwrap()).collect();
    let mut values = Vec::new();
    until("all output", || {
        for queue in &mut queues {
            while let Some(batch) = queue.drain(100).unwrap() {
                let value = |index| String::from_utf8(batch.get(index).value.unwrap_or_default().to_vec()).unwrap();
                values.extend((0..batch.len()).map(value));
            }
        }
        (values.len() >= count).then_some(())
    });
    values.into_iter().collect()
}

async fn run(broker: &Arc<dyn Broker>, names: &Names, directory: &Path) -> Streams {
    let config = StreamsConfig::new(names.of("app"), "given")
        .workers(2)
        .commit_interval(Duration::from_millis(50))
        .session_timeout(Duration::from_secs(6))
        .state_dir(directory);
    let mut streams = Streams::on(broker.clone(), topology(names), config).unwrap();
    streams.start().unwrap();
    let running = tokio::time::timeout(PATIENCE, streams.wait_for(|state| state == State::Running)).await;
    assert_eq!(running.unwrap(), State::Running);
    streams
}

async fn lives(broker: Arc<dyn Broker>, names: Names) {
    let config = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
    let topics = ["names", "codes", "out", "nothing", "ticks"].map(|what| NewTopic {
        name: names.of(what).into(),
        partitions: PARTITIONS,
        replication: None,
        config: config.clone(),
    });
    wait(broker.admin().create_topics(topics.into())).unwrap();
    let directory = tempfile::tempdir().unwrap();
    write(&*broker, &names.of("names"), &[(0, "a", "1"), (1, "b", "1"), (1, "b", "2")]);
    write(&*broker, &names.of("codes"), &[(0, "k", "b"), (1, "l", "a"), (1, "l", "c")]);
    let streams = run(&broker, &names, directory.path()).await;
    let all = |list: &[&str]| list.iter().map(|value| (*value).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(values(&*broker, &names.of("out"), 3), all(&["a=1", "b=2", "c=?"]));
    assert!(!values(&*broker, &names.of("ticks"), 3).is_empty());
    streams.shutdown().await.unwrap();
    // The same directory: the stores are free again, and what came meanwhile is read before anything else.
    write(&*broker, &names.of("names"), &[(0, "c", "3")]);
    write(&*broker, &names.of("codes"), &[(0, "k", "c"), (1, "l", "a")]);
    let streams = run(&broker, &names, directory.path()).await;
    assert_eq!(values(&*broker, &names.of("out"), 5), all(&["a=1", "b=2", "c=3", "c=?"]));
    streams.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_embedded_broker_tables_and_timers_go_on_over_a_restart() {
    lives(Arc::new(EmbeddedBroker::new(Arc::new(SystemClock::default()))), Names("globals".to_owned())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_real_broker_tables_and_timers_go_on_over_a_restart() {
    let Some(bootstrap) = bootstrap() else { return };
    let run = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    lives(Arc::new(KafkaBroker::new(KafkaSettings::new(bootstrap)).unwrap()), Names(format!("globals-{run:x}"))).await;
}
