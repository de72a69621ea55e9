//! Tests of the DSL: what `build` refuses, and how the error names what is at fault.

use std::time::Duration;

use super::*;
use crate::error::BuildError;
use crate::topology::{OffsetReset, TopicRef};

fn refusal(program: impl Fn(&StreamsBuilder)) -> BuildError {
    let builder = StreamsBuilder::new();
    program(&builder);
    builder.build().map(|topology| topology.describe().to_owned()).expect_err("the topology cannot run")
}

#[test]
fn nothing_to_read_is_refused() {
    assert_eq!(refusal(|_| ()), BuildError::Empty);
}

#[test]
fn two_nodes_of_one_name_are_refused() {
    let error = refusal(|b| {
        let s = b.stream::<String, String>("in");
        s.named("same").peek(|_, _| ());
        s.named("same").peek(|_, _| ());
    });
    assert_eq!(error, BuildError::DuplicateNode { name: "same".into() });
}

#[test]
fn two_stores_of_one_name_are_refused_with_both_nodes() {
    let error = refusal(|b| {
        let group = b.stream::<String, String>("in").group_by_key();
        group.named("first").count(Materialized::named("s"));
        group.named("second").count(Materialized::named("s"));
    });
    assert_eq!(error, BuildError::DuplicateStore { name: "s".into(), nodes: "first and second".into() });
}

#[test]
fn a_topic_name_that_kafka_does_not_take_is_refused() {
    let error = refusal(|b| b.stream::<String, String>("in put").to("out"));
    assert!(error.to_string().contains("KSTREAM-SOURCE-0000000000: \"in put\""), "{error}");
    let error = refusal(|b| b.stream::<String, String>("in").to(""));
    assert!(error.to_string().contains("it is empty"), "{error}");
    let error = refusal(|b| {
        b.stream::<String, String>("in").group_by_key().count(Materialized::named("a/b"));
    });
    assert!(matches!(error, BuildError::BadName { .. }), "{error}");
}

#[test]
fn a_topic_read_as_two_types_is_refused() {
    let error = refusal(|b| {
        b.stream::<String, String>("in").to("a");
        b.stream::<String, i64>("in").to("b");
    });
    let (first, second) = ("KSTREAM-SOURCE-0000000000".into(), "KSTREAM-SOURCE-0000000002".into());
    assert_eq!(error, BuildError::TopicReadTwice { topic: "in".into(), first, second });
}

#[test]
fn a_topic_read_as_stream_and_as_table_is_refused() {
    let error = refusal(|b| {
        b.stream::<String, String>("in").to("a");
        b.table::<String, String>("in").to_stream().to("b");
    });
    assert!(matches!(error, BuildError::TopicReadTwice { .. }), "{error}");
}

#[test]
fn a_topic_read_twice_alike_is_one_source() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").to("a");
    builder.stream::<String, String>("in").to("b");
    let topology = builder.build().expect("both calls read alike");
    let spec = topology.sub_topologies()[0].spec();
    assert_eq!((spec.sources.len(), spec.sinks.len()), (1, 2));
    assert_eq!(&*spec.sinks[1].node, "KSTREAM-SINK-0000000003");
}

#[test]
fn one_source_cannot_begin_in_two_places() {
    let error = refusal(|b| {
        b.stream_with::<String, String>("in", Consumed::new().offset_reset(OffsetReset::Latest)).to("a");
        b.stream::<String, String>("in").to("b");
    });
    assert!(error.to_string().contains("offset resets Some(Latest) and None"), "{error}");
}

#[test]
fn streams_of_two_builders_cannot_be_merged() {
    let other = StreamsBuilder::new();
    let foreign = other.stream::<String, String>("elsewhere");
    let error = refusal(|b| b.stream::<String, String>("in").merge(&foreign).to("out"));
    assert!(error.to_string().contains("KSTREAM-MERGE-0000000001 refers to a stream"), "{error}");
}

#[test]
fn a_branch_that_is_not_there_is_refused_with_those_that_are() {
    let error = refusal(|b| {
        let branches = b.stream::<String, String>("in").named("s-").split().branch(|_, _| true).no_default_branch();
        branches.get("s-2").to("out");
    });
    assert!(error.to_string().contains("s-2, which is none of its branches (s-1)"), "{error}");
}

#[test]
fn windows_that_cannot_be_are_refused() {
    let second = Duration::from_secs(1);
    let error = refusal(|b| {
        let group = b.stream::<String, String>("in").group_by_key();
        group.windowed_by(TimeWindows::of_size_with_no_grace(second).advance_by(2 * second)).count(Materialized::new());
    });
    assert!(error.to_string().contains("windows of 1000 ms advance by 2000 ms"), "{error}");
    let error = refusal(|b| {
        let windows = TimeWindows::of_size_and_grace(second, second);
        let group = b.stream::<String, String>("in").group_by_key();
        group.windowed_by(windows).count(Materialized::named("w").retention(second));
    });
    assert!(error.to_string().contains("store w: its retention of 1000 ms"), "{error}");
}

#[test]
fn a_type_without_serde_is_refused_where_none_was_given() {
    struct Opaque;
    let error = refusal(|b| {
        b.stream::<String, String>("in").map_values(|_| Opaque).to_with("out", Produced::known());
    });
    assert!(error.to_string().contains("no serde is known for its value"), "{error}");
}

#[test]
fn a_repartition_topic_needs_a_partition() {
    let error =
        refusal(|b| b.stream::<String, String>("in").repartition_with(Repartitioned::new().partitions(0)).to("o"));
    assert!(error.to_string().contains("cannot have 0 partitions"), "{error}");
}

#[test]
fn a_named_group_shares_its_repartition_topic_and_an_unnamed_one_does_not() {
    let topics = |grouped: Grouped<String, String>| {
        let builder = StreamsBuilder::new();
        let group = builder.stream::<String, String>("in").group_by_with(|_, v| v.clone(), grouped);
        group.count(Materialized::named("a"));
        group.count(Materialized::named("b"));
        let topology = builder.build().expect("it can run");
        topology.sub_topologies()[0].spec().repartitions.iter().map(|r| r.topic.clone()).collect::<Vec<_>>()
    };
    assert_eq!(topics(Grouped::named("g")), [TopicRef::Internal("g-repartition".into())]);
    assert_eq!(topics(Grouped::new()).len(), 2);
}

#[test]
fn stores_and_repartition_topics_are_described_to_the_runtime() {
    use millstream_state::store::{Changelog, StoreKind};
    let builder = StreamsBuilder::new();
    let windows = TimeWindows::of_size_and_grace(Duration::from_secs(10), Duration::from_secs(5));
    let group = builder.stream::<String, String>("in").group_by(|_, v| v.clone());
    group.windowed_by(windows).count(Materialized::named("w").topic_config("retention.ms", "-1")).to_stream().to("out");
    let topology = builder.build().expect("it can run");
    let [writer, reader] = topology.sub_topologies() else { panic!("two sub-topologies") };
    assert_eq!(writer.spec().repartitions[0].topic, TopicRef::Internal("w-repartition".into()));
    assert_eq!(reader.spec().sources[0].topics, [TopicRef::Internal("w-repartition".into())]);
    let store = &reader.spec().stores[0];
    let StoreKind::TimestampedWindow(shape) = store.kind else { panic!("a window store") };
    assert_eq!((shape.size, shape.retention), (10_000, 15_000));
    let Changelog::Topic(config) = &store.changelog else { panic!("a changelog") };
    assert_eq!(config.get("retention.ms").map(String::as_str), Some("-1"));
}

#[test]
fn a_topology_is_what_it_was_when_built() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in");
    stream.to("out");
    let before = builder.build().expect("it can run");
    stream.to("more");
    assert_eq!(before.sub_topologies()[0].spec().sinks.len(), 1);
    assert_eq!(builder.build().expect("it can run").sub_topologies()[0].spec().sinks.len(), 2);
}

#[test]
fn topologies_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<crate::topology::Topology>();
    shared::<StreamsBuilder>();
}
