//! A list per key to which each record appends its number: order, losses and duplicates are visible. Now and then a
//! record deletes the list.

use millstream::operators::dsl::{Materialized, StreamsBuilder};
use millstream::operators::topology::Topology;

use crate::support::built;

use super::{Dice, Expected, Fuse, Input, Workload, is_within, time};

/// `items` → the list of each key → `lists`.
pub(super) struct Lists;

const DELETE: &str = "delete";

fn append(list: &str, item: &str) -> Option<String> {
    match item {
        DELETE => None,
        _ if list.is_empty() => Some(item.to_owned()),
        _ => Some(format!("{list} {item}")),
    }
}

impl Workload for Lists {
    fn name(&self) -> &'static str {
        "lists"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &["items"]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["lists"]
    }

    fn topology(&self, fuse: &Fuse) -> Topology {
        let fuse = fuse.clone();
        let builder = StreamsBuilder::new();
        let items = builder.stream::<String, String>("items").peek(move |_, _| fuse.burn());
        let step = |_: &String, item: &String, list: String| append(&list, item);
        let lists = items.group_by_key().aggregate(String::new, step, Materialized::named("lists"));
        lists.to_stream().to("lists");
        built(&builder)
    }

    fn input(&self, dice: &mut Dice, index: u64) -> Input {
        let value = if dice.chance(150) { DELETE.to_owned() } else { index.to_string() };
        Input { topic: "items", key: format!("k{}", dice.below(6)), value, timestamp: time(index) }
    }

    fn expected(&self, inputs: &[Input], _: i32) -> Expected {
        let mut expected = Expected::default();
        for input in inputs {
            let table = expected.stores.entry("lists").or_default();
            let key = input.key.clone().into_bytes();
            let before = table.get(&key).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
            let after = append(&before, &input.value).map(String::into_bytes);
            match &after {
                Some(list) => table.insert(key.clone(), list.clone()),
                None => table.remove(&key),
            };
            expected.outputs.entry("lists").or_default().entry(key).or_default().push(after);
        }
        expected
    }

    fn will_do(&self, found: Option<&[u8]>, wanted: Option<&[u8]>) -> bool {
        let items =
            |bytes: &[u8]| -> Vec<String> { String::from_utf8_lossy(bytes).split(' ').map(str::to_owned).collect() };
        match (found, wanted) {
            (None, None) => true,
            (Some(found), Some(wanted)) => is_within(&items(wanted), &items(found)),
            _ => false,
        }
    }
}
