//! What joins make of a topology: names, stores, repartition topics, and what they refuse.

#![allow(clippy::expect_used, clippy::panic, reason = "what fails in a helper fails the test")]

mod driver;

use std::time::Duration;

use driver::Driver;
use millstream_operators::dsl::*;
use millstream_operators::topology::{Optimization, SubTopologySpec, TopicRef, TopologySettings};
use millstream_state::store::{Changelog, Persistence, StoreKind, StoreSpec};

type Text = Option<String>;

fn second() -> JoinWindows {
    JoinWindows::of_time_difference_and_grace(Duration::from_secs(1), Duration::from_secs(2))
}

fn sides(b: &StreamsBuilder) -> (KStream<Text, Text>, KStream<Text, Text>) {
    (b.stream("left"), b.stream("right"))
}

fn show(value: Option<&Text>) -> String {
    value.cloned().flatten().unwrap_or_else(|| "-".into())
}

fn external(names: &[&str]) -> Vec<TopicRef> {
    names.iter().map(|name| TopicRef::External((*name).into())).collect()
}

fn spec(program: impl FnOnce(&StreamsBuilder)) -> SubTopologySpec {
    built(TopologySettings::default(), program)
}

fn built(settings: TopologySettings, program: impl FnOnce(&StreamsBuilder)) -> SubTopologySpec {
    let builder = StreamsBuilder::with_settings(settings);
    program(&builder);
    builder.build().expect("it can run").sub_topologies()[0].spec().clone()
}

fn refused(program: impl FnOnce(&StreamsBuilder)) -> String {
    let builder = StreamsBuilder::new();
    program(&builder);
    builder.build().expect_err("it cannot run").to_string()
}

fn store<'a>(spec: &'a SubTopologySpec, part: &str) -> &'a StoreSpec {
    spec.stores.iter().find(|store| store.name.contains(part)).expect("there is such a store")
}

#[test]
fn the_topics_of_both_sides_have_equal_partition_counts() {
    let joined = spec(|b| {
        let (l, r) = sides(b);
        l.join(&r, |x, y| show(Some(x)) + &show(Some(y)), second()).to("out");
    });
    assert_eq!(joined.copartitioned, [external(&["left", "right"])]);
    let joined = spec(|b| {
        let table = b.table::<Text, String>("table");
        b.stream::<Text, Text>("left").join_table(&table, |x, y| show(Some(x)) + y).to("out");
    });
    assert_eq!(joined.copartitioned, [external(&["left", "table"])]);
}

#[test]
fn records_are_kept_for_windows_and_grace_in_a_changelog_that_is_not_compacted() {
    let joined = spec(|b| {
        let (l, r) = sides(b);
        l.outer_join(&r, |x, y| show(x) + &show(y), second().before(Duration::from_secs(4))).to("out");
    });
    let StoreKind::Window(shape) = store(&joined, "OUTERTHIS").kind else { panic!("a window store") };
    assert_eq!((shape.size, shape.retention, shape.retain_duplicates), (5_000, 7_000, true));
    let Changelog::Topic(config) = &store(&joined, "OUTEROTHER").changelog else { panic!("a changelog") };
    assert_eq!(config.get("cleanup.policy").map(String::as_str), Some("delete"));
    let shared = store(&joined, "OUTERSHARED");
    assert_eq!((shared.kind, &shared.changelog), (StoreKind::KeyValue, &Changelog::Topic([].into())));
}

#[test]
fn stores_are_where_they_are_said_to_be() {
    let in_memory = TopologySettings { dsl_store: Persistence::InMemory, ..TopologySettings::default() };
    let outer = |b: &StreamsBuilder, joined| {
        let (l, r) = sides(b);
        l.outer_join_with(&r, |_, x, y| show(x) + &show(y), second(), joined).to("out");
    };
    let everywhere = built(in_memory, |b| outer(b, StreamJoined::new()));
    assert!(everywhere.stores.iter().all(|store| store.persistence == Persistence::InMemory));
    let own = spec(|b| outer(b, StreamJoined::new().this_store(JoinStore::in_memory("mine"))));
    let kinds = ["mine", "OUTEROTHER", "mine-outer-shared-join-store"].map(|name| store(&own, name).persistence);
    assert_eq!(kinds, [Persistence::InMemory, Persistence::Durable, Persistence::InMemory]);
    let unlogged = spec(|b| outer(b, StreamJoined::new().in_memory().logging(false)));
    assert!(unlogged.stores.iter().all(|store| store.changelog == Changelog::Off));
    assert!(unlogged.stores.iter().all(|store| store.persistence == Persistence::InMemory));
}

#[test]
fn joins_of_one_rekeyed_stream_share_a_repartition_topic_unless_they_have_names() {
    let topics = |name: Option<&str>| {
        let builder = StreamsBuilder::new();
        let (l, r) = sides(&builder);
        let rekeyed = l.select_key(|_, v| v.clone());
        for out in ["a", "b"] {
            let joined = StreamJoined::new().store_name(format!("s{out}"));
            let joined = name.map_or(joined, |name| StreamJoined::named(format!("{name}{out}")));
            rekeyed.join_with(&r, |_, x, y| show(Some(x)) + &show(Some(y)), second(), joined).to(out);
        }
        let topology = builder.build().expect("it can run");
        topology.sub_topologies().iter().map(|part| part.spec().repartitions.len()).sum::<usize>()
    };
    assert_eq!((topics(None), topics(Some("n"))), (1, 2));
}

#[test]
fn a_repartition_topic_keeps_null_keys_where_a_left_join_has_a_use_for_them() {
    let run = |left: bool| {
        let mut driver = Driver::new(|b| {
            let (l, r) = sides(b);
            let rekeyed = l.select_key(|_, _| None);
            match left {
                true => rekeyed.left_join(&r, |x, y| show(Some(x)) + &show(y), second()),
                false => rekeyed.join(&r, |x, y| show(Some(x)) + &show(Some(y)), second()),
            }
            .to("out");
        });
        driver.pipe("left", Some("k".to_owned()), Some("v".to_owned()), 5);
        (driver.read_raw("KSTREAM-KEY-SELECT-0000000002-repartition").len(), driver.read::<Text, String>("out"))
    };
    assert_eq!(run(true), (1, vec![(None, "v-".to_owned(), 5)]));
    assert_eq!(run(false), (0, vec![]));
}

#[test]
fn a_table_is_looked_up_through_filters_and_mappings_that_keep_nothing() {
    let mut driver = Driver::new(|b| {
        let table = b.table::<Text, i64>("table").filter(|_, n| *n > 2).map_values(|n| n * 10);
        b.stream::<Text, i64>("in").left_join_table(&table, |x, y| x + y.unwrap_or(&0)).to("out");
    });
    let key = || Some("k".to_owned());
    driver.pipe("table", key(), 2i64, 0);
    driver.pipe("in", key(), 1i64, 1);
    driver.pipe("table", key(), 3i64, 2);
    driver.pipe("in", key(), 1i64, 3);
    assert_eq!(driver.read::<Text, i64>("out"), [(key(), 1, 1), (key(), 31, 3)]);
}

#[test]
fn a_stream_of_a_tables_changes_can_be_joined_with_the_table_itself() {
    for cache in [0, 1_000_000] {
        let mut driver = Driver::cached(cache, |b| {
            let table = b.table::<Text, i64>("table");
            table.to_stream().join_table_with(&table, |_, x, y| x.unwrap_or(0) * 100 + y, Joined::known()).to("out");
        });
        driver.pipe("table", Some("k".to_owned()), 7i64, 0);
        driver.commit();
        assert_eq!(driver.read::<Text, i64>("out"), [(Some("k".to_owned()), 707, 0)]);
    }
}

#[test]
fn a_stream_joined_with_itself_keeps_one_store_where_that_is_optimised() {
    let stores = |optimization, program: &dyn Fn(&StreamsBuilder) -> KStream<Text, String>| {
        let builder = StreamsBuilder::with_settings(TopologySettings { optimization, ..TopologySettings::default() });
        program(&builder).filter(|_, _| true).to("out");
        let topology = builder.build().expect("it can run");
        let specs = topology.sub_topologies().iter().map(|part| part.spec());
        specs.fold((0, 0), |(stores, topics), spec| (stores + spec.stores.len(), topics + spec.repartitions.len()))
    };
    let read_twice = |b: &StreamsBuilder| {
        let (one, other) = (b.stream::<Text, Text>("in"), b.stream::<Text, Text>("in"));
        one.join(&other, |x, y| show(Some(x)) + &show(Some(y)), second())
    };
    let rekeyed = |b: &StreamsBuilder| {
        let stream = b.stream::<Text, Text>("in").select_key(|_, v| v.clone());
        stream.left_join_with(&stream, |_, x, y| show(Some(x)) + &show(y), second(), StreamJoined::named("n"))
    };
    let two_streams = |b: &StreamsBuilder| {
        let (l, r) = sides(b);
        l.join(&r, |x, y| show(Some(x)) + &show(Some(y)), second())
    };
    assert_eq!([Optimization::NONE, Optimization::ALL].map(|how| stores(how, &read_twice)), [(2, 0), (1, 0)]);
    assert_eq!([Optimization::NONE, Optimization::ALL].map(|how| stores(how, &rekeyed)), [(3, 2), (1, 1)]);
    assert_eq!([Optimization::NONE, Optimization::ALL].map(|how| stores(how, &two_streams)), [(2, 0), (2, 0)]);
    let mut driver = Driver::with_settings(
        TopologySettings { optimization: Optimization::ALL, ..TopologySettings::default() },
        |b| {
            rekeyed(b).to("out");
        },
    );
    driver.pipe("in", Some("k".to_owned()), Some("v".to_owned()), 5);
    assert_eq!(driver.read::<Text, String>("out"), [(Some("v".to_owned()), "vv".to_owned(), 5)]);
}

#[test]
fn what_cannot_be_joined_says_why() {
    let two_builders = refused(|b| {
        let other = StreamsBuilder::new().stream::<Text, Text>("right");
        b.stream::<Text, Text>("left").join(&other, |x, y| show(Some(x)) + &show(Some(y)), second()).to("out");
    });
    assert!(two_builders.contains("belongs to another StreamsBuilder"), "{two_builders}");
    let reversed = refused(|b| {
        let (l, r) = sides(b);
        l.join(&r, |x, y| show(Some(x)) + &show(Some(y)), JoinWindows::between_millis(5, 1)).to("out");
    });
    assert!(reversed.contains("begin 5 ms after it"), "{reversed}");
    let no_serde = refused(|b| {
        let (l, r) = sides(b);
        let mapped = l.map_values(|_| Duration::ZERO);
        mapped.join_with(&r, |_, _, y| show(Some(y)), second(), StreamJoined::known()).to("out");
    });
    assert!(no_serde.contains("no serde is known for its left value"), "{no_serde}");
    let no_versions = refused(|b| {
        let table = b.table_with("table", Consumed::<Text, String>::new(), Materialized::named("t"));
        let joined = Joined::new().grace_period(Duration::from_secs(1));
        b.stream::<Text, Text>("left").join_table_with(&table, |_, x, y| show(Some(x)) + y, joined).to("out");
    });
    assert!(no_versions.contains("needs a table that keeps versions"), "{no_versions}");
}
