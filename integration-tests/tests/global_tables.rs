//! Global tables on the runtime: complete before anything is processed, kept up to date, and found again after a restart.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a helper fails the test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream::broker::embedded::EmbeddedBroker;
use millstream::broker::{Broker, Isolation, NewTopic, OutRecord};
use millstream::operators::dsl::StreamsBuilder;
use millstream::operators::topology::Topology;
use millstream::state::model::Headers;
use millstream::{State, StreamsConfig};
use millstream_integration_tests::sim::{Plan, START, Simulation};
use millstream_integration_tests::support::loader;

const LIMIT: Duration = Duration::from_secs(120);
const PARTITIONS: i32 = 3;

fn create(broker: &EmbeddedBroker, names: &[&str]) {
    let config = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
    let topics = names.iter().map(|name| NewTopic {
        name: (*name).into(),
        partitions: PARTITIONS,
        replication: None,
        config: config.clone(),
    });
    assert!(matches!(broker.admin().create_topics(topics.collect()).poll(), Some(Ok(_))));
}

fn write(broker: &EmbeddedBroker, topic: &str, partition: i32, records: &[(&str, Option<&str>)]) {
    let mut producer = loader(broker).unwrap();
    let topic: Arc<str> = topic.into();
    for (key, value) in records {
        let record = OutRecord {
            topic: &topic,
            partition,
            timestamp: Some(START),
            key: Some(key.as_bytes()),
            value: value.map(str::as_bytes),
            headers: &Headers::new(),
        };
        assert!(producer.produce(record).unwrap());
    }
    assert!(matches!(producer.flush().poll(), Some(Ok(()))));
}

/// All values committed to a topic, sorted.
fn values(broker: &EmbeddedBroker, topic: &str) -> Vec<String> {
    let logs =
        (0..PARTITIONS).flat_map(|partition| broker.read_log(topic, partition, Isolation::ReadCommitted).unwrap());
    let mut values: Vec<String> =
        logs.map(|record| String::from_utf8(record.value.unwrap().to_vec()).unwrap()).collect();
    values.sort();
    values
}

/// Names for codes; a code without a name keeps a question mark.
fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let names = builder.global_table::<String, String>("names");
    let codes = builder.stream::<String, String>("codes");
    let show = |code: &String, name: Option<&String>| format!("{code}={}", name.map_or("?", |name| name));
    codes.left_join_global_table(&names, |_, code| Some(code.clone()), show).to("out");
    builder.build().unwrap()
}

fn simulation() -> Simulation {
    let config = StreamsConfig::new("app", "simulated").workers(2).commit_interval(Duration::from_millis(50));
    let sim = Simulation::new(topology(), config);
    create(&sim.broker, &["names", "codes", "out"]);
    sim
}

#[test]
fn every_partition_of_the_table_is_there_before_the_first_record_is_processed() {
    let mut sim = simulation();
    for partition in 0..PARTITIONS {
        let key = format!("c{partition}");
        write(&sim.broker, "names", partition, &[(&key, Some("old")), (&key, Some("new"))]);
        // Codes are in other partitions than their names: every task sees the whole table.
        write(&sim.broker, "codes", (partition + 1) % PARTITIONS, &[("k", Some(&key))]);
    }
    write(&sim.broker, "names", 0, &[("gone", Some("x")), ("gone", None)]);
    write(&sim.broker, "codes", 2, &[("k", Some("gone"))]);
    let process = sim.start("a", Plan::Nothing);
    assert!(sim.run_until(LIMIT, |sim| values(&sim.broker, "out").len() == 4), "{:?}", sim.error(process));
    assert_eq!(values(&sim.broker, "out"), ["c0=new", "c1=new", "c2=new", "gone=?"]);
}

#[test]
fn a_running_instance_keeps_its_table_up_to_date() {
    let mut sim = simulation();
    let process = sim.start("a", Plan::Nothing);
    assert!(sim.run_until(LIMIT, |sim| sim.state(process) == Some(State::Running)));
    write(&sim.broker, "names", 1, &[("c", Some("late"))]);
    let wait = sim.now().monotonic.after(Duration::from_secs(2));
    assert!(sim.run_until(LIMIT, |sim| sim.now().monotonic > wait));
    write(&sim.broker, "codes", 0, &[("k", Some("c"))]);
    assert!(sim.run_until(LIMIT, |sim| !values(&sim.broker, "out").is_empty()));
    assert_eq!(values(&sim.broker, "out"), ["c=late"]);
}

#[test]
fn after_a_crash_the_table_is_complete_again_wherever_it_happened() {
    for effect in (2..60).step_by(3) {
        let mut sim = simulation();
        for partition in 0..PARTITIONS {
            write(&sim.broker, "names", partition, &[(&format!("c{partition}"), Some("name"))]);
            write(&sim.broker, "codes", partition, &[("k", Some(&format!("c{partition}")))]);
        }
        let process = sim.start("a", Plan::CrashBefore(effect));
        let done = |sim: &mut Simulation| values(&sim.broker, "out").len() == 3;
        assert!(sim.run_until(LIMIT, done), "effect {effect}: {:?}", sim.error(process));
        assert_eq!(values(&sim.broker, "out"), ["c0=name", "c1=name", "c2=name"], "effect {effect}");
    }
}

#[test]
fn a_restarted_instance_goes_on_from_its_positions_and_a_new_topic_is_read_anew() {
    let mut sim = simulation();
    write(&sim.broker, "names", 0, &[("a", Some("1")), ("b", Some("1"))]);
    let process = sim.start("a", Plan::Nothing);
    assert!(sim.run_until(LIMIT, |sim| sim.state(process) == Some(State::Running)));
    sim.kill(process);
    // What is deleted from the log is still in the store.
    let before =
        vec![(millstream::state::model::TopicPartition::new("names", 0), millstream::state::model::Position::new(1))];
    assert!(matches!(sim.broker.admin().delete_records(before).poll(), Some(Ok(()))));
    write(&sim.broker, "names", 0, &[("b", Some("2"))]);
    sim.restart(process);
    write(&sim.broker, "codes", 0, &[("k", Some("a")), ("k", Some("b"))]);
    assert!(sim.run_until(LIMIT, |sim| values(&sim.broker, "out").len() == 2), "{:?}", sim.error(process));
    assert_eq!(values(&sim.broker, "out"), ["a=1", "b=2"]);
    sim.kill(process);
    // Another topic of the same name: nothing of the old one may stay.
    assert!(matches!(sim.broker.admin().delete_topics(vec!["names".into()]).poll(), Some(Ok(()))));
    create(&sim.broker, &["names"]);
    write(&sim.broker, "names", 0, &[("b", Some("3"))]);
    sim.restart(process);
    write(&sim.broker, "codes", 1, &[("k", Some("a")), ("k", Some("b"))]);
    assert!(sim.run_until(LIMIT, |sim| values(&sim.broker, "out").len() == 4), "{:?}", sim.error(process));
    assert_eq!(values(&sim.broker, "out"), ["a=1", "a=?", "b=2", "b=3"]);
}
