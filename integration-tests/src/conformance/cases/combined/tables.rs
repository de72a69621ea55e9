//! Tables that are joined, filtered, grouped, kept with versions, in several steps.

use millstream::operators::dsl::{Consumed, Joined, KTable, Materialized, StreamsBuilder, TableJoined};
use millstream::state::serdes::DefaultSerde;

use super::super::windows::{ms, named, texts};
use super::super::{Recipe, Text, show};
use super::{cat_values, kept, n, no_p, reduce_no_p, stream, table, tables, tilde, versioned};

pub(super) const CASES: &[(&str, Recipe)] = &[
    ("combined-tt-inner-null", |b, _| {
        let (l, r) = tables(b);
        l.filter_join(&r, |v, w| (v != w).then(|| format!("{v}{w}"))).to_stream().to("out");
    }),
    ("combined-tt-inner-null-materialized", |b, _| {
        let (l, r) = tables(b);
        l.filter_join_with(&r, |v, w| (v != w).then(|| format!("{v}{w}")), named("j")).to_stream().to("out");
    }),
    ("combined-tt-left-null", |b, _| {
        let (l, r) = tables(b);
        l.filter_left_join(&r, |v, w| w.map(|w| format!("{v}{w}"))).to_stream().to("out");
    }),
    ("combined-tt-left-null-materialized", |b, _| {
        let (l, r) = tables(b);
        l.filter_left_join_with(&r, |v, w| w.map(|w| format!("{v}{w}")), named("j")).to_stream().to("out");
    }),
    ("combined-tt-outer-null", |b, _| outer_null(b, None).to_stream().to("out")),
    ("combined-tt-outer-null-materialized", |b, _| outer_null(b, Some("j")).to_stream().to("out")),
    ("combined-tt-outer-null-group", |b, _| first_letters(&outer_null(b, None))),
    ("combined-tt-outer-null-group-materialized", |b, _| first_letters(&outer_null(b, Some("j")))),
    ("combined-tt-left-filter", |b, _| {
        let (l, r) = tables(b);
        l.left_join(&r, tilde).filter(|_, v| !v.starts_with('q')).to_stream().to("out");
    }),
    ("combined-tt-left-filter-materialized", |b, _| {
        let (l, r) = tables(b);
        l.left_join_with(&r, tilde, named("j")).filter(|_, v| !v.starts_with('q')).to_stream().to("out");
    }),
    ("combined-tt-join-of-joins", |b, _| {
        let (l, r) = joins(b);
        l.left_join(&r, |x, y| x.clone() + &show(&y)).to_stream().to("out");
    }),
    ("combined-tt-join-of-joins-materialized", |b, _| {
        let (l, r) = joins(b);
        l.left_join_with(&r, |x, y| x.clone() + &show(&y), named("j")).to_stream().to("out");
    }),
    ("combined-tt-filtered-sides", |b, _| {
        let l = table(b, "left").filter(|_, v| v != "q");
        let r = table(b, "right").filter_map_values(|_, v| no_p(v));
        l.outer_join(&r, tildes).to_stream().to("out");
    }),
    ("combined-tt-filtered-sides-materialized", |b, _| {
        let l = table(b, "left").filter(|_, v| v != "q");
        let r = table(b, "right").filter_map_values(|_, v| no_p(v));
        l.outer_join_with(&r, tildes, named("j")).to_stream().to("out");
    }),
    ("combined-tt-filtered-materialized-sides", |b, _| {
        let l = table(b, "left").filter_with(|_, v| v != "q", named("lf"));
        let r = table(b, "right").filter_map_values_with(|_, v| no_p(v), named("rm"));
        l.left_join(&r, tilde).to_stream().to("out");
    }),
    ("combined-tt-filtered-materialized-sides-materialized", |b, _| {
        let l = table(b, "left").filter_with(|_, v| v != "q", named("lf"));
        let r = table(b, "right").filter_map_values_with(|_, v| no_p(v), named("rm"));
        l.left_join_with(&r, tilde, named("j")).to_stream().to("out");
    }),
    ("combined-fk-left-null", |b, _| fk_left_null(b, TableJoined::new())),
    ("combined-fk-left-null-materialized", |b, _| fk_left_null(b, TableJoined::new().materialized(named("j")))),
    ("combined-fk-group", |b, _| fk_group(b, TableJoined::new())),
    ("combined-fk-group-materialized", |b, _| fk_group(b, TableJoined::new().materialized(named("j")))),
    ("combined-fk-filtered", |b, _| fk_filtered(b, TableJoined::new())),
    ("combined-fk-filtered-materialized", |b, _| fk_filtered(b, TableJoined::new().materialized(named("j")))),
    ("combined-fk-filtered-left", |b, _| fk_filtered_left(b, TableJoined::new())),
    ("combined-fk-filtered-left-materialized", |b, _| fk_filtered_left(b, TableJoined::new().materialized(named("j")))),
    ("combined-table-filter-group", |b, _| parities(&numbers(b).filter(|_, v| v % 3 != 0))),
    ("combined-table-filter-group-materialized", |b, _| {
        parities(&numbers(b).filter_with(|_, v| v % 3 != 0, named("f")))
    }),
    ("combined-table-map-group", |b, _| fours(&numbers(b).filter_map_values(|_, v| (v % 3 != 0).then(|| v * 2)))),
    ("combined-table-map-group-materialized", |b, _| {
        fours(&numbers(b).filter_map_values_with(|_, v| (v % 3 != 0).then(|| v * 2), named("f")));
    }),
    ("combined-totable-join", |b, _| totable_join(b, Materialized::with(Text::serde(), String::serde()))),
    ("combined-totable-join-materialized", |b, _| totable_join(b, named("l"))),
    ("combined-fk-chain", |b, _| {
        let (l, r) = tables(b);
        let t = table(b, "third");
        let first = l.join_on(&r, |_, v| no_p(v), |_, w| w.clone());
        first.left_join_on(&t, |_, v| no_p(v), tilde).to_stream().to("out");
    }),
    ("combined-fk-self", |b, _| {
        let t = kept(b, "in", "t");
        t.left_join_on(&t, |_, v| no_p(v), tilde).to_stream().to("out");
    }),
    ("combined-fk-aggregate-left", |b, _| {
        let last = |_: Text, v: &Text| (v.as_deref() != Some("p")).then(|| v.clone());
        let l = stream(b, "left").group_by_key().reduce(last, named("lr"));
        l.join_on(&table(b, "right"), |_, v| n(v), |x, y| format!("{}~{y}", show(x))).to_stream().to("out");
    }),
    ("combined-versioned-join-plain", |b, _| {
        let (l, r) = (versioned(b, "left", "v"), table(b, "right"));
        l.left_join(&r, tilde).to_stream().to("out");
    }),
    ("combined-versioned-plain-join", |b, _| {
        let (l, r) = (table(b, "left"), versioned(b, "right", "v"));
        l.left_join(&r, tilde).to_stream().to("out");
    }),
    ("combined-versioned-outer-materialized", |b, _| {
        let (l, r) = (versioned(b, "left", "lv"), versioned(b, "right", "rv"));
        l.outer_join_with(&r, tildes, named("j")).to_stream().to("out");
    }),
    ("combined-versioned-filter-join", |b, _| {
        let l = versioned(b, "left", "lv").filter(|_, v| v != "q");
        let r = versioned(b, "right", "rv").filter_map_values(|_, v| no_p(v));
        l.outer_join(&r, tildes).to_stream().to("out");
    }),
    ("combined-versioned-map-group", |b, _| {
        let table = versioned(b, "in", "v").filter_map_values(|_, v| no_p(v)).group_by(|k, v| (v.clone(), k.clone()));
        let agg = table.aggregate(String::new, |_, v, a| a + "+" + v, |_, v, a| a + "-" + v, named("agg"));
        agg.to_stream().to("out");
    }),
    ("combined-versioned-filter-materialized", |b, _| {
        versioned(b, "in", "v").filter_with(|_, v| v != "q", named("f")).to_stream().to("out");
    }),
    ("combined-versioned-totable", |b, _| {
        let nulls = stream(b, "in").map_values(n);
        nulls.to_table_with(Materialized::named("v").versioned(ms(10_000))).to_stream().to("out");
    }),
    ("combined-versioned-fk-left", |b, _| {
        let (l, r) = (versioned(b, "left", "lv"), versioned(b, "right", "rv"));
        l.left_join_on(&r, |_, v| no_p(v), tilde).to_stream().to("out");
    }),
    ("combined-versioned-stream-join-rekeyed", |b, _| {
        let kept = Materialized::named("v").versioned(ms(20_000));
        let t = b.table_with("tab", Consumed::<Text, String>::new(), kept);
        let rekeyed = stream(b, "in").select_key(|_, v| n(v));
        rekeyed.left_join_table_with(&t, |_, v, w| format!("{}~{}", show(v), show(&w)), Joined::named("j")).to("out");
    }),
    ("combined-versioned-reduce", |b, _| {
        texts(b).reduce(reduce_no_p, Materialized::named("v").versioned(ms(10_000))).to_stream().to("out");
    }),
    ("combined-table-stream-table", |b, _| {
        let again = kept(b, "in", "t").to_stream().map_values(n).to_table_with(named("t2"));
        again.filter(|_, v| v != "q").to_stream().to("out");
    }),
    ("combined-table-rekey-reduce", |b, _| {
        let rekeyed = kept(b, "in", "t").to_stream().select_key(|_, v| n(v));
        rekeyed.group_by_key().reduce(cat_values, named("red")).to_stream().to("out");
    }),
    ("combined-aggregate-join-self", |b, _| {
        let g = texts(b);
        let (c, r) = (g.count(named("cnt")), g.reduce(reduce_no_p, named("red")));
        c.left_join(&r, |x, y| format!("{x}/{}", y.map_or_else(|| "null".to_owned(), show))).to_stream().to("out");
    }),
    ("combined-table-group-null-agg", |b, _| {
        let groups = kept(b, "in", "t").group_by(|k, v| (k[..1].to_owned(), v.clone()));
        let add = |_: &String, v: &String, a: String| (v != "p").then(|| a + "+" + v);
        let subtract = |_: &String, v: &String, a: String| (v != "q").then(|| a + "-" + v);
        groups.aggregate(String::new, add, subtract, named("agg")).to_stream().to("out");
    }),
    ("combined-table-group-null-value", |b, _| {
        let groups = kept(b, "in", "t").group_by(|k, v| (if v == "q" { "x".to_owned() } else { k.clone() }, no_p(v)));
        let add = |_: &String, v: &Text, a: String| a + "+" + &show(v);
        groups.aggregate(String::new, add, |_, v, a| a + "-" + &show(v), named("agg")).to_stream().to("out");
    }),
    ("combined-table-map-key-change", |b, _| {
        let shown = table(b, "in").map_values_with_key(|k, v| format!("{k}{v}"));
        shown.to_stream_with_key(|_, v| v.clone()).group_by_key().count(named("cnt")).to_stream().to("out");
    }),
    ("combined-optimized-table-join", |b, _| {
        let l = b.table_with("left", Consumed::<Text, String>::new(), named("l"));
        let r = b.table::<Text, String>("right");
        l.join(&r, |x, y| format!("{x}~{y}")).to_stream().to("out-1");
        l.filter(|_, v| v != "q").to_stream().to("out-2");
        stream(b, "in").join_table(&r, |v, w| show(v) + w).to("out-3");
    }),
];

fn numbers(b: &StreamsBuilder) -> KTable<String, i64> {
    b.table("in")
}

fn tildes(x: Option<&String>, y: Option<&String>) -> String {
    format!("{}~{}", show(&x), show(&y))
}

fn outer_null(b: &StreamsBuilder, store: Option<&str>) -> KTable<String, String> {
    let (l, r) = tables(b);
    let join = |v: Option<&String>, w: Option<&String>| v.map(|v| v.clone() + &show(&w));
    match store {
        Some(store) => l.filter_outer_join_with(&r, join, named(store)),
        None => l.filter_outer_join(&r, join),
    }
}

fn first_letters(table: &KTable<String, String>) {
    let groups = table.group_by(|_, v| (v[..1].to_owned(), v.clone()));
    let agg = groups.aggregate(String::new, |_, v, a| a + "+" + v, |_, v, a| a + "-" + v, named("agg"));
    agg.to_stream().to("out");
}

fn joins(b: &StreamsBuilder) -> (KTable<String, String>, KTable<String, String>) {
    let l = table(b, "left").join(&table(b, "right"), |x, y| format!("{x}{y}"));
    (l, table(b, "third").outer_join(&table(b, "fourth"), tildes))
}

fn fk_left_null(b: &StreamsBuilder, how: TableJoined<String, String, Text>) {
    let (l, r) = tables(b);
    let join = |v: &String, w: Option<&String>| w.map(|w| format!("{v}{w}"));
    l.left_join_on_with(&r, |_, v| no_p(v), join, how).to_stream().to("out");
}

fn fk_group(b: &StreamsBuilder, how: TableJoined<String, String, String>) {
    let (l, r) = tables(b);
    let joined = l.left_join_on_with(&r, |_, v| no_p(v), tilde, how);
    joined.group_by(|k, v| (v.clone(), k.clone())).count(named("cnt")).to_stream().to("out");
}

fn fk_filtered(b: &StreamsBuilder, how: TableJoined<String, String, String>) {
    let l = table(b, "left").filter(|_, v| v != "q");
    let r = table(b, "right").filter(|_, v| v != "s");
    l.join_on_with(&r, |_, v| no_p(v), |x, y| format!("{x}~{y}"), how).to_stream().to("out");
}

fn fk_filtered_left(b: &StreamsBuilder, how: TableJoined<String, String, String>) {
    let l = table(b, "left").filter(|_, v| v != "q");
    let r = table(b, "right").filter_map_values(|_, v| (v != "s").then(|| v.repeat(2)));
    l.left_join_on_with(&r, |_, v| no_p(v), tilde, how).to_stream().to("out");
}

fn parities(table: &KTable<String, i64>) {
    let groups = table.group_by(|_, v| (if v % 2 == 0 { "even" } else { "odd" }.to_owned(), *v));
    groups.count(named("cnt")).to_stream().to("out");
}

fn fours(table: &KTable<String, i64>) {
    let groups = table.group_by(|_, v| (if v % 4 == 0 { "four" } else { "two" }.to_owned(), *v));
    groups.reduce(|a, v| a + v, |a, v| (a - v != 0).then_some(a - v), named("red")).to_stream().to("out");
}

fn totable_join(b: &StreamsBuilder, left: Materialized<Text, String>) {
    let l = stream(b, "left").map_values(n).to_table_with(left);
    let r =
        stream(b, "right").select_key(|_, v| n(v)).to_table_with(Materialized::with(Text::serde(), String::serde()));
    l.outer_join(&r, tildes).to_stream().to("out");
}
