//! Joins of streams on the runtime: two workers, several partitions, killed in the middle. Every pair comes out once, and
//! so does everyone who is alone.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a helper fails the test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream::StreamsConfig;
use millstream::broker::embedded::EmbeddedBroker;
use millstream::broker::{Broker, Isolation, NewTopic, OutRecord};
use millstream::operators::dsl::{Consumed, JoinWindows, Joined, Materialized, StreamsBuilder};
use millstream::operators::topology::{Topology, TopologySettings};
use millstream::partitioner::partition_of;
use millstream::state::model::{Headers, Timestamp, TopicPartition};
use millstream_integration_tests::sim::{Plan, START, Simulation};
use millstream_integration_tests::support::loader;

const LIMIT: Duration = Duration::from_secs(300);
const PARTITIONS: i32 = 2;
const APP: &str = "joins";
const HOUR: i64 = 3_600_000;

type Text = Option<String>;

fn simulation(topology: Topology, topics: &[&str]) -> Simulation {
    let config = StreamsConfig::new(APP, "simulated")
        .workers(2)
        .commit_interval(Duration::from_millis(100))
        .session_timeout(Duration::from_secs(6));
    let sim = Simulation::new(topology, config);
    let topic = |name: &&str| NewTopic {
        name: (*name).into(),
        partitions: PARTITIONS,
        replication: None,
        config: BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]),
    };
    assert!(matches!(sim.broker.admin().create_topics(topics.iter().map(topic).collect()).poll(), Some(Ok(_))));
    sim
}

/// Writes records: key, value, milliseconds after the start.
fn write(broker: &EmbeddedBroker, topic: &str, records: impl IntoIterator<Item = (String, String, i64)>) {
    let mut producer = loader(broker).unwrap();
    let topic: Arc<str> = topic.into();
    for (key, value, after) in records {
        let record = OutRecord {
            topic: &topic,
            partition: partition_of(key.as_bytes(), PARTITIONS),
            timestamp: Some(Timestamp::from_millis(START.millis() + after)),
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
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

fn is_done(broker: &EmbeddedBroker, topics: &[&str]) -> bool {
    let committed = broker.group_offsets(APP);
    let done = |topic: &str, partition| {
        let end = broker.end(topic, partition, Isolation::ReadUncommitted).unwrap();
        let at = committed.get(&TopicPartition::new(topic, partition));
        at.map_or(end.number() == 0, |committed| committed.position >= end)
    };
    topics.iter().all(|topic| (0..PARTITIONS).all(|partition| done(topic, partition)))
        && broker.open_transactions().is_empty()
}

/// Lets a process run for so many steps, kills it, and starts it again.
fn run_with_deaths(sim: &mut Simulation, process: usize, steps: &[usize], topics: &[&str]) {
    for &limit in steps {
        let mut taken = 0;
        assert!(sim.run_until(LIMIT, |_| {
            taken += 1;
            taken > limit
        }));
        sim.kill(process);
        sim.restart(process);
    }
    assert!(sim.run_until(LIMIT, |sim| is_done(&sim.broker, topics)), "{:?}", sim.error(process));
}

fn show(value: Option<&Text>) -> String {
    value.cloned().flatten().unwrap_or_else(|| "-".to_owned())
}

#[test]
fn an_outer_join_has_each_pair_and_each_lonely_record_once_whenever_it_is_killed() {
    let settings = TopologySettings { outer_join_emit_interval: Duration::ZERO, ..TopologySettings::default() };
    let builder = StreamsBuilder::with_settings(settings);
    let (l, r) = (builder.stream::<Text, Text>("left"), builder.stream::<Text, Text>("right"));
    let hour = JoinWindows::of_time_difference_and_grace(Duration::from_secs(3600), Duration::from_secs(3600));
    l.outer_join(&r, |x, y| format!("{}~{}", show(x), show(y)), hour).to("out");
    let mut sim = simulation(builder.build().unwrap(), &["left", "right", "out"]);

    // Keys 0 to 5 are on both sides, 6 to 8 on the left only, 9 to 11 on the right only.
    let record = |side: char, number: i64, keys: &[i64]| {
        let key = keys[number as usize % keys.len()];
        (format!("k{key}"), format!("{side}{number}"), number * 700)
    };
    let left: Vec<_> = (0..40).map(|number| record('l', number, &[0, 1, 2, 3, 4, 5, 6, 7, 8])).collect();
    let right: Vec<_> = (0..40).map(|number| record('r', number, &[0, 1, 2, 3, 4, 5, 9, 10, 11])).collect();
    write(&sim.broker, "left", left.clone());
    write(&sim.broker, "right", right.clone());
    let process = sim.start("a", Plan::Nothing);
    run_with_deaths(&mut sim, process, &[150, 260, 90, 400], &["left", "right"]);
    // Twice, because who is looked at last is taken for the first of those who still wait.
    for hours in [4, 9] {
        for topic in ["left", "right"] {
            write(&sim.broker, topic, (0..8).map(|key| (format!("end{key}"), "end".to_owned(), hours * HOUR)));
        }
        run_with_deaths(&mut sim, process, &[120], &["left", "right"]);
    }

    let mut wanted = Vec::new();
    for (key, value, _) in &left {
        let partners: Vec<_> = right.iter().filter(|(other, ..)| other == key).collect();
        wanted.extend(partners.iter().map(|(_, other, _)| format!("{value}~{other}")));
        wanted.extend(partners.is_empty().then(|| format!("{value}~-")));
    }
    let alone = right.iter().filter(|(key, ..)| !left.iter().any(|(other, ..)| other == key));
    wanted.extend(alone.map(|(_, value, _)| format!("-~{value}")));
    wanted.sort();
    let found: Vec<String> = values(&sim.broker, "out").into_iter().filter(|value| !value.contains("end")).collect();
    assert_eq!(found, wanted);
}

#[test]
fn records_held_back_by_a_grace_period_come_out_once_with_the_value_of_their_time() {
    let builder = StreamsBuilder::new();
    let kept = Materialized::named("rates").versioned(Duration::from_secs(36_000));
    let rates = builder.table_with("rates", Consumed::<String, String>::new(), kept);
    let joined = Joined::named("patient").grace_period(Duration::from_secs(3600));
    let stream = builder.stream::<String, String>("in");
    stream.join_table_with(&rates, |_, x, y| format!("{x}~{y}"), joined).to("out");
    let mut sim = simulation(builder.build().unwrap(), &["in", "rates", "out"]);

    let keys = |number: i64| format!("k{}", number % 5);
    let inputs: Vec<_> = (0..40).map(|number| (keys(number), format!("i{number}"), number * 900 + 500)).collect();
    // The value of a key from each time on; the first ones are there before the first record.
    let versions: Vec<_> = (0..60).map(|number| (keys(number), format!("v{number}"), (number - 5) * 700)).collect();
    write(&sim.broker, "in", inputs.clone());
    let process = sim.start("a", Plan::Nothing);
    run_with_deaths(&mut sim, process, &[150], &["in"]);
    // The table comes later than the stream: the records have waited for it.
    write(&sim.broker, "rates", versions.clone());
    run_with_deaths(&mut sim, process, &[100, 200], &["in", "rates"]);
    assert_eq!(values(&sim.broker, "out"), Vec::<String>::new());
    write(&sim.broker, "in", (0..8).map(|key| (format!("end{key}"), "end".to_owned(), 2 * HOUR)));
    run_with_deaths(&mut sim, process, &[100], &["in", "rates"]);

    let value_at = |key: &str, time: i64| {
        let known = versions.iter().filter(|(of, _, from)| of == key && *from <= time);
        known.max_by_key(|(.., from)| *from).map(|(_, value, _)| value.clone()).unwrap()
    };
    let mut wanted: Vec<String> =
        inputs.iter().map(|(key, value, time)| format!("{value}~{}", value_at(key, *time))).collect();
    wanted.sort();
    assert_eq!(values(&sim.broker, "out"), wanted);
}
