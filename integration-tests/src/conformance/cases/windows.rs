//! Time windows.

use std::time::Duration;

use millstream::operators::dsl::{KGroupedStream, Materialized, Produced, StreamsBuilder, TimeWindows};
use millstream::state::model::Windowed;
use millstream::state::serdes::{self, DefaultSerde};

use super::{Recipe, Text, show};

pub(super) const CASES: &[(&str, Recipe)] = &[
    ("tumbling-count", |b, _| {
        let windows = TimeWindows::of_size_with_no_grace(ms(10_000));
        texts(b).windowed_by(windows).count(named("w")).to_stream().to_with("out", windowed(10_000));
    }),
    ("tumbling-aggregate-grace", |b, _| {
        let windows = TimeWindows::of_size_and_grace(ms(10_000), ms(5_000));
        let table = texts(b).windowed_by(windows).aggregate(String::new, |_, v, a| a + &show(v), named("w"));
        table.to_stream().to_with("out", windowed(10_000));
    }),
    ("tumbling-reduce", |b, _| {
        let windows = TimeWindows::of_size_and_grace(ms(10_000), ms(5_000));
        let kept = Materialized::with(Text::serde(), Text::serde()).in_memory();
        let table = texts(b).windowed_by(windows).reduce(|a, v| Some(show(&a) + &show(v)), kept);
        table.to_stream().to_with("out", windowed(10_000));
    }),
    ("tumbling-retention", |b, _| {
        let windows = TimeWindows::of_size_and_grace(ms(10_000), ms(5_000));
        let table = texts(b).windowed_by(windows).count(named("w").retention(ms(300_000)));
        table.to_stream().to_with("out", windowed(10_000));
    }),
    ("hopping-count", |b, _| {
        let windows = TimeWindows::of_size_and_grace(ms(10_000), ms(3_000)).advance_by(ms(4_000));
        texts(b).windowed_by(windows).count(named("w")).to_stream().to_with("out", windowed(10_000));
    }),
    ("hopping-aggregate-delete", |b, _| {
        let windows = TimeWindows::of_size_with_no_grace(ms(9_000)).advance_by(ms(3_000));
        let strings = b.stream::<Text, String>("in").group_by_key();
        let table =
            strings.windowed_by(windows).aggregate(String::new, |_, v, a| (v != "p").then(|| a + v), named("w"));
        table.to_stream().to_with("out", windowed(9_000));
    }),
    ("read-window-store", |b, _| {
        let windows = TimeWindows::of_size_and_grace(ms(10_000), ms(60_000));
        let table = texts(b).windowed_by(windows).count(named("w").retention(ms(600_000)));
        table.to_stream_with_key(|k, _| label(k)).to("out");
    }),
];

/// A duration in milliseconds.
pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A store of this name.
pub(super) fn named<K: 'static, V: 'static>(name: &str) -> Materialized<K, V> {
    Materialized::named(name)
}

/// A window as the cases with a key mapper write it.
pub(super) fn label(key: &Windowed<Text>) -> String {
    format!("{}@{}", show(&key.key), key.window.start)
}

pub(super) fn texts(b: &StreamsBuilder) -> KGroupedStream<Text, Text> {
    b.stream::<Text, Text>("in").group_by_key()
}

/// An output topic with windowed keys.
pub(super) fn windowed<V: DefaultSerde>(size: i64) -> Produced<Windowed<Text>, V> {
    Produced::with(serdes::time_windowed(Text::serde(), Some(size)), V::serde())
}
