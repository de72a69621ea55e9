//! Sessions.

use std::collections::BTreeMap;

use millstream::prelude::*;
use millstream::state::model::Windowed;
use millstream::state::serdes::{self, DefaultSerde};
use rand::Rng;

use super::{Event, KEYS, Span, last, ms, play, with_seeds};

/// The records that are connected with one of them by gaps that are short enough.
fn connected(mut open: Vec<Event>, gap: i64, from: Event) -> Vec<Event> {
    let mut found = vec![from];
    while let Some(at) = open.iter().position(|event| found.iter().any(|it| (it.time - event.time).abs() <= gap)) {
        found.push(open.swap_remove(at));
    }
    found
}

fn span(key: &str, session: &[Event]) -> Span {
    let times = session.iter().map(|event| event.time);
    (key.to_owned(), times.clone().min().unwrap(), times.max().unwrap())
}

/// The sessions there must be, with their sums: of the records of which none was late for the session it would have
/// been in.
fn sessions(events: &[Event], gap: i64, grace: i64) -> BTreeMap<Span, i64> {
    let mut table = BTreeMap::new();
    let mut taken: BTreeMap<&str, Vec<Event>> = BTreeMap::new();
    let mut stream_time = 0;
    for event in events {
        stream_time = stream_time.max(event.time);
        let of_key = taken.entry(event.key).or_default();
        let (_, _, end) = span(event.key, &connected(of_key.clone(), gap, *event));
        if end >= stream_time - gap - grace {
            of_key.push(*event);
        }
    }
    for key in KEYS {
        let of_key = taken.remove(key).unwrap_or_default();
        for (index, event) in of_key.iter().enumerate() {
            let others = of_key.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, event)| *event);
            let session = connected(others.collect(), gap, *event);
            table.insert(span(key, &session), session.iter().map(|event| event.value).sum());
        }
    }
    table
}

fn sums(b: &StreamsBuilder, windows: SessionWindows, strategy: EmitStrategy) -> KTable<Windowed<String>, i64> {
    let group = b.stream::<String, i64>("in").group_by_key().windowed_by(windows).emit_strategy(strategy);
    // What has expired in the store is not found any more, which is another matter.
    let kept = Materialized::named("s").retention(ms(1_000_000));
    group.aggregate(|| 0, |_, value, sum| sum + value, |_, one, other| one + other, kept)
}

#[test]
fn sessions_are_what_is_connected_by_short_gaps_whatever_the_order_of_records() {
    with_seeds(15, 80, |rng, events| {
        let (gap, grace) = (rng.random_range(1..30), rng.random_range(0..60));
        let cache = if rng.random_bool(0.5) { 0 } else { 1 << 20 };
        let windows = SessionWindows::of_inactivity_gap_and_grace(ms(gap), ms(grace));
        let keys = serdes::session_windowed(String::serde());
        let results = play(events, cache, keys, |b| sums(b, windows, EmitStrategy::OnWindowUpdate));
        assert_eq!(last(&results), sessions(events, gap, grace));
    });
}

#[test]
fn every_session_that_closes_is_emitted_once() {
    with_seeds(15, 80, |rng, events| {
        let (gap, grace) = (rng.random_range(1..30), rng.random_range(0..60));
        let windows = SessionWindows::of_inactivity_gap_and_grace(ms(gap), ms(grace));
        let keys = serdes::session_windowed(String::serde());
        let emitted = play(events, 0, keys, |b| sums(b, windows, EmitStrategy::OnWindowClose));
        let stream_time = events.iter().map(|event| event.time).max().unwrap();
        for (span, sum) in sessions(events, gap, grace) {
            let closed = span.2 < stream_time - gap - grace;
            let times = emitted.iter().filter(|(key, _, _)| *key == span).count();
            assert_eq!(times, usize::from(closed), "{span:?} among {emitted:?}");
            assert!(!closed || emitted.contains(&(span.clone(), Some(sum), span.2)), "{span:?} {sum} {emitted:?}");
        }
    });
}
