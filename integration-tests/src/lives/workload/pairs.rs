//! Two streams, joined in both directions: every pair that is close enough comes out once, and so does everybody who is
//! alone.

use std::time::Duration;

use millstream::operators::dsl::{JoinWindows, StreamJoined, StreamsBuilder};
use millstream::operators::topology::{Topology, TopologySettings};
use millstream::partitioner::partition_of;
use millstream::state::model::Timestamp;

use super::{Dice, Expected, Fuse, Input, Workload};
use crate::lives::START;
use crate::support::built;

/// `sides` (key → `L` or `R`, number) → split in two → outer join of the two → `pairs`.
///
/// What comes out is determined although a join depends on what comes when:
/// - both streams come from one topic, so that the order of a task's records is that of its partition;
/// - a record is at most [`LATE`] older than one before it, which is within the window and the grace: none comes when
///   those it belongs to are given up already;
/// - at the end each partition has a record that is so much later that everybody before it is given up. When exactly
///   somebody is given up is not determined: Kafka Streams' shared time of the two sides begins anew with each task.
///
/// At least once this does not hold: what is read again after a crash is late for the stores, which have seen what
/// came after it.
pub(super) struct Pairs;

const STEP: i64 = 300;
const LATE: i64 = 2 * STEP + 2;
/// How far apart two records may be.
const WINDOW: i64 = 1_000;
const GRACE: i64 = 1_000;

const _: () = assert!(LATE < WINDOW && LATE < GRACE);

/// When everybody else is given up.
const MUCH_LATER: i64 = 60_000;

fn side(value: &str) -> (bool, &str) {
    (value.starts_with('L'), value)
}

fn pair(left: Option<&String>, right: Option<&String>) -> String {
    let text = |side: Option<&String>| side.map_or("-", String::as_str).to_owned();
    format!("{}+{}", text(left), text(right))
}

/// As the join's store of those who wait has it: time, whether it is a left one, key → a list of one value and its side.
fn waits(input: &Input) -> (Vec<u8>, Vec<u8>) {
    let left = u8::from(side(&input.value).0);
    let value = input.value.as_bytes();
    let key = [&input.timestamp.millis().to_be_bytes()[..], &[left], input.key.as_bytes()].concat();
    let length = (value.len() as u32 + 1).to_be_bytes();
    (key, [&[1, 0, 0, 0, 1], &length[..], &[left], value].concat())
}

impl Workload for Pairs {
    fn name(&self) -> &'static str {
        "pairs"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &["sides"]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["pairs"]
    }

    fn bears_repetition(&self) -> bool {
        false
    }

    fn topology(&self, fuse: &Fuse) -> Topology {
        let fuse = fuse.clone();
        // By the wall clock it would depend on the scheduler which records those who wait are looked at for.
        let settings = TopologySettings { outer_join_emit_interval: Duration::ZERO, ..TopologySettings::default() };
        let builder = StreamsBuilder::with_settings(settings);
        let sides = builder.stream::<String, String>("sides").peek(move |_, _| fuse.burn());
        let left = sides.filter(|_, value| side(value).0);
        let right = sides.filter(|_, value| !side(value).0);
        let millis = |millis: i64| Duration::from_millis(millis.unsigned_abs());
        let windows = JoinWindows::of_time_difference_and_grace(millis(WINDOW), millis(GRACE));
        let stores = StreamJoined::named("pairs").store_name("pairs");
        left.outer_join_with(&right, |_, left, right| pair(left, right), windows, stores).to("pairs");
        built(&builder)
    }

    fn input(&self, dice: &mut Dice, index: u64) -> Input {
        let value = format!("{}{index}", dice.pick(&["L", "R"]));
        // No two have the same time: those of one key would be told apart by a number that begins anew with each task.
        let at = (index + dice.below(3)) as i64 * STEP + index as i64 % 3;
        let timestamp = Timestamp::from_millis(START.millis() + at);
        Input { topic: "sides", key: format!("k{}", dice.below(5)), value, timestamp }
    }

    fn last(&self, partitions: i32, count: u64) -> Vec<Input> {
        let timestamp = Timestamp::from_millis(START.millis() + count as i64 * STEP + MUCH_LATER);
        let key = |partition| {
            let mut keys = (0_u32..).map(|number| format!("last{number}"));
            keys.find(|key| partition_of(key.as_bytes(), partitions) == partition)
        };
        let last = |key| Input { topic: "sides", key, value: "Llast".to_owned(), timestamp };
        (0..partitions).filter_map(key).map(last).collect()
    }

    fn expected(&self, inputs: &[Input], _: i32) -> Expected {
        let mut expected = Expected::default();
        let last = |input: &Input| input.value == "Llast";
        for input in inputs {
            let (left, _) = side(&input.value);
            let kept = if left { "pairs-outer-this-join-store" } else { "pairs-outer-other-join-store" };
            let key = [input.key.as_bytes(), &input.timestamp.millis().to_be_bytes()].concat();
            expected.stores.entry(kept).or_default().insert(key, input.value.clone().into_bytes());
            let near = |other: &&Input| {
                let apart = other.timestamp.millis() - input.timestamp.millis();
                other.key == input.key && side(&other.value).0 != left && apart.abs() <= WINDOW
            };
            let partners: Vec<&Input> = inputs.iter().filter(near).collect();
            let outputs = expected.outputs.entry("pairs").or_default();
            let mut give = |result: String| {
                outputs.entry(input.key.clone().into_bytes()).or_default().push(Some(result.into_bytes()));
            };
            match (left, &partners[..]) {
                (true, []) if last(input) => {
                    expected.stores.entry("pairs-outer-shared-join-store").or_default().extend([waits(input)]);
                }
                (true, []) => give(pair(Some(&input.value), None)),
                (false, []) => give(pair(None, Some(&input.value))),
                (true, partners) => {
                    partners.iter().for_each(|right| give(pair(Some(&input.value), Some(&right.value))));
                }
                // Each pair once.
                (false, _) => {}
            }
        }
        expected
    }

    /// Of what is kept, without the number that tells equal times apart.
    fn seen(&self, store: &str, key: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let numbered = store != "pairs-outer-shared-join-store";
        let end = if numbered { key.len().saturating_sub(4) } else { key.len() };
        (key[..end].to_vec(), value.to_vec())
    }

    fn last_counts(&self) -> bool {
        false
    }

    fn steps_are_right(&self, found: &[Option<Vec<u8>>], wanted: &[Option<Vec<u8>>], _: bool) -> bool {
        let sorted = |steps: &[Option<Vec<u8>>]| {
            let mut steps = steps.to_vec();
            steps.sort();
            steps
        };
        sorted(found) == sorted(wanted)
    }

    fn will_do(&self, found: Option<&[u8]>, wanted: Option<&[u8]>) -> bool {
        found == wanted
    }
}
