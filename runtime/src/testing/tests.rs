//! What a test can rely on.

use std::time::Duration;

use millstream_operators::dsl::{Consumed, Materialized, StreamsBuilder, TimeWindows};
use millstream_operators::topology::Topology;
use millstream_state::model::Timestamp;
use millstream_state::serdes::DefaultSerde;

use super::{TestConfig, TestError, TestRecord, TopologyTestDriver};
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
