//! Sliding windows.

use std::collections::{BTreeMap, BTreeSet};

use millstream::prelude::*;
use rand::Rng;

use super::{Event, KEYS, Span, last, ms, play, time_keys, with_seeds};

/// The windows there must be when no record is late: one that ends with each record, one that begins right after each
/// record if something is in it, and for the first records one that begins at 0; each with the sum of what is in it.
fn windows(events: &[Event], difference: i64) -> BTreeMap<Span, i64> {
    let mut table = BTreeMap::new();
    for key in KEYS {
        let of_key: Vec<&Event> = events.iter().filter(|event| event.key == key).collect();
        let starts: BTreeSet<i64> =
            of_key.iter().flat_map(|event| [(event.time - difference).max(0), event.time + 1]).collect();
        for start in starts {
            let within = of_key.iter().filter(|event| (start..=start + difference).contains(&event.time));
            let values: Vec<i64> = within.map(|event| event.value).collect();
            if !values.is_empty() {
                table.insert((key.to_owned(), start, start + difference), values.iter().sum());
            }
        }
    }
    table
}

#[test]
fn sliding_windows_hold_what_a_naive_search_finds_whatever_the_order_of_records() {
    with_seeds(15, 60, |rng, events| {
        let difference = rng.random_range(1..60);
        let cache = if rng.random_bool(0.5) { 0 } else { 1 << 20 };
        let sliding = SlidingWindows::of_time_difference_and_grace(ms(difference), ms(1_000_000));
        let results = play(events, cache, time_keys(difference), |b| {
            let group = b.stream::<String, i64>("in").group_by_key().windowed_by(sliding);
            group.aggregate(|| 0, |_, value, sum| sum + value, Materialized::named("w"))
        });
        assert_eq!(last(&results), windows(events, difference));
    });
}

#[test]
fn records_that_are_late_for_every_window_change_nothing() {
    with_seeds(15, 0, |rng, events| {
        let (difference, grace) = (rng.random_range(1..40), rng.random_range(0..40));
        let sliding = SlidingWindows::of_time_difference_and_grace(ms(difference), ms(grace));
        let latest = events.iter().map(|event| event.time).max().unwrap();
        let mut more = events.to_vec();
        let late = (0..20).map(|_| latest - difference - grace - rng.random_range(1..50));
        more.extend(late.filter(|time| *time >= 0).map(|time| Event { key: "a", value: 1, time }));
        let sums = |events: &[Event]| {
            play(events, 0, time_keys(difference), |b| {
                let group = b.stream::<String, i64>("in").group_by_key().windowed_by(sliding);
                group.aggregate(|| 0, |_, value, sum| sum + value, Materialized::named("w"))
            })
        };
        assert_eq!(sums(&more), sums(events));
    });
}
