//! Grouping and aggregations without windows.

use millstream::operators::dsl::{Grouped, KGroupedStream, Materialized, Repartitioned, StreamsBuilder};
use millstream::state::serdes::DefaultSerde;

use super::stateless::words;
use super::windows::named;
use super::{Journal, Number, Recipe, Text, show};

pub(super) const CASES: &[(&str, Recipe)] = &[
    ("repartition-then-group", |b, _| {
        let stream = b.stream::<Text, Text>("in").select_key(|_, v| v.clone());
        stream.repartition_with(Repartitioned::named("once")).group_by_key().count(named("cnt")).to_stream().to("out");
    }),
    ("groupbykey-after-key-change", |b, _| {
        let stream = b.stream::<Text, String>("in").select_key(|_, v| (v != "p").then(|| v.clone()));
        stream.group_by_key().count(named("cnt")).to_stream().to("out");
    }),
    ("groupby", |b, _| {
        b.stream::<Text, Text>("in")
            .group_by_with(|k, v| v.as_ref().map(|v| format!("{v}-{}", show(k))), Grouped::named("g"))
            .count(named("cnt"))
            .to_stream()
            .to("out");
    }),
    ("groupbykey-no-repartition", |b, _| {
        let stream = b.stream::<Text, Text>("in").map_values(|v| v.clone());
        stream.group_by_key().count(named("cnt")).to_stream().to("out");
    }),
    ("count", |b, _| numbers(b).count(named("cnt")).to_stream().to("out")),
    ("count-unnamed", |b, _| {
        // Settings without a name make the generated name another one than no settings.
        numbers(b).count(Materialized::with(Text::serde(), i64::serde())).to_stream().to("out");
    }),
    ("count-no-logging", |b, _| numbers(b).count(named("cnt").logging(false)).to_stream().to("out")),
    ("count-in-memory", |b, _| {
        numbers(b).count(named("cnt").in_memory().caching(false)).to_stream().to("out");
    }),
    ("count-filter-table", |b, _| numbers(b).count(named("cnt")).filter(|_, n| n % 3 != 0).to_stream().to("out")),
    ("reduce", |b, _| {
        let reduced = numbers(b).reduce(|a, v| a.zip(*v).map(|(a, v)| (a * 3 + v) % 1_000_003), named("red"));
        reduced.to_stream().to("out");
    }),
    ("reduce-to-null", |b, _| {
        let reduced = numbers(b).reduce(|a, v| (*v != Some(0)).then(|| a.zip(*v).map(|(a, v)| a + v)), named("red"));
        reduced.to_stream().to("out");
    }),
    ("aggregate", |b, _| {
        texts(b).aggregate(|| "[".to_owned(), |_, v, a| a + &show(v), named("agg")).to_stream().to("out");
    }),
    ("aggregate-to-null", |b, _| {
        let step = |_: &Text, v: &Text, a: String| (v.as_deref() != Some("p")).then(|| a + &show(v));
        texts(b).aggregate(|| "i".to_owned(), step, named("agg")).to_stream().to("out");
    }),
    ("flatmap-then-count", |b, _| {
        let words = b.stream::<Text, String>("in").flat_map_values(|v| words(v));
        words.group_by(|_, v| v.clone()).count(named("words")).to_stream().to("out");
    }),
    ("flatmap-then-reduce-same-key", |b, _| {
        let words = b.stream::<Text, String>("in").flat_map_values(|v| words(v));
        words.group_by_key().reduce(|a, v| format!("{a}{v}"), named("cat")).to_stream().to("out");
    }),
    ("flatmap-many-keys-reduce", |b, _| {
        b.stream::<Text, String>("in")
            .flat_map(|k, v| words(v).into_iter().map(|word| (word, k.clone())).collect::<Vec<_>>())
            .group_by_key_with(Grouped::named("re"))
            .reduce(|a, v| Some(show(&a) + &show(v)), named("cat"))
            .to_stream()
            .to("out");
    }),
    ("two-aggregations", two_aggregations),
];

fn two_aggregations(b: &StreamsBuilder, _: &Journal) {
    let stream = b.stream::<Text, Text>("in").select_key(|_, v| v.clone());
    stream.group_by_key().count(named("c1")).to_stream().to("out-1");
    stream.group_by_key().reduce(|a, v| Some(show(&a) + &show(v)), named("c2")).to_stream().to("out-2");
}

fn numbers(b: &StreamsBuilder) -> KGroupedStream<Text, Number> {
    b.stream::<Text, Number>("in").group_by_key()
}

fn texts(b: &StreamsBuilder) -> KGroupedStream<Text, Text> {
    b.stream::<Text, Text>("in").group_by_key()
}
