//! Joins of streams: with streams and with tables.

use std::time::Duration;

use millstream::operators::dsl::{
    Consumed, JoinStore, JoinWindows, Joined, KStream, KTable, Materialized, StreamJoined, StreamsBuilder,
};
use millstream::state::serdes::DefaultSerde;

use super::windows::named;
use super::{Recipe, Text, show};

pub(super) const CASES: &[(&str, Recipe)] = &[
    ("stream-table-inner", |b, _| {
        let t = table(b, named("t"));
        input(b).join_table(&t, |v, w| tilde(v, Some(w))).to("out");
    }),
    ("stream-table-left", |b, _| {
        let t = table(b, named("t"));
        input(b).left_join_table(&t, tilde).to("out");
    }),
    ("stream-table-inner-rekeyed", |b, _| {
        let t = table(b, Materialized::default());
        let joined = Joined::named("j");
        rekeyed(b).join_table_with(&t, |k, v, w| format!("{}/{}", show(k), tilde(v, Some(w))), joined).to("out");
    }),
    ("stream-table-left-rekeyed", |b, _| {
        let t = table(b, Materialized::default());
        let joined = Joined::named("j");
        rekeyed(b).left_join_table_with(&t, |k, v, w| format!("{}/{}", show(k), tilde(v, w)), joined).to("out");
    }),
    ("stream-versioned-table-inner", |b, _| {
        let t = versioned(b, 20_000);
        input(b).join_table(&t, |v, w| tilde(v, Some(w))).to("out");
    }),
    ("stream-versioned-table-left", |b, _| {
        let t = versioned(b, 20_000);
        input(b).left_join_table(&t, tilde).to("out");
    }),
    ("stream-table-grace-inner", |b, _| {
        let t = versioned(b, 60_000);
        input(b).join_table_with(&t, |_, v, w| tilde(v, Some(w)), held()).to("out");
    }),
    ("stream-table-grace-left", |b, _| {
        let t = versioned(b, 60_000);
        input(b).left_join_table_with(&t, |_, v, w| tilde(v, w), held()).to("out");
    }),
    ("stream-stream-inner-nograce", |b, _| inner(b, no_grace())),
    ("stream-stream-inner-grace", |b, _| inner(b, grace())),
    ("stream-stream-inner-asym", |b, _| inner(b, asymmetric())),
    ("stream-stream-left-nograce", |b, _| left(b, no_grace())),
    ("stream-stream-left-grace", |b, _| left(b, grace())),
    ("stream-stream-left-asym", |b, _| left(b, asymmetric())),
    ("stream-stream-outer-nograce", |b, _| outer(b, no_grace())),
    ("stream-stream-outer-grace", |b, _| outer(b, grace())),
    ("stream-stream-outer-asym", |b, _| outer(b, asymmetric())),
    ("stream-stream-outer-throttled", |b, _| outer(b, within(5000, 1000))),
    ("stream-stream-left-named", |b, _| {
        let (l, r) = sides(b);
        let joined = StreamJoined::named("jn").store_name("js").logging(false);
        l.left_join_with(&r, |k, x, y| [show(k), show(x), side(y)].concat(), within(3000, 1000), joined).to("out");
    }),
    ("stream-stream-inner-in-memory", |b, _| {
        let (l, r) = sides(b);
        let joined = StreamJoined::new().this_store(JoinStore::in_memory("lw")).other_store(JoinStore::in_memory("rw"));
        l.join_with(&r, |_, x, y| show(x) + &show(y), within(3000, 2000), joined).to("out");
    }),
    ("stream-stream-rekeyed", |b, _| {
        let l = b.stream::<Text, Text>("left").select_key(|_, v| v.clone());
        let r = b.stream::<Text, Text>("right").map(|k, v| (v.clone(), k.clone()));
        l.join_with(&r, |_, x, y| show(x) + &show(y), within(3000, 0), StreamJoined::named("rj")).to("out");
    }),
    ("stream-self-join", |b, _| self_join(b)),
    ("stream-self-join-optimized", |b, _| self_join(b)),
];

fn input(b: &StreamsBuilder) -> KStream<Text, Text> {
    b.stream("in")
}

fn rekeyed(b: &StreamsBuilder) -> KStream<Text, Text> {
    input(b).select_key(|_, v| v.clone().filter(|v| v != "q"))
}

/// The table of the other side; its key is of the stream's type, which has a null.
fn table(b: &StreamsBuilder, materialized: Materialized<Text, String>) -> KTable<Text, String> {
    b.table_with("tab", Consumed::with(Text::serde(), String::serde()), materialized)
}

fn versioned(b: &StreamsBuilder, history: u64) -> KTable<Text, String> {
    table(b, Materialized::named("v").versioned(Duration::from_millis(history)))
}

fn held() -> Joined<Text, Text> {
    Joined::named("gj").grace_period(Duration::from_millis(3000))
}

fn tilde(v: &Text, w: Option<&String>) -> String {
    format!("{}~{}", show(v), show(&w))
}

/// A side of a join that may be missing, or null.
fn side(value: Option<&Text>) -> String {
    value.map_or_else(|| show::<String>(&None), show)
}

fn sides(b: &StreamsBuilder) -> (KStream<Text, Text>, KStream<Text, Text>) {
    (b.stream("left"), b.stream("right"))
}

fn within(difference: u64, grace: u64) -> JoinWindows {
    JoinWindows::of_time_difference_and_grace(Duration::from_millis(difference), Duration::from_millis(grace))
}

fn no_grace() -> JoinWindows {
    JoinWindows::of_time_difference_with_no_grace(Duration::from_millis(5000))
}

fn grace() -> JoinWindows {
    within(5000, 3000)
}

fn asymmetric() -> JoinWindows {
    within(4000, 2000).before(Duration::from_millis(1000)).after(Duration::from_millis(6000))
}

fn inner(b: &StreamsBuilder, windows: JoinWindows) {
    let (l, r) = sides(b);
    l.join(&r, |x, y| format!("{}~{}", show(x), show(y)), windows).to("out");
}

fn left(b: &StreamsBuilder, windows: JoinWindows) {
    let (l, r) = sides(b);
    l.left_join(&r, |x, y| format!("{}~{}", show(x), side(y)), windows).to("out");
}

fn outer(b: &StreamsBuilder, windows: JoinWindows) {
    let (l, r) = sides(b);
    l.outer_join(&r, |x, y| format!("{}~{}", side(x), side(y)), windows).to("out");
}

fn self_join(b: &StreamsBuilder) {
    let s = input(b);
    let windows = within(3000, 1000).before(Duration::from_millis(2000));
    s.join(&s, |x, y| show(x) + &show(y), windows).to("out");
}
