//! Sliding windows, sessions, unlimited windows, emission on window close, suppression.

use millstream::operators::dsl::{
    BufferConfig, Consumed, EmitStrategy, KGroupedStream, KTable, Produced, SessionWindows, SlidingWindows,
    StreamsBuilder, Suppressed, TimeWindows, UnlimitedWindows,
};
use millstream::state::model::{Timestamp, Windowed};
use millstream::state::serdes::{self, DefaultSerde};

use super::windows::{label, ms, named, texts, windowed};
use super::{Recipe, Text, show};

pub(super) const CASES: &[(&str, Recipe)] = &[
    ("unlimited-window", |b, _| {
        let all = UnlimitedWindows::of().start_on(Timestamp::from_millis(10_000));
        texts(b).windowed_by(all).count(named("w")).to_stream_with_key(|k, _| label(k)).to("out");
    }),
    ("sliding-count", |b, _| {
        texts(b).windowed_by(sliding(5_000, 2_000)).count(named("w")).to_stream().to_with("out", windowed(5_000));
    }),
    ("sliding-aggregate", |b, _| {
        let table = texts(b).windowed_by(sliding(5_000, 60_000)).aggregate(String::new, cat, named("w"));
        table.to_stream().to_with("out", windowed(5_000));
    }),
    ("sliding-reduce", |b, _| {
        let windows = SlidingWindows::of_time_difference_with_no_grace(ms(3_000));
        let table = texts(b).windowed_by(windows).reduce(join, named("w"));
        table.to_stream().to_with("out", windowed(3_000));
    }),
    ("session-count", |b, _| {
        texts(b).windowed_by(sessions(5_000, 6_000)).count(named("s")).to_stream().to_with("out", in_sessions());
    }),
    ("session-aggregate", |b, _| {
        let windows = SessionWindows::of_inactivity_gap_with_no_grace(ms(5_000));
        let merge = |_: &Text, x: String, y: String| format!("({x}|{y})");
        let table = texts(b).windowed_by(windows).aggregate(String::new, cat, merge, named("s"));
        table.to_stream().to_with("out", in_sessions());
    }),
    ("session-reduce", |b, _| {
        let kept = named("s").in_memory().retention(ms(60_000));
        let table = texts(b).windowed_by(sessions(3_000, 10_000)).reduce(join, kept);
        table.to_stream().to_with("out", in_sessions());
    }),
    ("emit-final-tumbling", |b, _| {
        let windows = TimeWindows::of_size_and_grace(ms(10_000), ms(5_000));
        let closing = texts(b).windowed_by(windows).emit_strategy(EmitStrategy::OnWindowClose);
        closing.aggregate(String::new, cat, named("w")).to_stream().to_with("out", windowed(10_000));
    }),
    ("emit-final-tumbling-retention", |b, _| {
        let windows = TimeWindows::of_size_and_grace(ms(10_000), ms(5_000));
        let closing = texts(b).windowed_by(windows).emit_strategy(EmitStrategy::OnWindowClose);
        let kept = named("w").retention(ms(3_600_000));
        closing.aggregate(String::new, cat, kept).to_stream().to_with("out", windowed(10_000));
    }),
    ("emit-final-tumbling-throttled", |b, _| {
        let windows = TimeWindows::of_size_with_no_grace(ms(5_000));
        let closing = texts(b).windowed_by(windows).emit_strategy(EmitStrategy::OnWindowClose);
        closing.count(named("w")).to_stream().to_with("out", windowed(5_000));
    }),
    ("emit-final-hopping", |b, _| {
        let windows = TimeWindows::of_size_and_grace(ms(10_000), ms(3_000)).advance_by(ms(4_000));
        let closing = texts(b).windowed_by(windows).emit_strategy(EmitStrategy::OnWindowClose);
        closing.count(named("w")).to_stream().to_with("out", windowed(10_000));
    }),
    ("emit-final-sliding", |b, _| {
        let closing = texts(b).windowed_by(sliding(5_000, 2_000)).emit_strategy(EmitStrategy::OnWindowClose);
        closing.aggregate(String::new, cat, named("w")).to_stream().to_with("out", windowed(5_000));
    }),
    ("emit-final-session", |b, _| {
        let closing = texts(b).windowed_by(sessions(5_000, 3_000)).emit_strategy(EmitStrategy::OnWindowClose);
        let merge = |_: &Text, x: String, y: String| format!("{x}|{y}");
        closing.aggregate(String::new, cat, merge, named("s")).to_stream().to_with("out", in_sessions());
    }),
    ("suppress-window-close", |b, _| {
        let closed = Suppressed::until_window_closes(BufferConfig::unbounded()).name("sup");
        ten_seconds(b).suppress(closed).to_stream().to_with("out", windowed(10_000));
    }),
    ("suppress-window-close-hopping", |b, _| {
        let windows = TimeWindows::of_size_with_no_grace(ms(6_000)).advance_by(ms(2_000));
        let table = texts(b).windowed_by(windows).aggregate(String::new, cat, named("w"));
        let closed = Suppressed::until_window_closes(BufferConfig::unbounded());
        table.suppress(closed).to_stream().to_with("out", windowed(6_000));
    }),
    ("suppress-window-close-session", |b, _| {
        let table = texts(b).windowed_by(sessions(4_000, 2_000)).count(named("s"));
        let closed = Suppressed::until_window_closes(BufferConfig::unbounded()).name("sup");
        table.suppress(closed).to_stream().to_with("out", in_sessions());
    }),
    ("suppress-window-close-max-records", |b, _| {
        let buffer = BufferConfig::max_records(5).shut_down_when_full();
        let closed = Suppressed::until_window_closes(buffer).name("sup");
        ten_seconds(b).suppress(closed).to_stream().to_with("out", windowed(10_000));
    }),
    ("suppress-time-limit", |b, _| {
        let seldom = Suppressed::until_time_limit(ms(5_000), BufferConfig::unbounded()).name("sup");
        texts(b).count(named("cnt")).suppress(seldom).to_stream().to("out");
    }),
    ("suppress-time-limit-max-records", |b, _| {
        let buffer = BufferConfig::max_records(3).emit_early_when_full();
        let seldom = Suppressed::until_time_limit(ms(20_000), buffer).name("sup");
        texts(b).count(named("cnt")).suppress(seldom).to_stream().to("out");
    }),
    ("suppress-time-limit-max-bytes", |b, _| {
        let buffer = BufferConfig::max_bytes(200).emit_early_when_full();
        let seldom = Suppressed::until_time_limit(ms(20_000), buffer).name("sup");
        texts(b).count(named("cnt")).suppress(seldom).to_stream().to("out");
    }),
    ("suppress-table-tombstones", |b, _| {
        let buffer = BufferConfig::max_records(4).emit_early_when_full().logging(false);
        let seldom = Suppressed::until_time_limit(ms(4_000), buffer).name("sup");
        table(b).suppress(seldom).to_stream().to("out");
    }),
    ("suppress-zero-limit", |b, _| {
        let at_once = Suppressed::until_time_limit(ms(0), BufferConfig::unbounded()).name("sup");
        table(b).suppress(at_once).to_stream().to("out");
    }),
    ("suppress-then-groupby", |b, _| {
        let seldom = Suppressed::until_time_limit(ms(3_000), BufferConfig::unbounded()).name("sup");
        let groups = table(b).suppress(seldom).group_by(|k, v| (v.clone(), k.clone()));
        groups.count(named("cnt")).to_stream().to("out");
    }),
];

/// Appends a value to a text, as the reference does.
fn cat(_: &Text, value: &Text, text: String) -> String {
    text + &show(value)
}

/// Appends a value to the values before.
fn join(before: Text, value: &Text) -> Option<Text> {
    Some(Some(show(&before) + &show(value)))
}

fn sliding(difference: u64, grace: u64) -> SlidingWindows {
    SlidingWindows::of_time_difference_and_grace(ms(difference), ms(grace))
}

pub(super) fn sessions(gap: u64, grace: u64) -> SessionWindows {
    SessionWindows::of_inactivity_gap_and_grace(ms(gap), ms(grace))
}

/// Counts per ten seconds.
fn ten_seconds(b: &StreamsBuilder) -> KTable<Windowed<Text>, i64> {
    let group: KGroupedStream<Text, Text> = texts(b);
    group.windowed_by(TimeWindows::of_size_and_grace(ms(10_000), ms(5_000))).count(named("w"))
}

fn table(b: &StreamsBuilder) -> KTable<String, String> {
    b.table_with("in", Consumed::new(), named("tab"))
}

/// An output topic whose keys are sessions.
pub(super) fn in_sessions<V: DefaultSerde>() -> Produced<Windowed<Text>, V> {
    Produced::with(serdes::session_windowed(Text::serde()), V::serde())
}
