//! Exact counts per word, behind a repartition topic.

use millstream::operators::dsl::{Materialized, StreamsBuilder};
use millstream::operators::topology::Topology;

use crate::support::built;

use super::{Dice, Expected, Fuse, Input, Workload, at_least, time};

/// `words` → grouped by word (through a repartition topic) → count → `counts`.
pub(super) struct Counters;

impl Workload for Counters {
    fn name(&self) -> &'static str {
        "counters"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &["words"]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["counts"]
    }

    fn topology(&self, fuse: &Fuse) -> Topology {
        let fuse = fuse.clone();
        let builder = StreamsBuilder::new();
        let words = builder.stream::<String, String>("words").peek(move |_, _| fuse.burn());
        words.group_by(|_, word| word.clone()).count(Materialized::named("counts")).to_stream().to("counts");
        built(&builder)
    }

    fn input(&self, dice: &mut Dice, index: u64) -> Input {
        let key = format!("k{}", dice.below(7));
        Input { topic: "words", key, value: format!("w{}", dice.below(6)), timestamp: time(index) }
    }

    fn expected(&self, inputs: &[Input], _: i32) -> Expected {
        let mut counts = std::collections::BTreeMap::<Vec<u8>, i64>::new();
        let mut expected = Expected::default();
        for input in inputs {
            let key = input.value.clone().into_bytes();
            let count = counts.entry(key.clone()).or_default();
            *count += 1;
            let bytes = count.to_be_bytes().to_vec();
            expected.stores.entry("counts").or_default().insert(key.clone(), bytes.clone());
            expected.outputs.entry("counts").or_default().entry(key).or_default().push(Some(bytes));
        }
        expected
    }

    fn will_do(&self, found: Option<&[u8]>, wanted: Option<&[u8]>) -> bool {
        at_least(found, wanted)
    }
}
