//! Bad input: each gives one clear error that names what is wrong, and loses nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a helper fails the test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream::broker::embedded::EmbeddedBroker;
use millstream::broker::{Broker, Isolation, NewTopic, OutRecord};
use millstream::clock::SystemClock;
use millstream::operators::dsl::{Materialized, StreamsBuilder};
use millstream::operators::topology::Topology;
use millstream::state::engine::Fault;
use millstream::state::model::{Headers, TopicPartition};
use millstream::task::DeserializationHandler;
use millstream::{State, Streams, StreamsConfig};
use millstream_integration_tests::sim::{Plan, START, Simulation, ledger};
use millstream_integration_tests::support::loader;

const LIMIT: Duration = Duration::from_secs(60);

fn create(broker: &EmbeddedBroker, name: &str, partitions: i32) {
    let config = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
    let topic = NewTopic { name: name.into(), partitions, replication: None, config };
    assert!(matches!(broker.admin().create_topics(vec![topic]).poll(), Some(Ok(_))));
}

fn write(broker: &EmbeddedBroker, topic: &str, values: &[&[u8]]) {
    let mut producer = loader(broker).unwrap();
    let topic: Arc<str> = topic.into();
    for value in values {
        let record = OutRecord {
            topic: &topic,
            partition: 0,
            timestamp: Some(START),
            key: Some(b"k"),
            value: Some(value),
            headers: &Headers::new(),
        };
        assert!(producer.produce(record).unwrap());
    }
    assert!(matches!(producer.flush().poll(), Some(Ok(()))));
}

fn values(broker: &EmbeddedBroker, topic: &str) -> Vec<Vec<u8>> {
    let records = broker.read_log(topic, 0, Isolation::ReadCommitted).unwrap();
    records.into_iter().map(|record| record.value.unwrap().to_vec()).collect()
}

/// Numbers in, the same numbers out; `x` is no number of eight bytes.
fn numbers() -> Topology {
    let builder = StreamsBuilder::new();
    builder.stream::<String, i64>("in").map_values(|number| *number).to("out");
    builder.build().unwrap()
}

const GOOD: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 7];

fn with_a_bad_record(handler: DeserializationHandler) -> Simulation {
    let config = StreamsConfig::new("app", "simulated").workers(1).on_undecodable(handler);
    let sim = Simulation::new(numbers(), config);
    create(&sim.broker, "in", 1);
    create(&sim.broker, "out", 1);
    write(&sim.broker, "in", &[&GOOD, b"x", &GOOD]);
    sim
}

fn error_of(mut sim: Simulation, process: usize) -> String {
    assert!(sim.run_until(LIMIT, |sim| sim.has_stopped(process)), "{:?}", sim.state(process));
    assert_eq!(sim.state(process), Some(State::Error));
    sim.error(process).unwrap()
}

fn assert_names(error: &str, names: &[&str]) {
    for name in names {
        assert!(error.contains(name), "{name:?} is missing in: {error}");
    }
}

#[test]
fn an_undecodable_record_stops_the_application_with_its_place_and_is_not_committed() {
    let mut sim = with_a_bad_record(DeserializationHandler::Fail);
    let process = sim.start("a", Plan::Nothing);
    assert!(sim.run_until(LIMIT, |sim| sim.has_stopped(process)));
    assert_names(&sim.error(process).unwrap(), &["topic in", "partition 0", "offset 1", "value", "8 bytes"]);
    let committed = sim.broker.group_offsets("app").remove(&TopicPartition::new("in", 0));
    assert!(committed.is_none_or(|committed| committed.position.number() <= 1));
    assert!(values(&sim.broker, "out").len() <= 1);
}

#[test]
fn an_undecodable_record_can_be_skipped() {
    let mut sim = with_a_bad_record(DeserializationHandler::Skip);
    let process = sim.start("a", Plan::Nothing);
    assert!(sim.run_until(LIMIT, |sim| values(&sim.broker, "out").len() == 2), "{:?}", sim.error(process));
}

#[test]
fn an_undecodable_record_can_go_to_a_dead_letter_topic_with_the_error_in_its_headers() {
    let mut sim = with_a_bad_record(DeserializationHandler::DeadLetter("bad".into()));
    create(&sim.broker, "bad", 1);
    let process = sim.start("a", Plan::Nothing);
    assert!(sim.run_until(LIMIT, |sim| values(&sim.broker, "out").len() == 2), "{:?}", sim.error(process));
    let letters = sim.broker.read_log("bad", 0, Isolation::ReadCommitted).unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].value.as_deref(), Some(b"x".as_slice()));
    let header = |name: &str| {
        let value = letters[0].headers.last(name).and_then(|header| header.value.clone());
        String::from_utf8(value.unwrap_or_default().to_vec()).unwrap()
    };
    assert_eq!(header("__streams.errors.topic"), "in");
    assert_eq!(header("__streams.errors.partition"), "0");
    assert_eq!(header("__streams.errors.offset"), "1");
    assert!(header("__streams.errors.message").contains("8 bytes"), "{:?}", letters[0].headers);
}

#[test]
fn a_missing_dead_letter_topic_is_named_at_the_start() {
    let mut sim = with_a_bad_record(DeserializationHandler::DeadLetter("bad".into()));
    let process = sim.start("a", Plan::Nothing);
    assert_names(&error_of(sim, process), &["topic bad", "does not exist"]);
}

#[test]
fn a_missing_source_topic_is_named_with_its_node() {
    let mut sim = Simulation::new(numbers(), StreamsConfig::new("app", "simulated").workers(1));
    create(&sim.broker, "out", 1);
    let process = sim.start("a", Plan::Nothing);
    assert_names(&error_of(sim, process), &["source topic in", "KSTREAM-SOURCE-0000000000", "does not exist"]);
}

#[test]
fn a_missing_output_topic_is_named_with_its_node() {
    let mut sim = Simulation::new(numbers(), StreamsConfig::new("app", "simulated").workers(1));
    create(&sim.broker, "in", 1);
    let process = sim.start("a", Plan::Nothing);
    assert_names(&error_of(sim, process), &["topic out", "KSTREAM-SINK", "does not exist"]);
}

#[test]
fn topics_read_into_one_store_must_have_equal_partition_counts() {
    let builder = StreamsBuilder::new();
    let merged = builder.stream::<String, i64>("left").merge(&builder.stream::<String, i64>("right"));
    merged.group_by_key().count(Materialized::named("counts"));
    let config = StreamsConfig::new("app", "simulated").workers(1);
    let mut sim = Simulation::new(builder.build().unwrap(), config);
    create(&sim.broker, "left", 2);
    create(&sim.broker, "right", 3);
    let process = sim.start("a", Plan::Nothing);
    assert_names(&error_of(sim, process), &["left (2 partitions)", "right (3 partitions)", "equal partition counts"]);
}

#[test]
fn a_changed_partition_count_is_refused_before_keys_part_from_their_state() {
    let mut sim = Simulation::new(ledger::topology(), ledger::config());
    ledger::create_topics(&sim.broker);
    ledger::produce(&sim.broker, 0..10);
    let process = sim.start("a", Plan::Nothing);
    assert!(sim.run_until(LIMIT, |sim| ledger::is_done(&sim.broker)));
    sim.shut_down(process);
    assert!(sim.run_until(LIMIT, |sim| sim.has_stopped(process)));
    assert!(matches!(sim.broker.admin().delete_topics(vec!["in".into()]).poll(), Some(Ok(()))));
    create(&sim.broker, "in", 5);
    sim.restart(process);
    let error = error_of(sim, process);
    assert_names(&error, &["ledger-", "has 2 partitions", "needs 5", "partition count has changed"]);
}

#[test]
fn an_unreachable_cluster_is_named_with_what_to_check() {
    let config = StreamsConfig::new("app", "127.0.0.1:1")
        .workers(1)
        .startup_timeout(Duration::from_secs(1))
        .state_slots(tempfile::tempdir().unwrap().keep());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(async {
        let mut streams = Streams::new(numbers(), config).unwrap();
        streams.start().unwrap();
        streams.join().await.unwrap_err().to_string()
    });
    assert_names(&error, &["127.0.0.1:1", "check bootstrap_servers"]);
}

#[test]
fn a_state_directory_of_another_process_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Arc::new(EmbeddedBroker::new(Arc::new(SystemClock::default())));
    let config = StreamsConfig::new("app", "embedded").workers(1).state_dir(directory.path());
    let _first = Streams::on(broker.clone(), numbers(), config.clone()).unwrap();
    let error = Streams::on(broker, numbers(), config).err().unwrap().to_string();
    assert_names(&error, &["locked by another process", &directory.path().display().to_string()]);
}

/// All forty inputs are processed, and counted once.
fn assert_counts_forty(mut sim: Simulation, process: usize) {
    // All may be committed already: the stores are complete when it runs.
    let complete = |sim: &mut Simulation| sim.state(process) == Some(State::Running) && ledger::is_done(&sim.broker);
    assert!(sim.run_until(LIMIT, complete), "{:?}", sim.error(process));
    sim.shut_down(process);
    assert!(sim.run_until(LIMIT, |sim| sim.has_stopped(process)));
    ledger::check(&sim, 1, 40, false).unwrap();
}

fn with_a_broken_disk(fault: Fault) {
    let mut sim = Simulation::new(ledger::topology(), ledger::config());
    ledger::create_topics(&sim.broker);
    ledger::produce(&sim.broker, 0..20);
    let process = sim.start("a", Plan::Nothing);
    assert!(sim.run_until(LIMIT, |sim| ledger::is_done(&sim.broker)));
    sim.storage(process).inject(fault, 1);
    ledger::produce(&sim.broker, 20..40);
    assert!(sim.run_until(LIMIT, |sim| sim.has_stopped(process)));
    assert_names(&sim.error(process).unwrap(), &["task ", "store ", "failed"]);
    sim.storage(process).heal();
    sim.restart(process);
    assert_counts_forty(sim, process);
}

#[test]
fn a_full_disk_stops_the_application_and_loses_nothing() {
    with_a_broken_disk(Fault::DiskFull);
}

#[test]
fn a_read_only_disk_stops_the_application_and_loses_nothing() {
    with_a_broken_disk(Fault::ReadOnly);
}

#[test]
fn a_corrupted_database_is_rebuilt_from_the_changelog() {
    let mut sim = Simulation::new(ledger::topology(), ledger::config());
    ledger::create_topics(&sim.broker);
    ledger::produce(&sim.broker, 0..20);
    let process = sim.start("a", Plan::Nothing);
    assert!(sim.run_until(LIMIT, |sim| ledger::is_done(&sim.broker)));
    sim.kill(process);
    sim.storage(process).corrupt("1_0");
    ledger::produce(&sim.broker, 20..40);
    sim.restart(process);
    assert_counts_forty(sim, process);
}

#[test]
fn a_store_left_unused_for_too_long_is_rebuilt() {
    let mut sim = Simulation::new(ledger::topology(), ledger::config());
    ledger::create_topics(&sim.broker);
    ledger::produce(&sim.broker, 0..20);
    let process = sim.start("a", Plan::Nothing);
    assert!(sim.run_until(LIMIT, |sim| ledger::is_done(&sim.broker)));
    sim.kill(process);
    // Tombstones are kept for a day: a store that slept longer may have missed some.
    sim.clock.advance(Duration::from_secs(25 * 60 * 60));
    ledger::produce(&sim.broker, 20..40);
    sim.restart(process);
    assert_counts_forty(sim, process);
}
