//! Windows, sessions, suppression and joins with global tables against naive models: a few lines each, quadratic, on random records with
//! disorder, ties and late records. A failure names its seed; `MODEL_SEED=N` plays that one alone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod aborts;
mod closing;
mod fixed;
mod globals;
mod sessions;
mod sliding;
mod suppress;

use std::collections::BTreeMap;
use std::time::Duration;

use millstream::operators::dsl::{KTable, Produced, StreamsBuilder};
use millstream::state::model::{Timestamp, Windowed};
use millstream::state::serdes::{self, DefaultSerde, SerdeRef};
use millstream::testing::{TestConfig, TestRecord, TopologyTestDriver};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// A record of a test: key, value, time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) key: &'static str,
    pub(crate) value: i64,
    pub(crate) time: i64,
}

/// A window with its key: key, start, end.
pub(crate) type Span = (String, i64, i64);

/// A result as it went down: window, value, timestamp.
pub(crate) type Result = (Span, Option<i64>, i64);

const KEYS: [&str; 3] = ["a", "b", "c"];
const SEEDS: u64 = 60;

/// Plays a test with many seeds, each with records of its own: times advance by up to `pace`, and fall back by up to
/// `disorder`.
pub(crate) fn with_seeds(pace: i64, disorder: i64, test: impl Fn(&mut SmallRng, &[Event])) {
    let only = std::env::var("MODEL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(0..SEEDS, |seed: u64| seed..seed + 1);
    for seed in seeds {
        let rng = &mut SmallRng::seed_from_u64(seed);
        let mut clock = 0;
        let events: Vec<Event> = (0..rng.random_range(1..60))
            .map(|_| {
                clock += if rng.random_bool(0.03) { 20 * pace } else { rng.random_range(0..=pace) };
                let back = if rng.random_bool(0.5) { 0 } else { rng.random_range(0..=disorder) };
                let key = KEYS[rng.random_range(0..KEYS.len())];
                Event { key, value: rng.random_range(0..10), time: (clock - back).max(0) }
            })
            .collect();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(rng, &events)));
        assert!(outcome.is_ok(), "seed {seed} failed (MODEL_SEED={seed} plays it alone) on {events:#?}");
    }
}

/// What a table of windows says for these records, in order; without a record cache every update.
pub(crate) fn play(
    events: &[Event],
    cache: usize,
    key: SerdeRef<Windowed<String>>,
    program: impl FnOnce(&StreamsBuilder) -> KTable<Windowed<String>, i64>,
) -> Vec<Result> {
    let builder = StreamsBuilder::new();
    let table = program(&builder);
    table.to_stream().to_with("out", Produced::with(key.clone(), Option::<i64>::serde()));
    let config = TestConfig { cache_max_bytes: cache, ..TestConfig::default() };
    let driver = TopologyTestDriver::new(builder.build().unwrap(), config).unwrap();
    let mut input = driver.input_topic::<String, i64>("in");
    for event in events {
        input.pipe_at(event.key.to_owned(), event.value, Timestamp::from_millis(event.time)).unwrap();
    }
    let output = driver.output_topic_with::<Windowed<String>, Option<i64>>("out", key, Option::<i64>::serde());
    let shown = |record: TestRecord<Windowed<String>, Option<i64>>| {
        let window = record.key.window;
        ((record.key.key, window.start.millis(), window.end.millis()), record.value, record.timestamp.millis())
    };
    output.read_records_to_list().unwrap().into_iter().map(shown).collect()
}

/// Keys of time windows of this size.
pub(crate) fn time_keys(size: i64) -> SerdeRef<Windowed<String>> {
    serdes::time_windowed(String::serde(), Some(size))
}

/// The last result of each window that is not deleted.
pub(crate) fn last(results: &[Result]) -> BTreeMap<Span, i64> {
    let mut table = BTreeMap::new();
    for (span, value, _) in results {
        match value {
            Some(value) => table.insert(span.clone(), *value),
            None => table.remove(span),
        };
    }
    table
}

pub(crate) fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}
