//! Windows with more below them, and aggregators that answer null.

use millstream::operators::dsl::{
    BufferConfig, EmitStrategy, Grouped, KTable, Materialized, SessionWindows, SlidingWindows, StreamsBuilder,
    Suppressed, TimeWindows, UnlimitedWindows,
};
use millstream::state::model::Windowed;
use millstream::state::serdes::{self, DefaultSerde};

use super::super::window_ops::in_sessions;
use super::super::windows::{label, ms, named, texts, windowed};
use super::super::{Recipe, Text, show};
use super::{cat_values, kept, no_p, reduce_no_p, seldom, stream, table, tables, tilde};

pub(super) const CASES: &[(&str, Recipe)] = &[
    ("combined-windowed-filter-group", |b, _| sums(&ten_seconds(b).filter(|_, v| v % 3 != 0))),
    ("combined-windowed-filter-group-materialized", |b, _| {
        let kept = Materialized::with(serdes::time_windowed(Text::serde(), Some(10_000)), i64::serde()).name("f");
        sums(&ten_seconds(b).filter_with(|_, v| v % 3 != 0, kept));
    }),
    ("combined-suppress-join", |b, _| {
        let (l, r) = tables(b);
        l.left_join_with(&r, tilde, named("j")).suppress(seldom(3000)).to_stream().to("out");
    }),
    ("combined-suppress-filter", |b, _| {
        let buffer = BufferConfig::max_records(2).emit_early_when_full();
        let counts = texts(b).count(named("cnt")).filter(|_, n| n % 3 != 0);
        counts.suppress(Suppressed::until_time_limit(ms(3000), buffer).name("sup")).to_stream().to("out");
    }),
    ("combined-suppress-then-join", |b, _| {
        let l = kept(b, "left", "l").suppress(seldom(3000));
        l.join(&table(b, "right"), |x, y| format!("{x}~{y}")).to_stream().to("out");
    }),
    ("combined-suppress-then-filter", |b, _| {
        kept(b, "in", "t").suppress(seldom(2000)).filter_map_values(|_, v| no_p(v)).to_stream().to("out");
    }),
    ("combined-suppress-windowed-filter", |b, _| {
        let closed = Suppressed::until_window_closes(BufferConfig::unbounded()).name("sup");
        ten_seconds(b).filter(|_, n| n % 2 == 1).suppress(closed).to_stream().to_with("out", windowed(10_000));
    }),
    ("combined-suppress-sliding", |b, _| {
        let closed = Suppressed::until_window_closes(BufferConfig::unbounded()).name("sup");
        let counts = texts(b).windowed_by(sliding(5000, 2000)).count(named("w"));
        counts.suppress(closed).to_stream().to_with("out", windowed(5000));
    }),
    ("combined-suppress-windowed-time", |b, _| {
        let buffer = BufferConfig::max_bytes(400).emit_early_when_full();
        let limit = Suppressed::until_time_limit(ms(2000), buffer).name("sup");
        ten_seconds(b).suppress(limit).to_stream().to_with("out", windowed(10_000));
    }),
    ("combined-suppress-session-zero", |b, _| {
        let closed = Suppressed::until_window_closes(BufferConfig::unbounded()).name("sup");
        let table = texts(b).windowed_by(sessions(3000, 0)).reduce(cat_values, named("s"));
        table.suppress(closed).to_stream().to_with("out", in_sessions());
    }),
    ("combined-suppress-twice", |b, _| {
        let first = Suppressed::until_time_limit(ms(2000), BufferConfig::unbounded()).name("s1");
        let buffer = BufferConfig::max_records(2).emit_early_when_full();
        let second = Suppressed::until_time_limit(ms(3000), buffer).name("s2");
        kept(b, "in", "t").suppress(first).filter(|_, v| v != "q").suppress(second).to_stream().to("out");
    }),
    ("combined-suppress-windowed-group", |b, _| {
        let closed = Suppressed::until_window_closes(BufferConfig::unbounded()).name("sup");
        let windows = TimeWindows::of_size_and_grace(ms(5000), ms(0));
        sums(&texts(b).windowed_by(windows).count(named("w")).suppress(closed));
    }),
    ("combined-windowed-totable", |b, _| {
        let windows = TimeWindows::of_size_and_grace(ms(5000), ms(2000));
        let counts = texts(b).windowed_by(windows).count(named("w")).to_stream_with_key(|k, _| k.key.clone());
        counts.to_table_with(named("tab")).to_stream().to("out");
    }),
    ("combined-session-group", |b, _| sums(&texts(b).windowed_by(sessions(3000, 2000)).count(named("s")))),
    ("combined-session-filter-to-stream", |b, _| {
        let table = texts(b).windowed_by(sessions(3000, 2000)).reduce(cat_values, named("s"));
        let odd = table.filter(|_, v| show(v).len() % 3 != 0);
        odd.to_stream_with_key(|k, _| format!("{}-{}", label(k), k.window.end)).to("out");
    }),
    ("combined-session-null", |b, _| {
        let merge = |_: &Text, a: String, c: String| format!("{a}|{c}");
        let table = texts(b).windowed_by(sessions(3000, 2000)).aggregate(String::new, cat_no_p, merge, named("s"));
        table.to_stream().to_with("out", in_sessions());
    }),
    ("combined-sliding-null", |b, _| {
        let table = texts(b).windowed_by(sliding(5000, 2000)).aggregate(String::new, cat_no_p, named("w"));
        table.to_stream().to_with("out", windowed(5000));
    }),
    ("combined-sliding-reduce-null", |b, _| {
        let table = texts(b).windowed_by(sliding(4000, 1000)).reduce(reduce_no_p, named("w"));
        table.to_stream().to_with("out", windowed(4000));
    }),
    ("combined-sliding-group", |b, _| sums(&texts(b).windowed_by(sliding(3000, 2000)).count(named("w")))),
    ("combined-hopping-reduce-null", |b, _| {
        let windows = TimeWindows::of_size_and_grace(ms(6000), ms(2000)).advance_by(ms(2000));
        texts(b).windowed_by(windows).reduce(reduce_no_p, named("w")).to_stream().to_with("out", windowed(6000));
    }),
    ("combined-windowed-join", |b, _| {
        let windows = TimeWindows::of_size_and_grace(ms(5000), ms(2000));
        let l = stream(b, "left").group_by_key().windowed_by(windows).count(named("lw"));
        let r = stream(b, "right").group_by_key().windowed_by(windows).count(named("rw"));
        let joined = l.outer_join(&r, |x, y| format!("{}/{}", show(&x), show(&y)));
        joined.to_stream_with_key(|k, _| label(k)).to("out");
    }),
    ("combined-final-null", |b, _| {
        let windows = TimeWindows::of_size_and_grace(ms(5000), ms(2000));
        let closing = texts(b).windowed_by(windows).emit_strategy(EmitStrategy::OnWindowClose);
        closing.aggregate(String::new, cat_no_p, named("w")).to_stream().to_with("out", windowed(5000));
    }),
    ("combined-final-reduce-sliding", |b, _| {
        let closing = texts(b).windowed_by(sliding(3000, 0)).emit_strategy(EmitStrategy::OnWindowClose);
        closing.reduce(reduce_no_p, named("w")).to_stream().to_with("out", windowed(3000));
    }),
    ("combined-final-session-null", |b, _| {
        let closing = texts(b).windowed_by(sessions(3000, 1000)).emit_strategy(EmitStrategy::OnWindowClose);
        let merge = |_: &Text, a: String, c: String| format!("{a}|{c}");
        closing.aggregate(String::new, cat_no_p, merge, named("s")).to_stream().to_with("out", in_sessions());
    }),
    ("combined-final-filter-group", |b, _| {
        let windows = TimeWindows::of_size_and_grace(ms(5000), ms(2000)).advance_by(ms(2500));
        let closing = texts(b).windowed_by(windows).emit_strategy(EmitStrategy::OnWindowClose);
        sums(&closing.count(named("w")).filter(|_, v| v % 2 == 1));
    }),
    ("combined-cogroup-null", |b, _| {
        let (l, r) = (stream(b, "left").group_by_key(), stream(b, "right").group_by_key());
        let second = |_: &Text, v: &Text, a: String| (v.as_deref() != Some("q")).then(|| a + "2" + &show(v));
        let table = l.cogroup(cat_no_p).cogroup(&r, second).aggregate(String::new, named("cog"));
        table.filter(|_, v| v.len() % 3 != 0).to_stream().to("out");
    }),
    ("combined-cogroup-session-null", |b, _| {
        let (l, r) = (stream(b, "left").group_by_key(), stream(b, "right").group_by_key());
        let both = l.cogroup(cat_no_p).cogroup(&r, |_: &Text, v: &Text, a: String| a + "2" + &show(v));
        let merge = |_: &Text, x: String, y: String| format!("{x}&{y}");
        let table = both.windowed_by(sessions(3000, 2000)).aggregate(String::new, merge, named("cog"));
        table.to_stream().to_with("out", in_sessions());
    }),
    ("combined-windowed-count-twice", |b, _| {
        let g = texts(b);
        let windows = TimeWindows::of_size_and_grace(ms(4000), ms(0));
        g.windowed_by(windows).count(named("w1")).to_stream_with_key(|k, _| label(k)).to("out-1");
        g.windowed_by(sessions(2000, 0)).count(named("w2")).to_stream_with_key(|k, _| label(k)).to("out-2");
        g.windowed_by(sliding(2000, 0)).count(named("w3")).to_stream_with_key(|k, _| label(k)).to("out-3");
    }),
    ("combined-unlimited-group", |b, _| {
        let table = texts(b).windowed_by(UnlimitedWindows::of()).reduce(cat_values, named("w"));
        table.to_stream_with_key(|k, _| k.key.clone()).to("out");
    }),
];

fn sliding(difference: u64, grace: u64) -> SlidingWindows {
    SlidingWindows::of_time_difference_and_grace(ms(difference), ms(grace))
}

fn sessions(gap: u64, grace: u64) -> SessionWindows {
    SessionWindows::of_inactivity_gap_and_grace(ms(gap), ms(grace))
}

fn cat_no_p(_: &Text, value: &Text, text: String) -> Text {
    (value.as_deref() != Some("p")).then(|| text + &show(value))
}

fn ten_seconds(b: &StreamsBuilder) -> KTable<Windowed<Text>, i64> {
    texts(b).windowed_by(TimeWindows::of_size_and_grace(ms(10_000), ms(5_000))).count(named("w"))
}

fn sums(table: &KTable<Windowed<Text>, i64>) {
    let groups = table.group_by_with(|k, v| (k.key.clone(), *v), Grouped::new());
    groups.reduce(|a, v| a + v, |a, v| a - v, named("red")).to_stream().to("out");
}
