//! Operators without state.

use millstream::operators::dsl::{Branched, Consumed, Produced, Repartitioned, StreamsBuilder, TopicExtractor};
use millstream::state::model::RecordContext;
use millstream::state::serdes::DefaultSerde;

use super::{Journal, Number, Recipe, Text, show};

pub(super) const CASES: &[(&str, Recipe)] = &[
    ("map", map),
    ("map-type-change", map_type_change),
    ("map-values", map_values),
    ("filter", |b, _| b.stream::<Text, Number>("in").filter(|_, v| is_even(v)).to("out")),
    ("filter-not", |b, _| b.stream::<Text, Number>("in").filter_not(|_, v| is_even(v)).to("out")),
    ("flat-map", flat_map),
    ("flat-map-values", |b, _| b.stream::<Text, String>("in").flat_map_values(|v| words(v)).to("out")),
    ("select-key", |b, _| {
        let stream = b.stream::<Text, Text>("in");
        stream.select_key(|_, v| if v.as_deref() == Some("p") { None } else { v.clone() }).to("out");
    }),
    ("peek", peek),
    ("merge", merge),
    ("split-default", split_default),
    ("split-no-default", split_no_default),
    ("split-chained", split_chained),
    ("to-topic-name-extractor", to_topic_name_extractor),
    ("named-operators", named_operators),
    ("multi-topic-source", |b, _| {
        let stream = b.stream::<Text, Text>(["in-a", "in-b"]);
        stream.map_values(|v| format!("{}1", show(v))).to("out");
    }),
    ("sink-is-source", |b, _| {
        b.stream::<Text, i64>("in").map_values(|v| v + 1).to("mid");
        b.stream::<Text, i64>("mid").filter(|_, v| *v > 5).to("out");
    }),
    ("repartition", |b, _| {
        b.stream::<Text, Text>("in").select_key(|_, v| v.clone()).repartition().to("out");
    }),
    ("repartition-named", |b, _| {
        let named = Repartitioned::named("re").partitions(3);
        b.stream::<Text, Text>("in").repartition_with(named).map_values(|v| format!("{}+", show(v))).to("out");
    }),
];

/// The parts of a text between single blanks.
pub(super) fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn is_even(value: &Number) -> bool {
    value.is_some_and(|value| value % 2 == 0)
}

fn map(b: &StreamsBuilder, _: &Journal) {
    b.stream::<Text, Text>("in")
        .map(|k, v| {
            (k.as_ref().map_or_else(|| "none".to_owned(), |k| k.to_uppercase()), v.as_ref().map(|v| v.repeat(2)))
        })
        .to("out");
}

fn map_type_change(b: &StreamsBuilder, _: &Journal) {
    b.stream::<Text, Number>("in").map(|k, v| (*v, show(k) + &show(v))).to("out");
}

fn map_values(b: &StreamsBuilder, _: &Journal) {
    let stream = b.stream::<Text, Text>("in");
    stream.map_values(|v| v.as_ref().map_or_else(|| "was-null".to_owned(), |v| format!("{v}!"))).to("out-a");
    stream.map_values_with_key(|k, v| format!("{}:{}", show(k), show(v))).to("out-b");
}

fn flat_map(b: &StreamsBuilder, _: &Journal) {
    b.stream::<Text, i64>("in")
        .flat_map(|k, v| {
            let (k, v) = (show(k), *v);
            (0..v % 4).map(move |i| (format!("{k}{i}"), v * 10 + i)).collect::<Vec<_>>()
        })
        .to("out");
}

fn peek(b: &StreamsBuilder, journal: &Journal) {
    let stream = b.stream::<Text, Text>("in");
    let (peeked, each) = (journal.clone(), journal.clone());
    stream.peek(move |k, v| peeked.note(format!("peek {}={}", show(k), show(v)))).to("out");
    stream.for_each(move |k, v| each.note(format!("each {}={}", show(k), show(v))));
}

fn merge(b: &StreamsBuilder, _: &Journal) {
    let a = b.stream::<Text, Text>("in-a");
    let other = b.stream::<Text, Text>("in-b");
    a.merge(&other).merge(&b.stream::<Text, Text>("in-c").map_values(|v| Some(format!("c-{}", show(v))))).to("out");
}

fn split_default(b: &StreamsBuilder, _: &Journal) {
    let branches = b
        .stream::<Text, i64>("in")
        .named("br-")
        .split()
        .branch_with(|_, v| *v > 6, Branched::named("big"))
        .branch_with(|_, v| *v > 3, Branched::named("mid"))
        .default_branch_with(Branched::named("rest"));
    branches.get("br-big").to("out-big");
    branches.get("br-mid").to("out-mid");
    branches.get("br-rest").to("out-rest");
}

fn split_no_default(b: &StreamsBuilder, _: &Journal) {
    let branches = b
        .stream::<Text, i64>("in")
        .split()
        .branch(|_, v| *v > 6)
        .branch_with(|_, v| *v < 2, Branched::with_consumer(|stream| stream.to("out-small")))
        .no_default_branch();
    branches.iter().for_each(|(_, stream)| stream.to("out-big"));
}

fn split_chained(b: &StreamsBuilder, _: &Journal) {
    let branches = b
        .stream::<Text, i64>("in")
        .named("s-")
        .split()
        .branch_with(|_, v| v % 2 == 1, Branched::with_function(|stream| stream.map_values(|v| v * 100)).name("odd"))
        .default_branch_with(Branched::named("even"));
    branches.get("s-odd").merge(&branches.get("s-even")).to("out");
}

fn to_topic_name_extractor(b: &StreamsBuilder, _: &Journal) {
    let choose = |key: &Text, value: &Text, record: &RecordContext| {
        if value.is_none() {
            "out-null"
        } else if record.timestamp.millis() % 2 == 0 {
            "out-even"
        } else if show(key).as_str() < "d" {
            "out-low"
        } else {
            "out-high"
        }
    };
    b.stream::<Text, Text>("in").to_extracted(TopicExtractor::new("TopicChooser", choose));
}

fn named_operators(b: &StreamsBuilder, _: &Journal) {
    b.stream_with("in", Consumed::with(Text::serde(), Text::serde()).name("src"))
        .named("keep")
        .filter(|_, v| v.is_some())
        .named("dot")
        .map_values(|v| format!("{}.", show(v)))
        .named("rekey")
        .select_key(|_, v| v.clone())
        .to_with("out", Produced::named("snk"));
}
