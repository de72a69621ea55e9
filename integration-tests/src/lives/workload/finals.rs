//! Counts per key and window of which only the last comes out, once the window has closed.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream::operators::dsl::{BufferConfig, Materialized, StreamsBuilder, Suppressed, TimeWindows};
use millstream::operators::topology::Topology;
use millstream::partitioner::partition_of;
use millstream::state::model::Timestamp;

use super::{Dice, Expected, Fuse, Input, Workload};
use crate::lives::START;
use crate::support::built;

/// `ticks` → count per key and three seconds → suppressed until the window closes → `finals`.
///
/// Which windows are closed, and which records are late, follows from a task's stream time, and that from the order of its
/// records: there is one topic, so that the order is that of the partition, which is the order in which they were
/// written. Whether there are record caches makes no difference: a window that is closed takes no more records.
///
/// At least once this does not hold: what is read again after a crash is late for the stores, which have seen what
/// came after it.
pub(super) struct Finals;

const STEP: i64 = 300;
const WINDOW: i64 = 3_000;
const GRACE: i64 = 500;

fn stored(key: &str, start: i64) -> Vec<u8> {
    [key.as_bytes(), &start.to_be_bytes()].concat()
}

impl Workload for Finals {
    fn name(&self) -> &'static str {
        "finals"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &["ticks"]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["finals"]
    }

    fn bears_repetition(&self) -> bool {
        false
    }

    fn topology(&self, fuse: &Fuse) -> Topology {
        let fuse = fuse.clone();
        let builder = StreamsBuilder::new();
        let ticks = builder.stream::<String, String>("ticks").peek(move |_, _| fuse.burn());
        let millis = |millis: i64| Duration::from_millis(millis.unsigned_abs());
        let windows = TimeWindows::of_size_and_grace(millis(WINDOW), millis(GRACE));
        let counts = ticks.group_by_key().windowed_by(windows).count(Materialized::named("ticks-per-window"));
        let closed = Suppressed::until_window_closes(BufferConfig::unbounded()).name("waiting");
        counts.suppress(closed).to_stream().to("finals");
        built(&builder)
    }

    fn input(&self, dice: &mut Dice, index: u64) -> Input {
        // Some are late.
        let late = if dice.chance(300) { dice.below(2 * (WINDOW + GRACE) as u64) as i64 } else { 0 };
        let timestamp = Timestamp::from_millis(START.millis() + WINDOW * 4 + index as i64 * STEP - late);
        Input { topic: "ticks", key: format!("k{}", dice.below(5)), value: index.to_string(), timestamp }
    }

    fn expected(&self, inputs: &[Input], partitions: i32) -> Expected {
        let mut expected = Expected::default();
        // Of each partition: the highest time so far.
        let mut times = BTreeMap::<i32, i64>::new();
        let mut counts = BTreeMap::<(i32, i64, String), i64>::new();
        for input in inputs {
            let partition = partition_of(input.key.as_bytes(), partitions);
            let at = input.timestamp.millis();
            let time = times.entry(partition).or_insert(at);
            *time = at.max(*time);
            let start = at / WINDOW * WINDOW;
            if start + WINDOW + GRACE > *time {
                *counts.entry((partition, start, input.key.clone())).or_default() += 1;
            }
        }
        for ((partition, start, key), count) in counts {
            let bytes = count.to_be_bytes().to_vec();
            // In the store a sequence number follows, which is zero here.
            let numbered = [stored(&key, start).as_slice(), &[0; 4]].concat();
            expected.stores.entry("ticks-per-window").or_default().insert(numbered, bytes.clone());
            if start + WINDOW + GRACE <= times.get(&partition).copied().unwrap_or_default() {
                let steps = expected.outputs.entry("finals").or_default();
                steps.entry(stored(&key, start)).or_default().push(Some(bytes));
            } else {
                expected.stores.entry("waiting-store").or_default().insert(stored(&key, start), bytes);
            }
        }
        expected
    }

    /// Of what waits, the new value, which lies before the time at the end.
    fn seen(&self, store: &str, key: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let value = match store {
            "waiting-store" => value.len().checked_sub(16).and_then(|at| value.get(at..at + 8)).unwrap_or_default(),
            _ => value,
        };
        (key.to_vec(), value.to_vec())
    }

    fn steps_are_right(&self, found: &[Option<Vec<u8>>], wanted: &[Option<Vec<u8>>], _: bool) -> bool {
        found == wanted
    }

    fn will_do(&self, found: Option<&[u8]>, wanted: Option<&[u8]>) -> bool {
        found == wanted
    }
}
