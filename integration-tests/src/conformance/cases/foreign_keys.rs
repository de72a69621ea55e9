//! Foreign-key joins of tables.

use millstream::operators::dsl::{Consumed, KTable, Materialized, StreamsBuilder, TableJoined};

use super::windows::named;
use super::{Recipe, Text, show};

pub(super) const CASES: &[(&str, Recipe)] = &[
    ("fk-join-inner", |b, _| {
        let (a, b) = (b.table::<String, String>("left"), b.table::<String, String>("right"));
        a.join_on(&b, |_, v| foreign_key(v), |x, y| format!("{x}~{y}")).to_stream().to("out");
    }),
    ("fk-join-left", |b, _| {
        let (a, b) = (b.table::<String, String>("left"), b.table::<String, String>("right"));
        a.left_join_on(&b, |_, v| foreign_key(v), |x, y| format!("{x}~{}", show(&y))).to_stream().to("out");
    }),
    ("fk-join-inner-materialized", |b, _| {
        let (a, b) = (kept(b, "left", "l"), kept(b, "right", "r"));
        let how = TableJoined::named("fkj").materialized(Materialized::named("j"));
        a.join_on_with(&b, |_, v| foreign_key(v), |x, y| format!("{x}~{y}"), how).to_stream().to("out");
    }),
    ("fk-join-left-materialized", |b, _| {
        let (a, b) = (kept(b, "left", "l"), kept(b, "right", "r"));
        let how = TableJoined::named("fkj").materialized(Materialized::named("j"));
        a.left_join_on_with(&b, |_, v| foreign_key(v), |x, y| format!("{x}~{}", show(&y)), how).to_stream().to("out");
    }),
    ("fk-join-key-extractor", |b, _| {
        let (a, b) = (b.table::<String, String>("left"), b.table::<String, String>("right"));
        a.join_on(&b, |k, v| format!("{k}{v}"), |x, y| format!("{x}~{y}")).to_stream().to("out");
    }),
];

/// The text before the first colon, unless it is `none`.
fn foreign_key(value: &str) -> Text {
    value.split(':').next().filter(|key| *key != "none").map(str::to_owned)
}

fn kept(b: &StreamsBuilder, topic: &str, store: &str) -> KTable<String, String> {
    b.table_with(topic, Consumed::new(), named(store))
}
