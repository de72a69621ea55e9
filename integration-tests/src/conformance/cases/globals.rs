//! Global tables and stores.

use millstream::operators::dsl::{Consumed, GlobalKTable, StreamsBuilder};
use millstream::operators::processor::{
    GlobalKeyValueStore, KeyValueStore, Outcome, Processor, ProcessorContext, Stores,
};
use millstream::operators::push::Record;
use millstream::state::serdes::DefaultSerde;

use super::windows::named;
use super::{Recipe, Text, show};

pub(super) const CASES: &[(&str, Recipe)] = &[
    ("global-store", |b, _| {
        let consumed = Consumed::<String, Text>::new();
        let gs = b.add_global_store(Stores::key_value::<String, Text>("gs"), "glob", consumed, Filling);
        b.stream::<Text, Text>("in").process(&gs, Looking).to("out");
    }),
    ("stream-globaltable-inner", |b, _| {
        let table = table(b);
        b.stream::<Text, Text>("in")
            .join_global_table(&table, |_, v| v.clone(), |v, w| format!("{}~{w}", show(v)))
            .to("out");
    }),
    ("stream-globaltable-left", |b, _| {
        let table = table(b);
        b.stream::<Text, Text>("in")
            .left_join_global_table(&table, |_, v| v.clone(), |v, w| format!("{}~{}", show(v), show(&w)))
            .to("out");
    }),
    ("stream-globaltable-key-joiner", |b, _| {
        let table = b.global_table::<String, i64>("glob");
        let joiner = |k: &Text, v: &Text, n: Option<&i64>| format!("{}|{}|{}", show(k), show(v), show(&n));
        let key = |k: &Text, v: &Text| Some(show(k) + &show(v));
        b.stream::<Text, Text>("in").left_join_global_table_with_key(&table, key, joiner).to("out");
    }),
];

fn table(b: &StreamsBuilder) -> GlobalKTable<String, String> {
    b.global_table_with("glob", Consumed::with(String::serde(), String::serde()), named("g"))
}

/// Keeps the last value of each key.
struct Filling(KeyValueStore<String, Text>);

impl Processor<String, Text, (), ()> for Filling {
    fn process(&mut self, cx: &mut ProcessorContext<'_, (), ()>, record: Record<'_, String, Text>) -> Outcome {
        Ok(self.0.put(cx, record.key, record.value.clone())?)
    }
}

/// Looks up what the value names.
struct Looking(GlobalKeyValueStore<String, Text>);

impl Processor<Text, Text, Text, Text> for Looking {
    fn process(&mut self, cx: &mut ProcessorContext<'_, Text, Text>, record: Record<'_, Text, Text>) -> Outcome {
        let found = match record.value {
            Some(key) => self.0.get(cx, key)?.flatten(),
            None => None,
        };
        cx.forward(record.with_value(&Some(format!("{}={}", show(record.value), show(&found)))))
    }
}
