//! What a test can rely on.

use std::time::Duration;

use millstream_operators::dsl::{Consumed, Materialized, StreamsBuilder, TimeWindows};
use millstream_operators::topology::Topology;
use millstream_state::model::{Headers, Timestamp};
use millstream_state::serdes::DefaultSerde;

use super::{Partitions, RawTestRecord, TestConfig, TestError, TestRecord, TopologyTestDriver};
use crate::task::DeserializationHandler;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn counts() -> Topology {
    let builder = StreamsBuilder::new();
    let words = builder.stream::<String, String>("in").group_by(|_, word| word.clone());
    words.count(Materialized::named("counts")).to_stream().to("out");
    builder.build().unwrap()
}

fn driver(topology: Topology) -> TopologyTestDriver {
    TopologyTestDriver::new(topology, TestConfig::default()).unwrap()
}

#[test]
fn a_record_goes_through_the_repartition_topic_before_pipe_returns() {
    let driver = driver(counts());
    let mut input = driver.input_topic("in").auto_advance(at(100), Duration::from_millis(10));
    input.pipe_all([(text("k"), text("a")), (text("k"), text("b")), (text("l"), text("a"))]).unwrap();
    let output = driver.output_topic::<String, Option<i64>>("out");
    let expected = [("a", 1, 100), ("b", 1, 110), ("a", 2, 120)];
    let expected = expected.map(|(key, count, time)| TestRecord::new(text(key), Some(count), at(time)));
    assert_eq!(output.read_records_to_list().unwrap(), expected);
    assert!(output.is_empty());
    let topics: Vec<String> = driver.written_topics().iter().map(|(topic, _)| topic.to_string()).collect();
    assert_eq!(topics, ["out", "test-counts-changelog", "test-counts-repartition"]);
}

#[test]
fn handles_of_one_topic_share_what_has_been_read() {
    let driver = driver(counts());
    driver.input_topic("in").pipe(text("k"), text("a")).unwrap();
    let (first, second) = (driver.output_topic::<String, i64>("out"), driver.output_topic::<String, i64>("out"));
    assert_eq!(first.read_key_value().unwrap(), Some((text("a"), 1)));
    assert_eq!(second.read_key_value().unwrap(), None);
}

#[test]
fn stores_show_what_was_processed() {
    let driver = driver(counts());
    let mut input = driver.input_topic("in");
    for time in [30, 20] {
        input.pipe_at(text("k"), text("a"), at(time)).unwrap();
    }
    let store = driver.key_value_store::<String, i64>("counts").unwrap();
    let stamped = store.get_stamped(&text("a")).unwrap().unwrap();
    assert_eq!((stamped.value, stamped.timestamp), (2, at(30)));
    assert_eq!(store.all().unwrap(), [(text("a"), 2)]);
    assert_eq!(store.get(&text("b")).unwrap(), None);
    assert_eq!(driver.stores().len(), 1);
}

#[test]
fn windows_can_be_looked_at_until_they_expire() {
    let builder = StreamsBuilder::new();
    let windows = TimeWindows::of_size_with_no_grace(Duration::from_secs(60));
    let stream = builder.stream::<String, i64>("in").group_by_key();
    stream.windowed_by(windows).count(Materialized::named("w"));
    let driver = driver(builder.build().unwrap());
    let mut input = driver.input_topic("in");
    for time in [0, 59_999, 60_000] {
        input.pipe_at(text("k"), 1_i64, at(time)).unwrap();
    }
    let store = driver.window_store::<String, i64>("w").unwrap();
    assert_eq!(store.get(&text("k"), at(60_000)).unwrap(), Some(1));
    assert_eq!(store.get(&text("k"), at(0)).unwrap(), None);
    input.pipe_at(text("k"), 1, at(1)).unwrap();
    assert_eq!(driver.dropped().late, 1);
    let windows = store.all().unwrap();
    assert_eq!(windows.len(), 1);
    assert_eq!((windows[0].0.window.end, windows[0].1.value), (at(120_000), 1));
}

#[test]
fn the_wall_clock_moves_only_when_told() {
    let driver = driver(counts());
    assert_eq!(driver.wall_clock(), at(0));
    driver.advance_wall_clock(Duration::from_secs(1)).unwrap();
    assert_eq!(driver.wall_clock(), at(1000));
}

#[test]
fn unknown_topics_and_stores_are_named_with_those_there_are() {
    let driver = driver(counts());
    let error = driver.input_topic("im").pipe(text("k"), text("a")).unwrap_err().to_string();
    assert!(error.contains("no topic im") && error.contains("in"), "{error}");
    let error = driver.key_value_store::<String, i64>("count").err().unwrap().to_string();
    assert!(error.contains("no key-value store count") && error.contains("counts"), "{error}");
    assert!(matches!(driver.window_store::<String, i64>("counts"), Err(TestError::UnknownStore { .. })));
}

#[test]
fn a_record_that_cannot_be_decoded_stops_the_run_or_goes_where_the_handler_says() {
    let topology = || {
        let builder = StreamsBuilder::new();
        builder.stream::<String, i64>("in").to("out");
        builder.build().unwrap()
    };
    let error = driver(topology()).input_topic("in").pipe(text("k"), text("no number")).unwrap_err();
    assert!(matches!(error, TestError::Task(_)) && error.to_string().contains("topic in"), "{error}");

    let undecodable = DeserializationHandler::DeadLetter("dead".into());
    let config = TestConfig { undecodable, ..TestConfig::default() };
    let driver = TopologyTestDriver::new(topology(), config).unwrap();
    driver.input_topic("in").pipe(text("k"), text("no number")).unwrap();
    driver.input_topic("in").pipe(text("k"), 7_i64).unwrap();
    assert_eq!(driver.output_topic::<String, String>("dead").read_values_to_list().unwrap(), ["no number"]);
    assert_eq!(driver.output_topic::<String, i64>("out").read_values_to_list().unwrap(), [7]);
}

#[test]
fn the_cache_holds_back_updates_until_the_commit_after_the_record() {
    let run = |cache_max_bytes| {
        let builder = StreamsBuilder::new();
        let consumed = Consumed::with(String::serde(), String::serde());
        let letters =
            builder.stream_with("in", consumed).flat_map_values(|v| v.chars().map(String::from).collect::<Vec<_>>());
        letters.group_by_key().reduce(|a, v| a + v, Materialized::named("r")).to_stream().to("out");
        let config = TestConfig { cache_max_bytes, ..TestConfig::default() };
        let driver = TopologyTestDriver::new(builder.build().unwrap(), config).unwrap();
        driver.input_topic("in").pipe(text("k"), text("abc")).unwrap();
        driver.output_topic::<String, String>("out").read_values_to_list().unwrap()
    };
    assert_eq!(run(0), ["a", "ab", "abc"]);
    assert_eq!(run(1 << 20), ["abc"]);
}

#[test]
fn with_several_partitions_a_key_meets_itself_only_behind_a_repartition_topic() {
    let config = TestConfig { partitions: Some(Partitions::of(3)), ..TestConfig::default() };
    let driver = TopologyTestDriver::new(counts(), config).unwrap();
    for key in 0..12 {
        driver.input_topic("in").pipe(format!("k{key}"), text("same")).unwrap();
    }
    let written: Vec<usize> = (0..3).map(|p| driver.written_to("test-counts-repartition", p).len()).collect();
    assert_eq!(written.iter().sum::<usize>(), 12);
    let home = written.iter().position(|count| *count == 12).expect("one partition has them all") as i32;
    let counted =
        |p| driver.key_value_store::<String, i64>("counts").unwrap().in_partition(p).get(&text("same")).unwrap();
    assert_eq!((0..3).map(counted).collect::<Vec<_>>(), (0..3).map(|p| (p == home).then_some(12)).collect::<Vec<_>>());
}

#[test]
fn without_repartitioning_each_task_counts_its_own_share() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in").group_by_key();
    stream.count(Materialized::named("counts")).to_stream().to("out");
    let config = TestConfig { partitions: Some(Partitions::of(2)), ..TestConfig::default() };
    let driver = TopologyTestDriver::new(builder.build().unwrap(), config).unwrap();
    for partition in [0, 1, 1] {
        let bytes = |text: &str| Some(text.as_bytes().to_vec());
        let timestamp = Some(Timestamp::from_millis(0));
        let record = RawTestRecord { key: bytes("k"), value: bytes("v"), timestamp, headers: Headers::new() };
        driver.pipe_raw_to("in", partition, record).unwrap();
    }
    let counted = |p| driver.key_value_store::<String, i64>("counts").unwrap().in_partition(p).get(&text("k")).unwrap();
    assert_eq!([counted(0), counted(1)], [Some(1), Some(2)]);
}

#[test]
fn partition_counts_that_production_would_refuse_are_refused_here() {
    let builder = StreamsBuilder::new();
    let both = builder.stream::<String, String>("a").merge(&builder.stream("b"));
    both.group_by_key().count(Materialized::named("counts")).to_stream().to("out");
    let partitions = Some(Partitions::of(2).topic("b", 3));
    let config = TestConfig { partitions, ..TestConfig::default() };
    let error = TopologyTestDriver::new(builder.build().unwrap(), config).err().unwrap().to_string();
    assert!(error.contains("equal partition counts"), "{error}");
}

#[test]
fn without_commits_nothing_comes_out_and_the_cache_keeps_only_the_last_of_each_key() {
    let config = TestConfig { commit_each_record: false, ..TestConfig::default() };
    let driver = TopologyTestDriver::new(counts(), config).unwrap();
    driver.input_topic("in").pipe_all(["a", "b", "a"].map(|word| (text("k"), text(word)))).unwrap();
    let out = driver.output_topic::<String, i64>("out");
    assert!(out.is_empty());
    driver.commit().unwrap();
    assert_eq!(out.read_key_values_to_list().unwrap(), [(text("b"), 1), (text("a"), 2)]);
}

#[test]
fn chance_interleaves_tasks_but_not_the_records_of_one_partition() {
    let run = |seed| {
        let partitions = Some(Partitions::of(3));
        let config = TestConfig { partitions, interleave: seed, commit_each_record: false, ..TestConfig::default() };
        let driver = TopologyTestDriver::new(counts(), config).unwrap();
        for number in 0..30 {
            driver.input_topic("in").pipe(format!("k{}", number % 5), format!("w{}", number % 4)).unwrap();
        }
        driver.commit().unwrap();
        driver.output_topic::<String, i64>("out").read_key_values_to_list().unwrap()
    };
    assert_eq!(run(Some(1)), run(Some(1)), "the same seed gives the same run");
    let sorted = |mut list: Vec<(String, i64)>| {
        list.sort();
        list
    };
    for seed in 0..20 {
        assert_eq!(sorted(run(Some(seed))), sorted(run(None)), "seed {seed}");
    }
}
