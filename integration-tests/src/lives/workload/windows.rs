//! Counts per word and window, behind a repartition topic.

use std::time::Duration;

use millstream::operators::dsl::{Materialized, StreamsBuilder, TimeWindows};
use millstream::operators::topology::Topology;

use crate::support::built;

use super::{Dice, Expected, Fuse, Input, Workload, at_least, time};

/// `clicks` → grouped by page (through a repartition topic) → count per ten seconds → `per-window`.
pub(super) struct Windows;

/// The length of a window in milliseconds.
const WINDOW: i64 = 10_000;

impl Workload for Windows {
    fn name(&self) -> &'static str {
        "windows"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &["clicks"]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["per-window"]
    }

    fn topology(&self, fuse: &Fuse) -> Topology {
        let fuse = fuse.clone();
        let builder = StreamsBuilder::new();
        let clicks = builder.stream::<String, String>("clicks").peek(move |_, _| fuse.burn());
        // Two partitions run ahead of each other as they like: with a short grace what is late would be a matter of luck.
        let windows = TimeWindows::of_size_and_grace(Duration::from_millis(WINDOW as u64), Duration::from_secs(3600));
        let counts = clicks.group_by(|_, page| page.clone()).windowed_by(windows);
        counts.count(Materialized::named("per-window")).to_stream().to("per-window");
        built(&builder)
    }

    fn input(&self, dice: &mut Dice, index: u64) -> Input {
        let (key, value) = (format!("k{}", dice.below(7)), format!("page{}", dice.below(4)));
        Input { topic: "clicks", key, value, timestamp: time(index) }
    }

    fn expected(&self, inputs: &[Input], _: i32) -> Expected {
        let mut counts = std::collections::BTreeMap::<Vec<u8>, i64>::new();
        let mut expected = Expected::default();
        for input in inputs {
            let mut key = input.value.clone().into_bytes();
            key.extend((input.timestamp.millis() / WINDOW * WINDOW).to_be_bytes());
            let count = counts.entry(key.clone()).or_default();
            *count += 1;
            let bytes = count.to_be_bytes().to_vec();
            // In the store a sequence number follows, which is zero here.
            let stored = [key.as_slice(), &[0; 4]].concat();
            expected.stores.entry("per-window").or_default().insert(stored, bytes.clone());
            expected.outputs.entry("per-window").or_default().entry(key).or_default().push(Some(bytes));
        }
        expected
    }

    fn will_do(&self, found: Option<&[u8]>, wanted: Option<&[u8]>) -> bool {
        at_least(found, wanted)
    }
}
