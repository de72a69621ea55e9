//! Tables.

use millstream::operators::dsl::{Consumed, KTable, Materialized, StreamsBuilder};
use millstream::state::serdes::DefaultSerde;

use super::windows::named;
use super::{Recipe, Text};

pub(super) const CASES: &[(&str, Recipe)] = &[
    ("table-source", |b, _| table::<String>(b).to_stream().to("out")),
    ("table-source-unmaterialized", |b, _| b.table::<String, String>("in").to_stream().to("out")),
    ("table-tostream-mapper", |b, _| {
        let longer = |k: &String, v: &Text| v.as_ref().map_or_else(|| k.clone(), |v| format!("{k}{v}"));
        table::<String>(b).to_stream_with_key(longer).to("out");
    }),
    ("table-filter", |b, _| table::<i64>(b).filter(|_, v| v % 2 == 0).to_stream().to("out")),
    ("table-filter-not", |b, _| b.table::<String, i64>("in").filter_not(|_, v| v % 2 == 0).to_stream().to("out")),
    ("table-map-values", |b, _| {
        table::<i64>(b).filter_map_values(|_, v| (*v != 0).then(|| v * 10)).to_stream().to("out");
    }),
    ("table-filter-materialized", |b, _| {
        table::<i64>(b).filter_with(|_, v| v % 2 == 0, named("f")).to_stream().to("out");
    }),
    ("table-filter-not-materialized", |b, _| {
        b.table::<String, i64>("in").filter_not_with(|_, v| v % 2 == 0, named("f")).to_stream().to("out");
    }),
    ("table-map-values-materialized", |b, _| {
        let tens = |_: &String, v: &i64| (*v != 0).then(|| v * 10);
        table::<i64>(b).filter_map_values_with(tens, named("f")).to_stream().to("out");
    }),
    ("table-chain", |b, _| {
        let doubled = b.table::<String, i64>("in").filter(|_, v| *v > 2).map_values(|v| v * 2);
        doubled
            .filter_with(|_, v| v % 3 != 0, Materialized::with(String::serde(), i64::serde()).name("last"))
            .to_stream()
            .to("out");
    }),
];

/// The table that most cases read, in a store.
fn table<V: DefaultSerde>(b: &StreamsBuilder) -> KTable<String, V> {
    b.table_with("in", Consumed::with(String::serde(), V::serde()), named("tab"))
}
