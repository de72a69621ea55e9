//! Two topics joined by hand: a store keeps the last value of either side for each key.

use millstream::operators::dsl::{Materialized, StreamsBuilder};
use millstream::operators::topology::Topology;

use crate::support::built;

use super::{Dice, Expected, Fuse, Input, Workload, is_within, time};

/// `left`, `right` → the last of either side for each key → `joined`. Which side comes first is a matter of luck; that
/// no step is left out and none comes twice is not.
pub(super) struct Join;

fn join(before: &str, side: &str) -> String {
    let (left, right) = before.split_once('|').unwrap_or_default();
    match side.split_once(':') {
        Some(("left", value)) => format!("{value}|{right}"),
        Some((_, value)) => format!("{left}|{value}"),
        None => before.to_owned(),
    }
}

fn sides(step: Option<&Vec<u8>>) -> (String, String) {
    let text = step.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
    text.split_once('|').map(|(left, right)| (left.to_owned(), right.to_owned())).unwrap_or_default()
}

/// The values of each side in their order.
fn by_side(steps: &[Option<Vec<u8>>]) -> [Vec<String>; 2] {
    let mut each = [Vec::new(), Vec::new()];
    for (left, right) in steps.iter().map(|step| sides(step.as_ref())) {
        for (values, value) in each.iter_mut().zip([left, right]) {
            if !value.is_empty() && values.last() != Some(&value) {
                values.push(value);
            }
        }
    }
    each
}

impl Workload for Join {
    fn name(&self) -> &'static str {
        "join"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &["left", "right"]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["joined"]
    }

    fn topology(&self, fuse: &Fuse) -> Topology {
        let fuse = fuse.clone();
        let builder = StreamsBuilder::new();
        let left = builder.stream::<String, String>("left").peek(move |_, _| fuse.burn());
        let left = left.map_values(|value| format!("left:{value}"));
        let right = builder.stream::<String, String>("right").map_values(|value| format!("right:{value}"));
        let step = |_: &String, side: &String, before: String| join(&before, side);
        let both = left.merge(&right).group_by_key().aggregate(String::new, step, Materialized::named("both"));
        both.to_stream().to("joined");
        built(&builder)
    }

    fn input(&self, dice: &mut Dice, index: u64) -> Input {
        let topic = *dice.pick(&["left", "right"]);
        Input { topic, key: format!("k{}", dice.below(6)), value: format!("v{index}"), timestamp: time(index) }
    }

    fn expected(&self, inputs: &[Input], _: i32) -> Expected {
        let mut expected = Expected::default();
        for input in inputs {
            let table = expected.stores.entry("both").or_default();
            let key = input.key.clone().into_bytes();
            let before = table.get(&key).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
            let after = join(&before, &format!("{}:{}", input.topic, input.value)).into_bytes();
            table.insert(key.clone(), after.clone());
            expected.outputs.entry("joined").or_default().entry(key).or_default().push(Some(after));
        }
        expected
    }

    fn steps_are_right(&self, found: &[Option<Vec<u8>>], wanted: &[Option<Vec<u8>>], all: bool) -> bool {
        let (found_sides, wanted_sides) = (by_side(found), by_side(wanted));
        let within = found_sides.iter().zip(&wanted_sides).all(|(found, wanted)| is_within(found, wanted));
        within && (!all || (found.len() == wanted.len() && found_sides == wanted_sides))
    }

    fn will_do(&self, found: Option<&[u8]>, wanted: Option<&[u8]>) -> bool {
        found == wanted
    }
}
