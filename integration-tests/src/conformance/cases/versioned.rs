//! Versioned tables.

use millstream::operators::dsl::{Consumed, KTable, Materialized, StreamsBuilder};

use super::windows::ms;
use super::{Recipe, Text, show};

pub(super) const CASES: &[(&str, Recipe)] = &[
    ("versioned-table-source", |b, _| versioned(b, "in", "v", 30_000).to_stream().to("out")),
    ("versioned-count", |b, _| {
        let kept = Materialized::named("v").versioned(ms(60_000));
        b.stream::<Text, Text>("in").group_by_key().count(kept).to_stream().to("out");
    }),
    ("versioned-table-filter-groupby", |b, _| {
        let wanted = versioned(b, "in", "v", 60_000).filter(|_, v| v != "w");
        let groups = wanted.group_by(|k, v| (v.clone(), k.clone()));
        groups.count(Materialized::named("cnt")).to_stream().to("out");
    }),
    ("versioned-table-table-inner", |b, _| {
        let (a, b) = (versioned(b, "left", "l", 60_000), versioned(b, "right", "r", 60_000));
        a.join(&b, |x, y| format!("{x}~{y}")).to_stream().to("out");
    }),
    ("versioned-table-table-left", |b, _| {
        let (a, b) = (versioned(b, "left", "l", 60_000), versioned(b, "right", "r", 60_000));
        a.left_join(&b, |x, y| format!("{x}~{}", show(&y))).to_stream().to("out");
    }),
    ("versioned-table-table-outer", |b, _| {
        let (a, b) = (versioned(b, "left", "l", 60_000), versioned(b, "right", "r", 60_000));
        a.outer_join(&b, |x, y| format!("{}~{}", show(&x), show(&y))).to_stream().to("out");
    }),
    ("versioned-fk-join", |b, _| {
        let (a, b) = (versioned(b, "left", "l", 60_000), versioned(b, "right", "r", 60_000));
        a.join_on(&b, |_, v| v.clone(), |x, y| format!("{x}~{y}")).to_stream().to("out");
    }),
];

fn versioned(b: &StreamsBuilder, topic: &str, store: &str, history: u64) -> KTable<String, String> {
    b.table_with(topic, Consumed::new(), Materialized::named(store).versioned(ms(history)))
}
