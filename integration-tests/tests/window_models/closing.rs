//! Windows that go down once, when they are closed: by the aggregation itself, or by a suppression below it.

use std::collections::BTreeMap;

use millstream::prelude::*;
use rand::Rng;

use super::fixed::updates;
use super::{Event, Result, Span, last, ms, play, time_keys, with_seeds};

/// The windows that are closed at the end, with their sums; each must come exactly once.
fn closed(events: &[Event], size: i64, advance: i64, grace: i64) -> BTreeMap<Span, i64> {
    let stream_time = events.iter().map(|event| event.time).max().unwrap();
    let all = last(&updates(events, size, advance, grace));
    all.into_iter().filter(|((_, _, end), _)| *end <= stream_time - grace).collect()
}

fn once(results: &[Result]) -> BTreeMap<Span, i64> {
    let table: BTreeMap<Span, i64> = results.iter().map(|(span, value, _)| (span.clone(), value.unwrap())).collect();
    assert_eq!(table.len(), results.len(), "a window came twice: {results:?}");
    let ends: Vec<i64> = results.iter().map(|((_, _, end), _, _)| *end).collect();
    assert!(ends.is_sorted(), "windows came out of the order in which they close: {results:?}");
    table
}

#[test]
fn every_window_that_closes_is_emitted_once_and_none_is_lost_by_a_jump_of_time() {
    with_seeds(15, 60, |rng, events| {
        let size = rng.random_range(1..50);
        let (advance, grace) = (rng.random_range(1..=size), rng.random_range(0..60));
        let cache = if rng.random_bool(0.5) { 0 } else { 1 << 20 };
        let windows = TimeWindows::of_size_and_grace(ms(size), ms(grace)).advance_by(ms(advance));
        let emitted = play(events, cache, time_keys(size), |b| {
            let group = b.stream::<String, i64>("in").group_by_key().windowed_by(windows);
            let closing = group.emit_strategy(EmitStrategy::OnWindowClose);
            closing.aggregate(|| 0, |_, value, sum| sum + value, Materialized::named("w"))
        });
        assert_eq!(once(&emitted), closed(events, size, advance, grace));
    });
}

#[test]
fn a_suppression_until_windows_close_lets_each_through_once() {
    with_seeds(15, 60, |rng, events| {
        let size = rng.random_range(1..50);
        let (advance, grace) = (rng.random_range(1..=size), rng.random_range(0..60));
        let cache = if rng.random_bool(0.5) { 0 } else { 1 << 20 };
        let windows = TimeWindows::of_size_and_grace(ms(size), ms(grace)).advance_by(ms(advance));
        let through = play(events, cache, time_keys(size), |b| {
            let group = b.stream::<String, i64>("in").group_by_key().windowed_by(windows);
            let table = group.aggregate(|| 0, |_, value, sum| sum + value, Materialized::named("w"));
            table.suppress(Suppressed::until_window_closes(BufferConfig::unbounded()))
        });
        assert_eq!(once(&through), closed(events, size, advance, grace));
    });
}
