//! Windows that wait to be closed, through the end of one process and the start of another: on its own disk, and on an
//! empty one, from changelogs alone.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a helper fails the test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream::broker::embedded::EmbeddedBroker;
use millstream::broker::{Broker, Isolation, NewTopic, OutRecord};
use millstream::prelude::*;
use millstream::state::model::TopicPartition;
use millstream::testing::{TestConfig, TopologyTestDriver};
use millstream_integration_tests::sim::{Plan, START, Simulation};
use millstream_integration_tests::support::loader;

const LIMIT: Duration = Duration::from_secs(120);
const APP: &str = "closing";
const INPUTS: i64 = 60;

/// Counts per ten seconds, held back by a suppression and by the aggregation itself, and sessions likewise.
fn topology() -> Topology {
    let settings = TopologySettings { window_close_emit_interval: Duration::ZERO, ..TopologySettings::default() };
    let builder = StreamsBuilder::with_settings(settings);
    let events = builder.stream::<String, String>("in").group_by_key();
    let windows = TimeWindows::of_size_and_grace(Duration::from_secs(10), Duration::from_secs(5));
    let sessions = SessionWindows::of_inactivity_gap_and_grace(Duration::from_secs(3), Duration::from_secs(2));
    let label = |key: &Windowed<String>, _: &Option<i64>| format!("{}@{}", key.key, key.window.start);
    let counts = events.windowed_by(windows).count(Materialized::named("held"));
    let closed = Suppressed::until_window_closes(BufferConfig::unbounded()).name("hold");
    counts.suppress(closed).to_stream_with_key(label).to("suppressed");
    let closing = events.windowed_by(windows).emit_strategy(EmitStrategy::OnWindowClose);
    closing.count(Materialized::named("windows")).to_stream_with_key(label).to("windows");
    let closing = events.windowed_by(sessions).emit_strategy(EmitStrategy::OnWindowClose);
    closing.count(Materialized::named("sessions")).to_stream_with_key(label).to("sessions");
    builder.build().unwrap()
}

/// The `index`th input: key, value, timestamp, with disorder, pauses and a jump over everything that waits.
fn input(index: i64) -> (String, String, Timestamp) {
    let jump = if index >= 40 { 10_000_000 } else { 0 };
    let time = START.millis() + jump + index * 1_700 - (index % 4) * 1_100;
    (format!("k{}", index % 3), format!("v{index}"), Timestamp::from_millis(time))
}

fn produce(broker: &EmbeddedBroker, numbers: std::ops::Range<i64>) {
    let mut producer = loader(broker).unwrap();
    let topic: Arc<str> = "in".into();
    for (key, value, timestamp) in numbers.map(input) {
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        let headers = &Headers::new();
        let record = OutRecord { topic: &topic, partition: 0, timestamp: Some(timestamp), key, value, headers };
        assert!(producer.produce(record).unwrap());
    }
    assert!(matches!(producer.flush().poll(), Some(Ok(()))));
}

fn all_committed(broker: &EmbeddedBroker) -> bool {
    let end = broker.end("in", 0, Isolation::ReadUncommitted).unwrap();
    let committed = broker.group_offsets(APP);
    committed.get(&TopicPartition::new("in", 0)).is_some_and(|committed| committed.position >= end)
        && broker.open_transactions().is_empty()
}

/// What came of each window, by topic; each window must have come once.
type Closed = BTreeMap<(&'static str, Vec<u8>), Vec<u8>>;

fn closed(topic: &'static str, records: impl Iterator<Item = (Vec<u8>, Vec<u8>)>, all: &mut Closed) {
    for (key, value) in records {
        let shown = String::from_utf8_lossy(&key).into_owned();
        assert!(all.insert((topic, key), value).is_none(), "{topic}: {shown} came twice");
    }
}

const TOPICS: [&str; 3] = ["suppressed", "windows", "sessions"];

/// What the test driver makes of the same inputs.
fn expected() -> Closed {
    let driver = TopologyTestDriver::new(topology(), TestConfig::default()).unwrap();
    let mut inlet = driver.input_topic::<String, String>("in");
    for (key, value, timestamp) in (0..INPUTS).map(input) {
        inlet.pipe_at(key, value, timestamp).unwrap();
    }
    let mut all = Closed::new();
    for topic in TOPICS {
        let written = driver.written(topic).into_iter();
        closed(topic, written.map(|it| (it.key.unwrap(), it.value.unwrap())), &mut all);
    }
    all
}

fn survives(restart: impl Fn(&mut Simulation, usize) -> usize) {
    let config = StreamsConfig::new(APP, "simulated")
        .workers(1)
        .commit_interval(Duration::from_millis(50))
        .session_timeout(Duration::from_secs(6))
        .startup_timeout(Duration::from_secs(20));
    let mut sim = Simulation::new(topology(), config);
    let topic = |name: &str| NewTopic {
        name: name.into(),
        partitions: 1,
        replication: None,
        config: BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]),
    };
    let topics = ["in", "suppressed", "windows", "sessions"].map(topic);
    assert!(matches!(sim.broker.admin().create_topics(topics.into()).poll(), Some(Ok(_))));
    let mut process = sim.start("a", Plan::Nothing);
    for part in [0..17, 17..33, 33..INPUTS] {
        produce(&sim.broker, part);
        assert!(sim.run_until(LIMIT, |sim| all_committed(&sim.broker)), "{:?}", sim.error(process));
        process = restart(&mut sim, process);
    }
    let mut all = Closed::new();
    for topic in TOPICS {
        let log = sim.broker.read_log(topic, 0, Isolation::ReadCommitted).unwrap().into_iter();
        closed(topic, log.map(|it| (it.key.unwrap().to_vec(), it.value.unwrap().to_vec())), &mut all);
    }
    assert_eq!(all, expected());
}

#[test]
fn what_waits_to_be_closed_survives_a_kill_with_its_disk() {
    survives(|sim, process| {
        sim.kill(process);
        sim.restart(process);
        process
    });
}

#[test]
fn what_waits_to_be_closed_is_restored_by_another_process_from_changelogs() {
    let names = ["b", "c", "d"];
    let next = std::cell::Cell::new(0);
    survives(|sim, process| {
        sim.kill(process);
        next.set(next.get() + 1);
        sim.start(names[next.get() - 1], Plan::Nothing)
    });
}
