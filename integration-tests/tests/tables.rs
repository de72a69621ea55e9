//! Tables on the runtime: through crashes at every kind of moment, and with a source topic in the place of a changelog.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a helper fails the test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream::broker::embedded::EmbeddedBroker;
use millstream::broker::{Broker, Isolation, NewTopic, OutRecord};
use millstream::operators::dsl::{Consumed, Materialized, StreamsBuilder, TableJoined};
use millstream::operators::topology::{Optimization, Topology, TopologySettings};
use millstream::partitioner::partition_of;
use millstream::state::model::{Headers, Timestamp, TopicPartition};
use millstream_integration_tests::sim::{Plan, START, Simulation, ledger};
use millstream_integration_tests::support::loader;

const LIMIT: Duration = Duration::from_secs(120);
const PARTITIONS: i32 = 2;

type Rows = BTreeMap<String, String>;

/// Orders with their customers, and orders per customer.
fn orders(settings: TopologySettings, in_memory: bool) -> Topology {
    let builder = StreamsBuilder::with_settings(settings);
    let kept = |name: &str| {
        let kept = Materialized::<String, String>::named(name);
        if in_memory { kept.in_memory() } else { kept }
    };
    let orders = builder.table_with("orders", Consumed::new(), kept("orders-store"));
    let customers = builder.table_with("customers", Consumed::new(), kept("customers-store"));
    let how = TableJoined::named("customer").materialized(Materialized::named("joined-store"));
    let customer = |_: &String, order: &String| customer_of(order);
    orders.join_on_with(&customers, customer, |order, name| format!("{order} {name}"), how).to_stream().to("joined");
    let groups = orders.group_by(|_, order| (customer_of(order), order.clone()));
    groups.count(Materialized::named("counts")).to_stream().map_values(|n| n.map(|n| n.to_string())).to("counts");
    builder.build().expect("the topology of orders")
}

fn customer_of(order: &str) -> Option<String> {
    order.split('/').next().map(str::to_owned)
}

fn create_topics(broker: &EmbeddedBroker) {
    let topic = |name: &str| NewTopic {
        name: name.into(),
        partitions: PARTITIONS,
        replication: None,
        config: BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]),
    };
    let created = broker.admin().create_topics(["orders", "customers", "joined", "counts"].map(topic).into()).poll();
    assert!(matches!(created, Some(Ok(_))), "{created:?}");
}

/// A change of a table.
type Change = (&'static str, String, Option<String>);

/// The change with this number: orders move between customers and are taken back, customers are renamed and leave.
fn change(number: u64) -> Change {
    let pick = |of: u64, seed: u64| (number * 7 + number / 3 + seed) % of;
    if number.is_multiple_of(4) {
        let name = (pick(5, 1) != 0).then(|| format!("n{number}"));
        return ("customers", format!("c{}", pick(3, 0)), name);
    }
    let order = (pick(6, 2) != 0).then(|| format!("c{}/{number}", pick(3, number / 2)));
    ("orders", format!("o{}", pick(7, 3)), order)
}

fn produce(broker: &EmbeddedBroker, numbers: std::ops::Range<u64>) {
    let mut producer = loader(broker).unwrap();
    for number in numbers {
        let (topic, key, value) = change(number);
        let topic: Arc<str> = topic.into();
        let record = OutRecord {
            topic: &topic,
            partition: partition_of(key.as_bytes(), PARTITIONS),
            timestamp: Some(Timestamp::from_millis(START.millis() + number as i64)),
            key: Some(key.as_bytes()),
            value: value.as_deref().map(str::as_bytes),
            headers: &Headers::new(),
        };
        assert!(producer.produce(record).expect("a record that is taken"));
    }
    assert!(matches!(producer.flush().poll(), Some(Ok(()))));
}

/// Whether everything that was written is processed and committed.
fn is_done(broker: &EmbeddedBroker) -> bool {
    let committed = broker.group_offsets(ledger::APP);
    let behind = broker.topics().into_iter().filter(|topic| !topic.ends_with("-changelog")).any(|topic| {
        let output = matches!(&*topic, "joined" | "counts");
        !output
            && (0..PARTITIONS).any(|partition| {
                let Ok(end) = broker.end(&topic, partition, Isolation::ReadUncommitted) else { return true };
                let at = committed.get(&TopicPartition::new(topic.clone(), partition));
                at.map_or(end.number() > 0, |committed| committed.position < end)
            })
    });
    !behind && broker.open_transactions().is_empty()
}

/// The last value of each key of a topic.
fn rows(broker: &EmbeddedBroker, topic: &str) -> Rows {
    let mut rows = Rows::new();
    for partition in 0..PARTITIONS {
        for record in broker.read_log(topic, partition, Isolation::ReadCommitted).unwrap() {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let key = text(record.key.as_deref().unwrap());
            match record.value.as_deref() {
                Some(value) => rows.insert(key, text(value)),
                None => rows.remove(&key),
            };
        }
    }
    rows
}

/// What must come of the changes so far: the join, and the counts that are not 0.
fn expected(changes: u64) -> (Rows, Rows) {
    let (mut orders, mut customers) = (Rows::new(), Rows::new());
    for (topic, key, value) in (0..changes).map(change) {
        let table = if topic == "orders" { &mut orders } else { &mut customers };
        match value {
            Some(value) => table.insert(key, value),
            None => table.remove(&key),
        };
    }
    let name = |order: &str| customers.get(&customer_of(order).unwrap());
    let joined = orders.iter().filter_map(|(key, order)| Some((key.clone(), format!("{order} {}", name(order)?))));
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for order in orders.values() {
        *counts.entry(customer_of(order).unwrap()).or_default() += 1;
    }
    (joined.collect(), counts.into_iter().map(|(key, count)| (key, count.to_string())).collect())
}

fn check(broker: &EmbeddedBroker, changes: u64, what: &str) {
    let mut counts = rows(broker, "counts");
    counts.retain(|_, count| count != "0");
    let (joined, expected) = expected(changes);
    assert_eq!(counts, expected, "counts, {what}");
    assert_eq!(rows(broker, "joined"), joined, "join, {what}");
}

fn run(topology: Topology, plan: Plan) -> (Simulation, usize) {
    let mut sim = Simulation::new(topology, ledger::config());
    create_topics(&sim.broker);
    produce(&sim.broker, 0..60);
    let process = sim.start("a", plan);
    assert!(sim.run_until(LIMIT, |sim| is_done(&sim.broker)), "{:?}", sim.error(process));
    (sim, process)
}

fn reusing() -> TopologySettings {
    TopologySettings { optimization: Optimization::ALL, ..TopologySettings::default() }
}

#[test]
fn joins_by_foreign_key_and_groups_survive_a_crash_at_every_moment() {
    let (sim, process) = run(orders(TopologySettings::default(), false), Plan::Nothing);
    check(&sim.broker, 60, "without a crash");
    let effects = sim.effects(process).count();
    for at in (1..effects).step_by(usize::try_from(effects / 12).unwrap().max(1)) {
        let (sim, _) = run(orders(TopologySettings::default(), false), Plan::CrashBefore(at));
        check(&sim.broker, 60, &format!("crash before effect {at} of {effects}"));
    }
}

#[test]
fn a_table_restored_from_its_source_topic_has_no_changelog_and_sees_nothing_that_is_not_processed_yet() {
    for in_memory in [true, false] {
        let (mut sim, process) = run(orders(reusing(), in_memory), Plan::Nothing);
        check(&sim.broker, 60, "before the kill");
        assert!(!sim.broker.topics().iter().any(|topic| topic.contains("orders-store")), "{:?}", sim.broker.topics());
        sim.kill(process);
        // The changes between what was committed and the end of the topic must all reach the nodes below: a store that
        // held them already would take the new order for the old one.
        produce(&sim.broker, 60..130);
        sim.restart(process);
        assert!(sim.run_until(LIMIT, |sim| is_done(&sim.broker)), "{:?}", sim.error(process));
        check(&sim.broker, 130, if in_memory { "in memory" } else { "on disk" });
    }
}

#[test]
fn a_source_topic_as_changelog_survives_a_crash_at_every_moment() {
    let (sim, process) = run(orders(reusing(), false), Plan::Nothing);
    let effects = sim.effects(process).count();
    for at in (1..effects).step_by(usize::try_from(effects / 10).unwrap().max(1)) {
        let (sim, _) = run(orders(reusing(), false), Plan::CrashBefore(at));
        check(&sim.broker, 60, &format!("crash before effect {at} of {effects}"));
    }
}
