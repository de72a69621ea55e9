//! Operators put together in ways that the other cases do not have.

mod streams;
mod tables;
mod windows;

use std::time::Duration;

use millstream::operators::dsl::{
    BufferConfig, Consumed, JoinWindows, KStream, KTable, Materialized, StreamsBuilder, Suppressed,
};

use super::windows::{ms, named};
use super::{Recipe, Text, show};

pub(super) const FAMILIES: &[&[(&str, Recipe)]] = &[streams::CASES, tables::CASES, windows::CASES];

fn stream(b: &StreamsBuilder, topic: &str) -> KStream<Text, Text> {
    b.stream(topic)
}

fn sides(b: &StreamsBuilder) -> (KStream<Text, Text>, KStream<Text, Text>) {
    (b.stream("left"), b.stream("right"))
}

fn table(b: &StreamsBuilder, topic: &str) -> KTable<String, String> {
    b.table(topic)
}

fn tables(b: &StreamsBuilder) -> (KTable<String, String>, KTable<String, String>) {
    (b.table("left"), b.table("right"))
}

fn kept(b: &StreamsBuilder, topic: &str, store: &str) -> KTable<String, String> {
    b.table_with(topic, Consumed::new(), named(store))
}

fn versioned(b: &StreamsBuilder, topic: &str, store: &str) -> KTable<String, String> {
    b.table_with(topic, Consumed::new(), Materialized::named(store).versioned(ms(20_000)))
}

/// The value, unless it is `p`.
fn n(value: &Text) -> Text {
    value.clone().filter(|value| value != "p")
}

fn no_p(value: &String) -> Text {
    (value != "p").then(|| value.clone())
}

fn tilde(x: &String, y: Option<&String>) -> String {
    format!("{x}~{}", show(&y))
}

fn within(difference: u64, grace: u64) -> JoinWindows {
    JoinWindows::of_time_difference_and_grace(Duration::from_millis(difference), Duration::from_millis(grace))
}

fn grace() -> JoinWindows {
    within(5000, 3000)
}

fn seldom<K>(millis: u64) -> Suppressed<K> {
    Suppressed::until_time_limit(ms(millis), BufferConfig::unbounded()).name("sup")
}

fn cat_values(before: Text, value: &Text) -> Option<Text> {
    Some(Some(show(&before) + &show(value)))
}

fn reduce_no_p(before: Text, value: &Text) -> Option<Text> {
    (value.as_deref() != Some("p")).then(|| Some(show(&before) + &show(value)))
}
