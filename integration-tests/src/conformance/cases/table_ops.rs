//! Joins and groups of tables, and streams as tables.

use millstream::operators::dsl::{Consumed, Grouped, KTable, StreamsBuilder};

use millstream::operators::processor::{Stores, TransformerContext};

use super::windows::named;
use super::{Recipe, Text, show};

pub(super) const CASES: &[(&str, Recipe)] = &[
    ("to-table", |b, _| {
        let nulls = b.stream::<Text, Text>("in").map_values(|v| v.clone().filter(|v| v != "p"));
        nulls.to_table_with(named("tab")).to_stream().to("out");
    }),
    ("to-table-after-key-change", |b, _| {
        let keyed = b.stream::<Text, Text>("in").select_key(|_, v| v.clone());
        keyed.named("tt").to_table_with(named("tab")).to_stream().to("out");
    }),
    ("table-source-optimized", |b, _| kept(b, "in", "tab").to_stream().to("out")),
    ("table-groupby-count", |b, _| {
        let table = kept(b, "in", "tab").group_by(|_, v| (v.clone(), v.clone()));
        table.count(named("cnt")).to_stream().to("out");
    }),
    ("table-groupby-reduce", |b, _| {
        let table = b.table::<String, i64>("in").group_by(|_, v| (if *v < 5 { "lo" } else { "hi" }.to_owned(), *v));
        table.reduce(|a, v| a + v, |a, v| a - v, named("red")).to_stream().to("out");
    }),
    ("table-groupby-aggregate", |b, _| {
        let table = kept(b, "in", "tab").group_by(|k, v| (v.clone(), k.clone()));
        let agg = table.aggregate(String::new, |_, v, a| a + "+" + v, |_, v, a| a + "-" + v, named("agg"));
        agg.to_stream().to("out");
    }),
    ("table-groupby-sum-null", |b, _| {
        let parity = |v: i64| (v != 9).then(|| if v % 2 == 0 { "even" } else { "odd" }.to_owned());
        let table = b.table_with::<String, i64>("in", Consumed::new(), named("tab"));
        let groups = table.group_by_with(move |_, v| (parity(*v), *v), Grouped::<Text, i64>::named("par"));
        let subtract = |_: &Text, v: &i64, a: i64| (a - v != 0).then_some(a - v);
        groups.aggregate(|| 0, |_, v, a| a + v, subtract, named("sum")).to_stream().to("out");
    }),
    ("table-table-inner", |b, _| {
        let (a, b) = sides(b);
        a.join(&b, tilde).to_stream().to("out");
    }),
    ("table-table-left", |b, _| {
        let (a, b) = sides(b);
        a.left_join(&b, |x, y| tilde(x, &show(&y))).to_stream().to("out");
    }),
    ("table-table-outer", |b, _| {
        let (a, b) = sides(b);
        a.outer_join(&b, |x, y| tilde(&show(&x), &show(&y))).to_stream().to("out");
    }),
    ("table-table-inner-materialized", |b, _| {
        let (a, b) = (kept(b, "left", "l"), kept(b, "right", "r"));
        a.join_with(&b, tilde, named("j")).to_stream().to("out");
    }),
    ("table-table-left-materialized", |b, _| {
        let (a, b) = (kept(b, "left", "l"), kept(b, "right", "r"));
        a.left_join_with(&b, |x, y| tilde(x, &show(&y)), named("j")).to_stream().to("out");
    }),
    ("table-table-outer-materialized", |b, _| {
        let (a, b) = (kept(b, "left", "l"), kept(b, "right", "r"));
        a.outer_join_with(&b, |x, y| tilde(&show(&x), &show(&y)), named("j")).to_stream().to("out");
    }),
    ("table-table-join-null-result", |b, _| {
        let (a, b) = sides(b);
        a.filter_join_with(&b, |x, y| (x != y).then(|| format!("{x}{y}")), named("j")).to_stream().to("out");
    }),
    ("table-join-chain", |b, _| {
        let (x, y) = (b.table::<String, String>("a"), b.table::<String, String>("b"));
        let xy = x.join(&y, |x, y| format!("{x}{y}"));
        let d = b.table::<String, String>("d");
        let plus = |x: Option<&String>, y: Option<&String>| format!("{}+{}", show(&x), show(&y));
        xy.outer_join_with(&d, plus, named("abd")).to_stream().to("out");
    }),
    ("table-self-join", |b, _| {
        let table = b.table_with::<String, i64>("in", Consumed::new(), named("tab"));
        let high = table.filter(|_, v| *v > 4);
        table.left_join(&high, |x, y| format!("{x}/{}", show(&y))).to_stream().to("out");
    }),
    ("table-transform-values", |b, _| {
        let shown = kept(b, "in", "tab").transform_values((), |()| {
            |_: &mut TransformerContext<'_>, k: &String, v: Option<&String>| Ok(v.map(|v| format!("{k}={v}")))
        });
        shown.to_stream().to("out");
    }),
    ("table-transform-values-materialized", |b, _| {
        let calls = b.add_state_store(Stores::key_value::<String, i64>("calls"));
        let table = kept(b, "in", "tab").transform_values_with(
            &calls,
            |calls| {
                move |cx: &mut TransformerContext<'_>, k: &String, v: Option<&String>| {
                    let Some(v) = v else { return Ok(None) };
                    let n = calls.get(cx, k)?.unwrap_or(0) + 1;
                    calls.put(cx, k, n)?;
                    Ok(Some(format!("{v}/{n}")))
                }
            },
            named("f"),
        );
        table.to_stream().to("out");
    }),
    ("multiple-subtopologies", |b, _| {
        b.stream::<Text, Text>("in-1").filter(|_, v| v.as_deref().is_some_and(|v| v > "r")).to("out-1");
        let groups = b.stream::<Text, Text>("in-2").group_by_with(|_, v| v.clone(), Grouped::named("g"));
        groups.count(named("cnt")).to_stream().to("out-2");
        let (a, b) = (b.table::<String, String>("in-3"), b.table::<String, String>("in-4"));
        a.join(&b, |x, y| format!("{x}{y}")).to_stream().to("out-3");
    }),
    ("two-aggregations-optimized", |b, _| {
        let keyed = b.stream::<Text, Text>("in").select_key(|_, v| v.clone());
        keyed.group_by_key().count(named("c1")).to_stream().to("out-1");
        let joined = |a: Text, v: &Text| Some(show(&a) + &show(v));
        keyed.group_by_key().reduce(move |a, v| Some(joined(a, v)), named("c2")).to_stream().to("out-2");
    }),
];

fn tilde(x: &String, y: &String) -> String {
    format!("{x}~{y}")
}

/// A table of strings in a store.
fn kept(b: &StreamsBuilder, topic: &str, store: &str) -> KTable<String, String> {
    b.table_with(topic, Consumed::new(), named(store))
}

fn sides(b: &StreamsBuilder) -> (KTable<String, String>, KTable<String, String>) {
    (b.table("left"), b.table("right"))
}
