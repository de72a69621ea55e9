//! Processors that look into the stores of tables.

#![allow(clippy::expect_used, reason = "a failure here is to stop the test")]

mod driver;

use std::time::Duration;

use driver::Driver;
use millstream_operators::dsl::*;
use millstream_operators::processor::{
    Outcome, Processor, ProcessorContext, SessionStore, TimestampedKeyValueStore, TimestampedWindowStore,
    VersionedKeyValueStore,
};
use millstream_operators::push::Record;
use millstream_state::model::Timestamp;

const CACHE: usize = 1 << 20;
const EVER: (Timestamp, Timestamp) = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));

/// Answers a record with what is found under its key.
struct Ask<F>(F);

impl<F> Processor<String, String, String, String> for Ask<F>
where
    F: FnMut(
        &mut ProcessorContext<'_, String, String>,
        &String,
    ) -> Result<String, Box<dyn std::error::Error + Send + Sync>>,
{
    fn process(
        &mut self,
        cx: &mut ProcessorContext<'_, String, String>,
        record: Record<'_, String, String>,
    ) -> Outcome {
        let answer = (self.0)(cx, record.key)?;
        cx.forward(record.with_value(&answer))
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn answers(driver: &mut Driver) -> Vec<String> {
    driver.read::<String, String>("answers").into_iter().map(|(_, answer, _)| answer).collect()
}

#[test]
fn a_look_into_a_cached_table_sees_what_is_held_back_and_takes_nothing_from_those_below() {
    let mut driver = Driver::cached(CACHE, |b| {
        // First, so that the processor is the first to open the store.
        let questions = b.stream::<String, String>("questions");
        let counts = b.stream::<String, String>("words").group_by_key().count(Materialized::named("counts"));
        counts.to_stream().to("counts-out");
        let store = counts.store().expect("a store of its own");
        questions
            .process(&store, |counts: TimestampedKeyValueStore<String, i64>| {
                Ask(move |cx: &mut ProcessorContext<'_, String, String>, key: &String| {
                    let all = counts.all(cx)?.count();
                    let found = counts.get(cx, key)?;
                    Ok(found.map_or_else(
                        || format!("none of {all}"),
                        |found| format!("{} at {} of {all}", found.value, found.timestamp.millis()),
                    ))
                })
            })
            .to("answers");
    });
    driver.pipe("words", text("a"), text("x"), 1);
    driver.pipe("words", text("a"), text("y"), 7);
    driver.pipe("words", text("b"), text("y"), 8);
    driver.pipe("questions", text("a"), text("?"), 9);
    driver.pipe("questions", text("c"), text("?"), 9);
    assert_eq!(answers(&mut driver), ["2 at 7 of 2", "none of 2"]);
    assert!(driver.read::<String, Option<i64>>("counts-out").is_empty());
    driver.commit();
    let counts = driver.read::<String, Option<i64>>("counts-out");
    assert_eq!(counts, [(text("a"), Some(2), 7), (text("b"), Some(1), 8)]);
}

#[test]
fn a_source_table_that_a_processor_looks_into_is_kept() {
    let mut driver = Driver::new(|b| {
        let names = b.table::<String, String>("names");
        let store = names.store().expect("a source table can be kept");
        let questions = b.stream::<String, String>("questions");
        questions
            .process(&store, |names: TimestampedKeyValueStore<String, String>| {
                Ask(move |cx: &mut ProcessorContext<'_, String, String>, key: &String| {
                    Ok(names.get(cx, key)?.map_or_else(|| text("nobody"), |found| found.value))
                })
            })
            .to("answers");
    });
    driver.pipe("names", text("a"), text("Ada"), 1);
    driver.pipe("questions", text("a"), text("?"), 2);
    driver.pipe("names", text("a"), None::<String>, 3);
    driver.pipe("questions", text("a"), text("?"), 4);
    assert_eq!(answers(&mut driver), ["Ada", "nobody"]);
}

#[test]
fn windows_and_sessions_can_be_looked_into() {
    let mut driver = Driver::cached(CACHE, |b| {
        let questions = b.stream::<String, String>("questions");
        let words = b.stream::<String, String>("words").group_by_key();
        let windows = TimeWindows::of_size_with_no_grace(Duration::from_millis(10));
        let windowed = words.windowed_by(windows).count(Materialized::named("windowed"));
        let gap = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_millis(5));
        let sessions = words.windowed_by(gap).count(Materialized::named("sessions"));
        windowed.to_stream().to("windowed-out");
        sessions.to_stream().to("sessions-out");
        assert!(windowed.session_store().is_none() && sessions.window_store().is_none());
        assert!(windowed.store().is_none() && sessions.store().is_none());
        let stores = (
            windowed.window_store().expect("a store of windows"),
            sessions.session_store().expect("a store of sessions"),
        );
        type Opened = (TimestampedWindowStore<String, i64>, SessionStore<String, i64>);
        questions
            .process(&stores, |(windowed, sessions): Opened| {
                Ask(move |cx: &mut ProcessorContext<'_, String, String>, key: &String| {
                    let windows = windowed.fetch(cx, key, EVER.0, EVER.1)?.collect::<Result<Vec<_>, _>>()?;
                    let windows: Vec<(i64, i64)> =
                        windows.iter().map(|(at, found)| (at.window.start.millis(), found.value)).collect();
                    let sessions = sessions.fetch(cx, key)?.collect::<Result<Vec<_>, _>>()?;
                    let sessions: Vec<(i64, i64, i64)> = sessions
                        .iter()
                        .map(|(at, count)| (at.window.start.millis(), at.window.end.millis(), *count))
                        .collect();
                    Ok(format!("{windows:?} {sessions:?}"))
                })
            })
            .to("answers");
    });
    for time in [1, 4, 12, 15] {
        driver.pipe("words", text("a"), text("x"), time);
    }
    driver.pipe("questions", text("a"), text("?"), 20);
    assert_eq!(answers(&mut driver), ["[(0, 2), (10, 2)] [(1, 4, 2), (12, 15, 2)]"]);
    driver.commit();
    assert_eq!(driver.read_raw("windowed-out").len(), 2);
    assert_eq!(driver.read_raw("sessions-out").len(), 2);
}

#[test]
fn a_table_of_versions_is_looked_into_as_of_a_time() {
    let mut driver = Driver::new(|b| {
        let kept = Materialized::named("prices").versioned(Duration::from_secs(60));
        let prices = b.table_with("prices", Consumed::<String, i64>::new(), kept);
        assert!(prices.store().is_none());
        let store = prices.versioned_store().expect("a store of versions");
        b.stream::<String, String>("questions")
            .process(&store, |prices: VersionedKeyValueStore<String, i64>| {
                Ask(move |cx: &mut ProcessorContext<'_, String, String>, key: &String| {
                    let then = prices.get_as_of(cx, key, Timestamp::from_millis(15))?;
                    Ok(format!("{:?}", then.map(|version| version.value)))
                })
            })
            .to("answers");
    });
    driver.pipe("prices", text("tea"), 3i64, 10);
    driver.pipe("prices", text("tea"), 4i64, 20);
    driver.pipe("questions", text("tea"), text("?"), 30);
    assert_eq!(answers(&mut driver), ["Some(3)"]);
}

#[test]
fn a_table_that_is_only_computed_has_no_store() {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, i64>("in");
    assert!(table.filter(|_, n| *n > 0).store().is_none());
    assert!(table.map_values(|n| n + 1).store().is_none());
    assert!(table.map_values_with(|n| n + 1, Materialized::named("more")).store().is_some());
}
