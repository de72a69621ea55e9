//! Streams that are joined, merged, split and sent through topics, in several steps.

use millstream::operators::dsl::{
    Branched, Consumed, JoinWindows, Joined, Materialized, Repartitioned, StreamJoined, TimeWindows,
};
use millstream::operators::processor::{KeyValueStore, Outcome, Processor, ProcessorContext, Stores};
use millstream::operators::push::Record;

use super::super::windows::{ms, named, windowed};
use super::super::{Recipe, Text, show};
use super::{cat_values, grace, n, sides, stream, within};

pub(super) const CASES: &[(&str, Recipe)] = &[
    ("combined-stream-table-left-null", |b, _| {
        let t = b.table_with("tab", Consumed::<Text, String>::new(), named("t"));
        stream(b, "in").left_join_table(&t, |v, w| w.map(|w| show(v) + w)).to("out");
    }),
    ("combined-ss-left-null", |b, _| {
        let (l, r) = sides(b);
        l.left_join(&r, |v, w| w.filter(|_| v.as_deref() != Some("p")).map(|w| show(v) + &show(w)), grace()).to("out");
    }),
    ("combined-ss-outer-null-group", |b, _| {
        let (l, r) = sides(b);
        let joined = l.outer_join(&r, |v, w| v.map(|v| show(v) + &side(w)), grace());
        joined.group_by_key().count(named("cnt")).to_stream().to("out");
    }),
    ("combined-ss-left-rekeyed", |b, _| {
        let (l, r) = (stream(b, "left").select_key(|_, v| n(v)), stream(b, "right").select_key(|_, v| n(v)));
        l.left_join_with(&r, |_, x, y| format!("{}~{}", show(x), side(y)), grace(), StreamJoined::named("rj"))
            .to("out");
    }),
    ("combined-ss-outer-rekeyed", |b, _| {
        let (l, r) = (stream(b, "left").select_key(|_, v| n(v)), stream(b, "right").select_key(|_, v| n(v)));
        let windows = within(4000, 2000).before(ms(1000)).after(ms(6000));
        l.outer_join_with(&r, |_, x, y| format!("{}~{}", side(x), side(y)), windows, StreamJoined::named("rj"))
            .to("out");
    }),
    ("combined-ss-chain", |b, _| {
        let (l, r) = sides(b);
        let j = l.left_join(&r, |x, y| Some(format!("{}~{}", show(x), side(y))), grace());
        let windows = JoinWindows::of_time_difference_with_no_grace(ms(5000));
        j.join(&stream(b, "third"), |x: &Text, y: &Text| show(x) + &show(y), windows).to("out");
    }),
    ("combined-ss-join-then-window", |b, _| {
        let (l, r) = sides(b);
        let j = l.join(&r, |x, y| Some(format!("{}~{}", show(x), show(y))), grace());
        let windows = TimeWindows::of_size_and_grace(ms(10_000), ms(5_000));
        j.group_by_key().windowed_by(windows).count(named("w")).to_stream().to_with("out", windowed(10_000));
    }),
    ("combined-repartition-merge", |b, _| {
        let l = stream(b, "left").repartition_with(Repartitioned::named("re"));
        let r = stream(b, "right").select_key(|_, v| n(v));
        l.merge(&r).group_by_key().count(named("cnt")).to_stream().to("out");
    }),
    ("combined-merge-flatmap-null", |b, _| {
        let l = stream(b, "left");
        let r = stream(b, "right").flat_map(|k, v| [(n(v), k.clone()), (k.clone(), n(v))]);
        l.merge(&r).group_by_key().aggregate(String::new, cat, named("agg")).to_stream().to("out");
    }),
    ("combined-global-null", |b, _| {
        let gt = b.global_table::<String, String>("glob");
        let inner = |v: &Text, w: &String| (w != "s").then(|| show(v) + w);
        stream(b, "in").join_global_table(&gt, |_, v| n(v), inner).to("out-inner");
        let left = |v: &Text, w: Option<&String>| w.map(|w| show(v) + w);
        stream(b, "in2").left_join_global_table(&gt, |_, v| n(v), left).to("out-left");
    }),
    ("combined-global-then-group", |b, _| {
        let gt = b.global_table::<String, String>("glob");
        let joined = |v: &Text, w: Option<&String>| Some(format!("{}~{}", show(v), show(&w)));
        let joined = stream(b, "in").left_join_global_table(&gt, |k, _| k.clone(), joined);
        joined.group_by_key().reduce(cat_values, named("red")).to_stream().to("out");
    }),
    ("combined-branch-repartition", |b, _| {
        let branches = stream(b, "in")
            .select_key(|_, v| n(v))
            .named("b-")
            .split()
            .branch_with(|_, v| v.as_deref() == Some("q"), Branched::named("q"))
            .branch_with(|k, _| k.is_none(), Branched::named("n"))
            .default_branch_with(Branched::named("d"));
        branches.get("b-q").group_by_key().count(named("c1")).to_stream().to("out-1");
        branches.get("b-n").to("out-2");
        let rest = branches.get("b-d").repartition_with(Repartitioned::named("re"));
        rest.group_by_key().reduce(cat_values, named("c2")).to_stream().to("out-3");
    }),
    ("combined-two-groups-map", |b, _| {
        let s = stream(b, "in").select_key(|_, v| n(v)).map_values(|v| Some(show(v) + "!"));
        s.group_by_key().count(named("c1")).to_stream().to("out-1");
        let asked = s.map_values(|v| Some(show(v) + "?"));
        asked.group_by_key().reduce(cat_values, named("c2")).to_stream().to("out-2");
        s.group_by(|_, v| v.clone()).count(named("c3")).to_stream().to("out-3");
    }),
    ("combined-stream-join-of-aggregate", |b, _| {
        let s = stream(b, "in");
        let t = s.group_by_key().count(named("cnt"));
        s.left_join_table(&t, |v, c| format!("{}#{}", show(v), show(&c))).to("out");
    }),
    ("combined-process-group", |b, _| {
        let st = b.add_state_store(Stores::key_value::<String, i64>("st"));
        let processed = stream(b, "in").process(&st, Rekeying);
        processed.group_by_key().reduce(cat_values, named("red")).to_stream().to("out");
    }),
    ("combined-grace-join-rekeyed", |b, _| {
        let kept = Materialized::named("v").versioned(ms(60_000));
        let t = b.table_with("tab", Consumed::<Text, String>::new(), kept);
        let how = Joined::named("gj").grace_period(ms(2000));
        let joined = stream(b, "in").map_values(n).join_table_with(&t, |_, v, w| Some(show(v) + "~" + w), how);
        joined.group_by_key().reduce(cat_values, named("red")).to_stream().to("out");
    }),
    ("combined-self-join-filter", |b, _| {
        let s = stream(b, "in");
        let l = s.filter(|_, v| v.as_deref() != Some("q"));
        l.left_join(&s, |x, y| format!("{}~{}", show(x), side(y)), grace()).to("out");
    }),
    ("combined-self-outer-join", |b, _| {
        let s = stream(b, "in");
        s.outer_join(&s, |x, y| format!("{}~{}", side(x), side(y)), grace()).to("out");
    }),
];

fn side(value: Option<&Text>) -> String {
    value.map_or_else(|| show::<String>(&None), show)
}

fn cat(_: &Text, value: &Text, text: String) -> String {
    text + &show(value)
}

/// Hands on what it counts under another key, and a null each second time.
struct Rekeying(KeyValueStore<String, i64>);

impl Processor<Text, Text, Text, Text> for Rekeying {
    fn process(&mut self, cx: &mut ProcessorContext<'_, Text, Text>, record: Record<'_, Text, Text>) -> Outcome {
        let Some(key) = record.key else { return Ok(()) };
        let count = self.0.get(cx, key)?.unwrap_or(0) + 1;
        self.0.put(cx, key, count)?;
        cx.forward(record.with_key(&n(record.value)).with_value(&Some(format!("{key}{count}"))))?;
        if count % 2 == 0 {
            cx.forward(record.with_value(&None))?;
        }
        Ok(())
    }
}
