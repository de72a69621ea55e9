//! What each operator does to keys, values, times, headers, nulls and late records.

mod driver;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use driver::{Driver, Written, bytes, header};
use millstream_operators::dsl::*;
use millstream_operators::error::ProcessError;
use millstream_state::model::{Headers, Timestamp, Windowed};

type Text = Option<String>;

fn s(text: &str) -> String {
    text.to_owned()
}

fn some(text: &str) -> Text {
    Some(text.to_owned())
}

fn numbers(b: &StreamsBuilder) -> KStream<String, i64> {
    b.stream("in")
}

fn seconds(size: u64, grace: u64) -> TimeWindows {
    TimeWindows::of_size_and_grace(Duration::from_secs(size), Duration::from_secs(grace))
}

#[test]
fn filters_pass_on_what_they_should() {
    let mut driver = Driver::new(|b| {
        numbers(b).filter(|_, n| n % 2 == 0).to("even");
        numbers(b).filter_not(|_, n| n % 2 == 0).to("odd");
    });
    for n in 1..=4 {
        driver.pipe("in", s("k"), n, n);
    }
    assert_eq!(driver.read("even"), [(s("k"), 2i64, 2), (s("k"), 4, 4)]);
    assert_eq!(driver.read("odd"), [(s("k"), 1i64, 1), (s("k"), 3, 3)]);
}

#[test]
fn maps_keep_time_and_headers_and_see_nulls() {
    let mut driver = Driver::new(|b| {
        let stream = b.stream::<Text, Text>("in");
        stream.map(|k, v| (v.clone(), k.clone())).to("map");
        stream.map_values(|v| v.is_some()).to("values");
        stream.select_key(|_, _| 7i64).to("key");
    });
    let headers = header("h", "x");
    driver.try_pipe("in", (bytes(&s("k")), None), 5, &headers).expect("nulls are no errors");
    let written = driver.read_raw("map");
    let expected =
        Written { topic: s("map"), key: None, value: bytes(&s("k")), timestamp: 5, headers, partition: None };
    assert_eq!(written, [expected]);
    assert_eq!(driver.read("values"), [(some("k"), false, 5)]);
    assert_eq!(driver.read("key"), [(7i64, None::<String>, 5)]);
}

#[test]
fn flat_maps_make_any_number_of_records_in_order() {
    let mut driver = Driver::new(|b| {
        numbers(b).flat_map(|k, n| (0..*n).map(|i| (format!("{k}{i}"), i)).collect::<Vec<_>>()).to("pairs");
        numbers(b).flat_map_values(|n| (0..*n).collect::<Vec<_>>()).to("values");
    });
    driver.pipe("in", s("a"), 0i64, 1);
    driver.pipe("in", s("b"), 2i64, 2);
    assert_eq!(driver.read("pairs"), [(s("b0"), 0i64, 2), (s("b1"), 1, 2)]);
    assert_eq!(driver.read("values"), [(s("b"), 0i64, 2), (s("b"), 1, 2)]);
}

#[test]
fn peek_and_for_each_see_records_in_the_order_of_the_program() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (first, second) = (seen.clone(), seen.clone());
    let mut driver = Driver::new(move |b| {
        let stream = numbers(b);
        stream.peek(move |_, n| first.lock().unwrap().push(format!("peek {n}"))).to("out");
        stream.for_each(move |_, n| second.lock().unwrap().push(format!("each {n}")));
    });
    driver.pipe("in", s("k"), 1i64, 0);
    assert_eq!(*seen.lock().unwrap(), ["peek 1", "each 1"]);
    assert_eq!(driver.read("out"), [(s("k"), 1i64, 0)]);
}

#[test]
fn a_merged_stream_has_one_node_for_both_its_parents() {
    let mut driver = Driver::new(|b| {
        let merged = b.stream::<String, i64>("a").merge(&b.stream("b"));
        merged.group_by_key().count(Materialized::named("counts")).to_stream().to("out");
    });
    driver.pipe("a", s("k"), 1i64, 1);
    driver.pipe("b", s("k"), 1i64, 2);
    assert_eq!(driver.read("out"), [(s("k"), 1i64, 1), (s("k"), 2, 2)]);
}

#[test]
fn a_record_takes_the_first_branch_that_wants_it() {
    let program = |default: bool| {
        Driver::new(move |b| {
            let split = numbers(b).split().branch(|_, n| *n > 5).branch(|_, n| *n > 3);
            let branches = if default { split.default_branch() } else { split.no_default_branch() };
            for (name, stream) in branches.iter() {
                stream.to(name);
            }
        })
    };
    let mut driver = program(true);
    for n in [4i64, 9, 1] {
        driver.pipe("in", s("k"), n, n);
    }
    assert_eq!(driver.read("KSTREAM-BRANCH-00000000011"), [(s("k"), 9i64, 9)]);
    assert_eq!(driver.read("KSTREAM-BRANCH-00000000012"), [(s("k"), 4i64, 4)]);
    assert_eq!(driver.read("KSTREAM-BRANCH-00000000010"), [(s("k"), 1i64, 1)]);
    let mut driver = program(false);
    driver.pipe("in", s("k"), 1i64, 1);
    assert!(driver.read::<String, i64>("KSTREAM-BRANCH-00000000010").is_empty());
}

#[test]
fn a_repartition_topic_drops_null_keys() {
    let mut driver = Driver::new(|b| {
        b.stream::<Text, String>("in").repartition_with(Repartitioned::named("re")).to("out");
    });
    driver.pipe("in", some("k"), s("a"), 1);
    driver.pipe("in", None::<String>, s("b"), 2);
    assert_eq!(driver.read("re-repartition"), [(s("k"), s("a"), 1)]);
    assert_eq!(driver.read("out"), [(s("k"), s("a"), 1)]);
}

#[test]
fn partitioners_and_topic_extractors_choose() {
    let mut driver = Driver::new(|b| {
        let by_first = Produced::new().partitioner(|_: &String, n: &i64, of| (*n > 0).then_some(*n as i32 % of));
        numbers(b).to_with("out", by_first);
        let chosen = TopicExtractor::new("Chosen", |_, _, record| format!("at-{}", record.timestamp));
        numbers(b).to_extracted(chosen);
    });
    driver.pipe("in", s("k"), 7i64, 1);
    driver.pipe("in", s("k"), -7i64, 2);
    let partitions: Vec<_> = driver.read_raw("out").iter().map(|record| record.partition).collect();
    assert_eq!(partitions, [Some(3), None]);
    assert_eq!(driver.read("at-2"), [(s("k"), -7i64, 2)]);
}

#[test]
fn a_count_keeps_the_highest_time_and_drops_nulls() {
    let mut driver = Driver::new(|b| {
        b.stream::<Text, Text>("in").group_by_key().count(Materialized::named("c")).to_stream().to("out");
    });
    driver.pipe("in", some("k"), some("v"), 9);
    driver.pipe("in", some("k"), some("v"), 3);
    driver.pipe("in", some("k"), None::<String>, 10);
    driver.pipe("in", None::<String>, some("v"), 11);
    assert_eq!(driver.read("out"), [(s("k"), 1i64, 9), (s("k"), 2, 9)]);
    assert_eq!(driver.dropped().null, 2);
}

#[test]
fn a_reduce_takes_the_first_value_as_it_is_and_none_deletes() {
    let mut driver = Driver::new(|b| {
        let group = numbers(b).group_by_key();
        group.reduce(|sum, n| (*n != 0).then_some(sum + n), Materialized::named("r")).to_stream().to("out");
    });
    for (time, n) in (1..).zip([0i64, 5, 0, 2]) {
        driver.pipe("in", s("k"), n, time);
    }
    let expected = [(s("k"), Some(0i64), 1), (s("k"), Some(5), 2), (s("k"), None, 3), (s("k"), Some(2), 4)];
    assert_eq!(driver.read("out"), expected);
}

#[test]
fn an_aggregate_starts_again_after_a_delete() {
    let mut driver = Driver::new(|b| {
        let group = b.stream::<String, String>("in").group_by_key();
        let text = group.aggregate(|| s("i"), |_, v, a| (v != "p").then(|| a + v), Materialized::named("a"));
        text.to_stream().to("out");
    });
    for (time, v) in (1..).zip(["a", "b", "p", "c"]) {
        driver.pipe("in", s("k"), s(v), time);
    }
    let expected = [(s("k"), some("ia"), 1), (s("k"), some("iab"), 2), (s("k"), None, 3), (s("k"), some("ic"), 4)];
    assert_eq!(driver.read("out"), expected);
}

#[test]
fn a_cache_merges_the_updates_between_commits() {
    let mut driver = Driver::cached(1 << 20, |b| {
        numbers(b).group_by_key().count(Materialized::named("c")).to_stream().to("out");
    });
    for (time, key) in (1..).zip(["a", "b", "a"]) {
        driver.pipe("in", s(key), 1i64, time);
    }
    assert!(driver.read::<String, i64>("out").is_empty());
    driver.commit();
    assert_eq!(driver.read("out"), [(s("b"), 1i64, 2), (s("a"), 2, 3)]);
    driver.commit();
    assert!(driver.read::<String, i64>("out").is_empty());
}

#[test]
fn what_a_cache_held_back_goes_out_with_the_headers_of_its_record() {
    let mut driver = Driver::cached(1 << 20, |b| {
        numbers(b).group_by_key().count(Materialized::named("c")).to_stream().to("out");
    });
    let record = |n: i64| (bytes(&s("k")), bytes(&n));
    driver.try_pipe("in", record(1), 1, &header("h", "first")).unwrap();
    driver.try_pipe("in", record(2), 2, &header("h", "second")).unwrap();
    driver.pipe("in", s("other"), 1i64, 3);
    driver.commit();
    let headers: Vec<_> = driver.read_raw("out").into_iter().map(|record| record.headers).collect();
    assert_eq!(headers, [header("h", "second"), Headers::new()]);
}

#[test]
fn a_late_record_is_dropped_and_one_within_grace_updates_its_window() {
    let mut driver = Driver::new(|b| {
        let counts = numbers(b).group_by_key().windowed_by(seconds(10, 5)).count(Materialized::named("w"));
        counts.to_stream().to("out");
    });
    for time in [1_000, 14_000, 2_000, 15_000, 3_000] {
        driver.pipe("in", s("k"), 1i64, time);
    }
    let read: Vec<(Windowed<String>, i64, i64)> = driver.read("out");
    let read: Vec<_> = read.iter().map(|(key, n, time)| (key.window.start.millis(), *n, *time)).collect();
    assert_eq!(read, [(0, 1, 1_000), (10_000, 1, 14_000), (0, 2, 2_000), (10_000, 2, 15_000)]);
    assert_eq!(driver.dropped().late, 1);
    assert_eq!(driver.operator_times(), [(s("KSTREAM-AGGREGATE-0000000001"), 15_000)]);
}

#[test]
fn hopping_windows_update_every_window_of_a_record() {
    let mut driver = Driver::new(|b| {
        let windows = seconds(10, 0).advance_by(Duration::from_secs(5));
        let sums = numbers(b).group_by_key().windowed_by(windows).reduce(|a, n| a + n, Materialized::named("w"));
        sums.to_stream_with_key(|key, _| format!("{}@{}", key.key, key.window.start)).to("out");
    });
    driver.pipe("in", s("k"), 1i64, 7_000);
    driver.pipe("in", s("k"), 2i64, 12_000);
    let expected =
        [(s("k@0"), 1i64, 7_000), (s("k@5000"), 1, 7_000), (s("k@5000"), 3, 12_000), (s("k@10000"), 2, 12_000)];
    assert_eq!(driver.read("out"), expected);
}

#[test]
fn a_window_counts_null_values_but_no_null_keys() {
    let mut driver = Driver::new(|b| {
        let group = b.stream::<Text, Text>("in").group_by_key().windowed_by(seconds(10, 0));
        group.count(Materialized::named("w")).to_stream_with_key(|key, _| key.key.clone()).to("out");
    });
    driver.pipe("in", some("k"), None::<String>, 1);
    driver.pipe("in", None::<String>, some("v"), 2);
    assert_eq!(driver.read("out"), [(s("k"), 1i64, 1)]);
    assert_eq!(driver.dropped().null, 1);
}

#[test]
fn a_table_without_a_store_forwards_every_change() {
    let mut driver = Driver::new(|b| {
        let table = b.table::<String, i64>("in");
        table.to_stream().to("all");
        table.filter(|_, n| n % 2 == 0).to_stream().to("even");
    });
    driver.pipe("in", s("k"), 1i64, 5);
    driver.pipe("in", s("k"), None::<i64>, 3);
    driver.pipe("in", None::<String>, 2i64, 4);
    assert_eq!(driver.read("all"), [(s("k"), Some(1i64), 5), (s("k"), None, 3)]);
    assert_eq!(driver.read("even"), [(s("k"), None::<i64>, 5), (s("k"), None, 3)]);
    assert_eq!(driver.dropped().null, 1);
}

#[test]
fn a_filter_below_a_store_deletes_only_what_was_seen() {
    let mut driver = Driver::new(|b| {
        let table = b.table_with::<String, i64>("in", Consumed::new(), Materialized::named("t"));
        table.filter(|_, n| n % 2 == 0).to_stream().to("even");
        table.filter_map_values(|_, n| (*n != 3).then_some(n * 10)).to_stream().to("tens");
    });
    for (time, n) in (1..).zip([1i64, 2, 3]) {
        driver.pipe("in", s("k"), n, time);
    }
    driver.pipe("in", s("k"), None::<i64>, 4);
    assert_eq!(driver.read("even"), [(s("k"), Some(2i64), 2), (s("k"), None, 3)]);
    let expected = [(s("k"), Some(10i64), 1), (s("k"), Some(20), 2), (s("k"), None, 3), (s("k"), None, 4)];
    assert_eq!(driver.read("tens"), expected);
}

fn timed(consumed: impl FnOnce(Consumed<String, i64>) -> Consumed<String, i64>) -> Driver {
    let consumed = consumed(Consumed::new());
    Driver::new(move |b| b.stream_with("in", consumed).to("out"))
}

#[test]
fn a_negative_timestamp_fails_unless_the_extractor_says_otherwise() {
    let record = || (bytes(&s("k")), bytes(&4i64));
    let none = Headers::new();
    let failed = timed(|consumed| consumed).try_pipe("in", record(), -1, &none);
    assert!(matches!(failed, Err(ProcessError::Timestamp { timestamp: -1, .. })));

    let mut skips = timed(|consumed| consumed.on_invalid_timestamp(InvalidTimestamp::Skip));
    skips.try_pipe("in", record(), -1, &none).expect("it is dropped");
    assert!(skips.read_raw("out").is_empty());
    assert_eq!(skips.dropped().timestamp, 1);

    let mut knows = timed(|consumed| consumed.on_invalid_timestamp(InvalidTimestamp::UsePartitionTime));
    assert!(knows.try_pipe("in", record(), -1, &none).is_err(), "there is no partition time yet");
    knows.try_pipe("in", record(), 8, &none).unwrap();
    knows.try_pipe("in", record(), -1, &none).unwrap();
    assert_eq!(knows.read("out"), [(s("k"), 4i64, 8), (s("k"), 4, 8)]);
}

#[test]
fn a_custom_extractor_sees_the_record_and_may_drop_it() {
    let extract = |record: &SourceRecord<'_, String, i64>| Timestamp::from_millis(record.value * 100);
    let mut driver = timed(|consumed| consumed.timestamp_extractor(extract));
    driver.pipe("in", s("k"), 4i64, -1);
    driver.pipe("in", s("k"), -4i64, 7);
    assert_eq!(driver.read("out"), [(s("k"), 4i64, 400)]);
    assert_eq!(driver.dropped().timestamp, 1);
}

#[test]
fn a_record_that_cannot_be_decoded_names_the_source_and_the_part() {
    let mut driver = timed(|consumed| consumed.name("src"));
    let failed = driver.try_pipe("in", (bytes(&s("k")), Some(vec![1, 2])), 1, &Headers::new());
    assert!(matches!(&failed, Err(ProcessError::Decode { node, what: "value", .. }) if &**node == "src"));
    driver.pipe("in", s("k"), 1i64, 2);
    assert_eq!(driver.read("out"), [(s("k"), 1i64, 2)]);
}
