//! The faults that only a real broker can show the truth about: what its client says when positions and topics are gone.
//!
//! Needs `MILLSTREAM_TEST_BOOTSTRAP`; without it the tests say that they were not run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream::broker::kafka::{KafkaBroker, KafkaSettings};
use millstream::broker::{Broker, Isolation, NewTopic, OutRecord, PartitionQueue, Wake};
use millstream::operators::dsl::StreamsBuilder;
use millstream::state::model::{Headers, Position, TopicPartition};
use millstream::{State, Streams, StreamsConfig};
use millstream_examples::calls::answer;
use millstream_integration_tests::support::{bootstrap, loader};

use crate::life::{LIMIT, START, assert_names};

struct Real {
    bootstrap: String,
    broker: KafkaBroker,
    app: String,
    input: Arc<str>,
    output: Arc<str>,
    directory: tempfile::TempDir,
}

impl Real {
    async fn new(name: &str) -> Option<Self> {
        let bootstrap = bootstrap()?;
        let app = format!("{name}-{:x}", std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos());
        let (input, output) = (format!("{app}-in").into(), format!("{app}-out").into());
        let broker = KafkaBroker::new(KafkaSettings::new(bootstrap.clone())).unwrap();
        let config = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
        let topic =
            |name: &Arc<str>| NewTopic { name: name.clone(), partitions: 1, replication: None, config: config.clone() };
        answer(broker.admin().create_topics(vec![topic(&input), topic(&output)])).await.unwrap();
        Some(Self { bootstrap, broker, app, input, output, directory: tempfile::tempdir().unwrap() })
    }

    /// Copies the input to the output.
    fn start(&self) -> Streams {
        let builder = StreamsBuilder::new();
        builder.stream::<String, String>(&*self.input).to(&*self.output);
        let config = StreamsConfig::new(self.app.clone(), self.bootstrap.clone())
            .workers(1)
            .commit_interval(Duration::from_millis(100))
            .session_timeout(Duration::from_secs(6))
            .state_dir(self.directory.path());
        let mut streams = Streams::new(builder.build().unwrap(), config).unwrap();
        streams.start().unwrap();
        streams
    }

    async fn write(&self, values: &[&str]) {
        let mut producer = loader(&self.broker).unwrap();
        let mut look = tokio::time::interval(Duration::from_millis(5));
        for value in values {
            let (topic, timestamp, headers) = (&self.input, Some(START), &Headers::new());
            let (key, value) = (Some(b"k".as_slice()), Some(value.as_bytes()));
            while !producer.produce(OutRecord { topic, partition: 0, timestamp, key, value, headers }).unwrap() {
                look.tick().await;
            }
        }
        answer(producer.flush()).await.unwrap();
    }

    /// Waits until the committed output is this.
    async fn output_is(&self, wanted: &[&str]) {
        let mut fetcher = self.broker.fetcher(Isolation::ReadCommitted, Wake::nobody()).unwrap();
        let mut queue = fetcher.assign(&TopicPartition::new(self.output.clone(), 0), Position::START).unwrap();
        let mut found: Vec<String> = Vec::new();
        let read = async {
            let mut look = tokio::time::interval(Duration::from_millis(20));
            while found.len() < wanted.len() {
                take(&mut *queue, &mut found);
                look.tick().await;
            }
        };
        let in_time = tokio::time::timeout(LIMIT, read).await.is_ok();
        assert!(in_time && found == wanted, "{found:?}");
    }
}

fn take(queue: &mut dyn PartitionQueue, found: &mut Vec<String>) {
    while let Some(batch) = queue.drain(1000).unwrap() {
        let text = |index| String::from_utf8(batch.get(index).value.unwrap_or_default().to_vec()).unwrap();
        found.extend((0..batch.len()).map(text));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_real_broker_a_position_that_was_deleted_is_followed_by_the_oldest_record() {
    let Some(real) = Real::new("deleted-position").await else { return };
    let streams = real.start();
    real.write(&["a", "b"]).await;
    real.output_is(&["a", "b"]).await;
    streams.shutdown().await.unwrap();
    real.write(&["c", "d", "e"]).await;
    let before = vec![(TopicPartition::new(real.input.clone(), 0), Position::new(4))];
    answer(real.broker.admin().delete_records(before)).await.unwrap();
    let streams = real.start();
    real.output_is(&["a", "b", "e"]).await;
    real.write(&["f"]).await;
    real.output_is(&["a", "b", "e", "f"]).await;
    streams.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_real_broker_a_source_topic_deleted_under_the_application_is_named() {
    let Some(real) = Real::new("deleted-source").await else { return };
    let mut streams = real.start();
    real.write(&["a"]).await;
    real.output_is(&["a"]).await;
    answer(real.broker.admin().delete_topics(vec![real.input.clone()])).await.unwrap();
    let error = tokio::time::timeout(LIMIT, streams.join()).await.unwrap().unwrap_err().to_string();
    assert_names(&error, &[&format!("source topic {} does not exist any more", real.input)]);
    assert_eq!(streams.state(), State::Error);
}
