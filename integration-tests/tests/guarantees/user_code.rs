//! User code that panics: the configured handler decides, and what was half done is never seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use millstream::StreamsConfig;
use millstream::broker::Isolation;
use millstream::operators::dsl::{Materialized, StreamsBuilder};
use millstream::operators::processor::{Outcome, Processor, ProcessorContext, Punctuation, Timer};
use millstream::operators::push::Record;
use millstream::operators::topology::Topology;
use millstream::state::model::Timestamp;
use millstream::task::PanicHandler;

use crate::life::{Life, assert_names, create, values, write};

fn config(handler: PanicHandler) -> StreamsConfig {
    StreamsConfig::new("app", "embedded").workers(1).on_panic(handler)
}

/// Copies `in` to `first` and, but for what it panics on, to `out`.
fn copying(panics: impl Fn(&str) -> bool + Send + Sync + 'static) -> Topology {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in");
    stream.to("first");
    let checked = stream.map_values(move |value: &String| {
        assert!(!panics(value), "the user's own bug");
        value.clone()
    });
    checked.to("out");
    builder.build().unwrap()
}

fn life(topology: Topology, handler: PanicHandler) -> Life {
    Life::new(topology, config(handler), |broker| {
        for topic in ["in", "first", "out", "failed"] {
            create(broker, topic, 1);
        }
    })
}

fn bad(value: &str) -> bool {
    value.starts_with("bad")
}

#[test]
fn a_panic_stops_the_instance_with_the_place_of_the_record_and_nothing_of_it_is_committed() {
    let mut life = life(copying(bad), PanicHandler::Fail);
    write(&life.broker, "in", ["a", "bad", "b"]);
    let error = life.error();
    assert_names(&error, &["user code panicked", "topic in", "partition 0", "offset 1", "the user's own bug"]);
    assert!(values(&life.broker, "first").len() <= 1, "{:?}", values(&life.broker, "first"));
}

#[test]
fn a_record_that_makes_user_code_panic_can_go_to_a_dead_letter_topic_and_has_no_other_effect() {
    let mut life = life(copying(bad), PanicHandler::DeadLetter("failed".into()));
    write(&life.broker, "in", ["a", "bad", "b", "bad too", "c"]);
    life.until(|life| values(&life.broker, "out").len() == 3);
    for topic in ["out", "first"] {
        assert_eq!(values(&life.broker, topic), ["a", "b", "c"], "{topic}");
    }
    life.until(|life| values(&life.broker, "failed").len() == 2);
    assert_eq!(values(&life.broker, "failed"), ["bad", "bad too"]);
    let letters = life.broker.read_log("failed", 0, Isolation::ReadCommitted).unwrap();
    let header = |name: &str| {
        let value = letters[0].headers.last(name).and_then(|header| header.value.clone());
        String::from_utf8(value.unwrap_or_default().to_vec()).unwrap()
    };
    assert_eq!(header("__streams.errors.topic"), "in");
    assert_eq!(header("__streams.errors.offset"), "1");
    assert!(header("__streams.errors.message").contains("the user's own bug"), "{:?}", letters[0].headers);
}

#[test]
fn a_record_that_makes_user_code_panic_can_be_skipped() {
    let mut life = life(copying(bad), PanicHandler::Skip);
    write(&life.broker, "in", ["bad", "a", "b", "bad"]);
    life.until(|life| values(&life.broker, "out").len() == 2);
    assert_eq!(values(&life.broker, "first"), ["a", "b"]);
    life.stop();
    let committed = life.broker.group_offsets("app");
    assert_eq!(committed.values().map(|committed| committed.position.number()).collect::<Vec<_>>(), [4]);
}

#[test]
fn what_panics_by_chance_is_tried_again_with_operators_made_anew_and_counted_once() {
    let panics = Arc::new(AtomicU32::new(3));
    let left = panics.clone();
    let now_and_then = move |value: &str| {
        value == "b" && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
    };
    let mut life = life(copying(now_and_then), PanicHandler::Replace { attempts: 5 });
    write(&life.broker, "in", ["a", "b", "c"]);
    life.until(|life| values(&life.broker, "out").len() == 3);
    assert_eq!(panics.load(Ordering::SeqCst), 0);
    for topic in ["out", "first"] {
        assert_eq!(values(&life.broker, topic), ["a", "b", "c"], "{topic}");
    }
}

#[test]
fn what_panics_every_time_stops_the_instance_after_the_attempts_that_were_given() {
    let panics = Arc::new(AtomicU32::new(0));
    let count = panics.clone();
    let always = move |value: &str| bad(value) && count.fetch_add(1, Ordering::SeqCst) < u32::MAX;
    let mut life = life(copying(always), PanicHandler::Replace { attempts: 4 });
    write(&life.broker, "in", ["a", "bad"]);
    assert_names(&life.error(), &["user code panicked", "offset 1", "the user's own bug"]);
    assert_eq!(panics.load(Ordering::SeqCst), 5);
}

/// A panic below a record cache comes when the cache is flushed, far from the record that caused it.
#[test]
fn a_panic_below_a_record_cache_is_laid_to_the_record_that_caused_it() {
    let builder = StreamsBuilder::new();
    let counts =
        builder.stream::<String, String>("in").group_by(|_, value| value.clone()).count(Materialized::named("n"));
    let checked = counts.to_stream().map_values_with_key(|word: &String, count: &Option<i64>| {
        assert!(!bad(word), "the user's own bug");
        format!("{word}={}", count.unwrap_or_default())
    });
    checked.to("out");
    let mut life = life(builder.build().unwrap(), PanicHandler::DeadLetter("failed".into()));
    write(&life.broker, "in", ["a", "bad", "b", "a"]);
    life.until(|life| values(&life.broker, "failed").len() == 1);
    life.until(|life| values(&life.broker, "out").iter().any(|line| line == "a=2"));
    assert!(values(&life.broker, "out").iter().all(|line| !line.starts_with("bad")));
    assert!(values(&life.broker, "out").iter().any(|line| line == "b=1"));
}

/// Passes records on; its timer panics.
struct Alarm;

impl Processor<String, String, String, String> for Alarm {
    fn init(&mut self, cx: &mut ProcessorContext<'_, String, String>) -> Outcome {
        cx.schedule(Duration::from_secs(1), Punctuation::WallClock);
        Ok(())
    }

    fn process(
        &mut self,
        cx: &mut ProcessorContext<'_, String, String>,
        record: Record<'_, String, String>,
    ) -> Outcome {
        cx.forward(record)
    }

    fn punctuate(&mut self, _: &mut ProcessorContext<'_, String, String>, _: Timer, _: Timestamp) -> Outcome {
        panic!("the timer's own bug")
    }
}

#[test]
fn a_timer_that_panics_has_no_record_to_skip_and_stops_the_instance() {
    for handler in [PanicHandler::Skip, PanicHandler::DeadLetter("failed".into())] {
        let builder = StreamsBuilder::new();
        builder.stream::<String, String>("in").process((), |()| Alarm).to("out");
        let mut life = life(builder.build().unwrap(), handler);
        write(&life.broker, "in", ["a", "b"]);
        assert_names(&life.error(), &["user code panicked", "task 0_0", "the timer's own bug"]);
        assert!(values(&life.broker, "failed").is_empty());
    }
}

#[test]
fn a_missing_topic_for_records_that_user_code_panics_on_is_named_at_the_start() {
    let mut life = life(copying(bad), PanicHandler::DeadLetter("nowhere".into()));
    assert_names(&life.error(), &["topic nowhere", "the program panics on", "does not exist"]);
}
