//! Tables.

use millstream::operators::dsl::{Consumed, KTable, StreamsBuilder};
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
];

/// The table that most cases read, in a store.
fn table<V: DefaultSerde>(b: &StreamsBuilder) -> KTable<String, V> {
    b.table_with("in", Consumed::with(String::serde(), V::serde()), named("tab"))
}
