//! Cogroups.

use millstream::operators::dsl::{CogroupedKStream, KGroupedStream, SlidingWindows, StreamsBuilder, TimeWindows};

use super::window_ops::{in_sessions, sessions};
use super::windows::{ms, named, windowed};
use super::{Number, Recipe, Text, show};

pub(super) const CASES: &[(&str, Recipe)] = &[
    ("cogroup", |b, _| {
        let third = |_: &Text, v: &Text, a: String| (v.as_deref() != Some("p")).then(|| a + "3" + &show(v));
        let all = two(b).cogroup(&b.stream::<Text, Text>("in-3").group_by_key(), third);
        all.aggregate(String::new, named("cog")).to_stream().to("out");
    }),
    ("cogroup-repartition", |b, _| {
        let first: KGroupedStream<Text, Text> =
            b.stream::<Text, Text>("in-1").select_key(|_, v| v.clone()).group_by_key();
        let second: KGroupedStream<Text, Text> = b.stream::<Text, Text>("in-2").group_by_key();
        let both = first.cogroup(|_, v, a: String| a + "1" + &show(v)).cogroup(&second, |_, v, a| a + "2" + &show(v));
        both.aggregate(String::new, named("cog")).to_stream().to("out");
    }),
    ("cogroup-windowed", |b, _| {
        let windows = TimeWindows::of_size_and_grace(ms(10_000), ms(5_000));
        let table = two(b).windowed_by(windows).aggregate(String::new, named("cog"));
        table.to_stream().to_with("out", windowed(10_000));
    }),
    ("cogroup-session", |b, _| {
        let merge = |_: &Text, x: String, y: String| format!("{x}&{y}");
        let table = two(b).windowed_by(sessions(5_000, 5_000)).aggregate(String::new, merge, named("cog"));
        table.to_stream().to_with("out", in_sessions());
    }),
    ("cogroup-sliding", |b, _| {
        let windows = SlidingWindows::of_time_difference_and_grace(ms(5_000), ms(2_000));
        let table = two(b).windowed_by(windows).aggregate(String::new, named("cog"));
        table.to_stream().to_with("out", windowed(5_000));
    }),
];

fn two(b: &StreamsBuilder) -> CogroupedKStream<Text, String> {
    let texts: KGroupedStream<Text, Text> = b.stream::<Text, Text>("in-1").group_by_key();
    let numbers: KGroupedStream<Text, Number> = b.stream::<Text, Number>("in-2").group_by_key();
    texts.cogroup(|_, v, a: String| a + "1" + &show(v)).cogroup(&numbers, |_, v, a| a + "2" + &show(v))
}
