//! Tumbling, hopping and unlimited windows.

use millstream::prelude::*;
use rand::Rng;

use super::{Event, Result, last, ms, play, time_keys, with_seeds};

/// Every update of the one window that begins at a time and never ends; written, its key has the start alone.
fn since(events: &[Event], start: i64) -> Vec<Result> {
    let update = |(index, event): (usize, &Event)| {
        let so_far = || events[..=index].iter().filter(|other| other.key == event.key && other.time >= start);
        let (sum, time) = (so_far().map(|event| event.value).sum(), so_far().map(|event| event.time).max());
        (event.time >= start).then(|| ((event.key.to_owned(), start, start + 1), Some(sum), time.unwrap()))
    };
    events.iter().enumerate().filter_map(update).collect()
}

/// Every update there must be: of each record, for each window it falls into that is still open, the sum of the window
/// so far and the largest time in it.
pub(crate) fn updates(events: &[Event], size: i64, advance: i64, grace: i64) -> Vec<Result> {
    let taken = |index: usize, start: i64| {
        let stream_time = events[..=index].iter().map(|event| event.time).max().unwrap();
        let Event { time, .. } = events[index];
        (start..start + size).contains(&time) && start + size > stream_time - grace
    };
    let mut all = Vec::new();
    for (index, event) in events.iter().enumerate() {
        for start in (0..=event.time).step_by(advance as usize).filter(|start| taken(index, *start)) {
            let so_far = (0..=index).filter(|&at| events[at].key == event.key && taken(at, start));
            let so_far: Vec<Event> = so_far.map(|at| events[at]).collect();
            let sum = so_far.iter().map(|event| event.value).sum();
            let time = so_far.iter().map(|event| event.time).max().unwrap();
            all.push(((event.key.to_owned(), start, start + size), Some(sum), time));
        }
    }
    all
}

fn sums(b: &StreamsBuilder, windows: TimeWindows) -> KTable<millstream::state::model::Windowed<String>, i64> {
    let group = b.stream::<String, i64>("in").group_by_key();
    group.windowed_by(windows).aggregate(|| 0, |_, value, sum| sum + value, Materialized::named("w"))
}

#[test]
fn tumbling_and_hopping_windows_say_what_a_naive_count_says_at_every_record() {
    with_seeds(15, 60, |rng, events| {
        let size = rng.random_range(1..50);
        let (advance, grace) = (rng.random_range(1..=size), rng.random_range(0..60));
        let windows = TimeWindows::of_size_and_grace(ms(size), ms(grace)).advance_by(ms(advance));
        let should = updates(events, size, advance, grace);
        assert_eq!(play(events, 0, time_keys(size), |b| sums(b, windows)), should);
    });
}

#[test]
fn a_record_cache_changes_nothing_in_the_end() {
    with_seeds(15, 60, |rng, events| {
        let (size, grace) = (rng.random_range(1..50), rng.random_range(0..60));
        let windows = TimeWindows::of_size_and_grace(ms(size), ms(grace));
        let should = last(&updates(events, size, size, grace));
        assert_eq!(last(&play(events, 1 << 20, time_keys(size), |b| sums(b, windows))), should);
    });
}

#[test]
fn an_unlimited_window_holds_everything_since_its_start_however_late() {
    with_seeds(15, 60, |rng, events| {
        let start = rng.random_range(0..200);
        let should = since(events, start);
        let windows = UnlimitedWindows::of().start_on(Timestamp::from_millis(start));
        let sums = |b: &StreamsBuilder| {
            let group = b.stream::<String, i64>("in").group_by_key();
            group.windowed_by(windows).aggregate(|| 0, |_, value, sum| sum + value, Materialized::named("w"))
        };
        assert_eq!(play(events, 0, time_keys(1), sums), should);
        assert_eq!(last(&play(events, 1 << 20, time_keys(1), sums)), last(&should));
    });
}
