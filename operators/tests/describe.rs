//! Topologies describe themselves as Kafka Streams 4.3.1 describes the same programs, to the byte.
//!
//! The texts in `describe/` are those recorded with the conformance vectors; the programs are the same, case by case.

use std::time::Duration;

use millstream_operators::dsl::*;
use millstream_state::model::Timestamp;

type Text = Option<String>;
type Case = (&'static str, fn(&StreamsBuilder));

fn text(b: &StreamsBuilder, topic: &str) -> KStream<Text, Text> {
    b.stream(topic)
}

fn number(b: &StreamsBuilder, topic: &str) -> KStream<String, i64> {
    b.stream(topic)
}

fn texts(b: &StreamsBuilder) -> KGroupedStream<String, String> {
    b.stream("in").group_by_key()
}

fn numbers(b: &StreamsBuilder) -> KGroupedStream<String, i64> {
    b.stream("in").group_by_key()
}

fn explicit<V: millstream_state::serdes::DefaultSerde>() -> Materialized<String, V> {
    use millstream_state::serdes::DefaultSerde;
    Materialized::with(String::serde(), V::serde())
}

fn tumbling(size: u64, grace: u64) -> TimeWindows {
    TimeWindows::of_size_and_grace(Duration::from_millis(size), Duration::from_millis(grace))
}

fn words(line: &Text) -> Vec<Text> {
    line.iter().flat_map(|line| line.split(' ').map(|word| Some(word.to_owned()))).collect()
}

const STATELESS: &[Case] = &[
    ("map", |b| text(b, "in").map(|k, v| (k.clone(), v.clone())).to("out")),
    ("map-type-change", |b| number(b, "in").map(|k, v| (*v, format!("{k}{v}"))).to("out")),
    ("map-values", |b| {
        let s = text(b, "in");
        s.map_values(Clone::clone).to("out-a");
        s.map_values_with_key(|k, v| format!("{k:?}:{v:?}")).to("out-b");
    }),
    ("filter", |b| number(b, "in").filter(|_, v| v % 2 == 0).to("out")),
    ("filter-not", |b| number(b, "in").filter_not(|_, v| v % 2 == 0).to("out")),
    ("flat-map", |b| number(b, "in").flat_map(|k, v| (0..v % 4).map(|i| (k.clone(), i)).collect::<Vec<_>>()).to("out")),
    ("flat-map-values", |b| text(b, "in").flat_map_values(words).to("out")),
    ("select-key", |b| text(b, "in").select_key(|_, v| v.clone()).to("out")),
    ("peek", |b| {
        let s = text(b, "in");
        s.peek(|_, _| ()).to("out");
        s.for_each(|_, _| ());
    }),
    ("merge", |b| {
        let (first, second) = (text(b, "in-a"), text(b, "in-b"));
        let both = first.merge(&second);
        both.merge(&text(b, "in-c").map_values(Clone::clone)).to("out");
    }),
    ("split-default", |b| {
        let branches = number(b, "in")
            .named("br-")
            .split()
            .branch_with(|_, v| *v > 6, Branched::named("big"))
            .branch_with(|_, v| *v > 3, Branched::named("mid"))
            .default_branch_with(Branched::named("rest"));
        branches.get("br-big").to("out-big");
        branches.get("br-mid").to("out-mid");
        branches.get("br-rest").to("out-rest");
    }),
    ("split-no-default", |b| {
        let branches = number(b, "in")
            .split()
            .branch(|_, v| *v > 6)
            .branch_with(|_, v| *v < 2, Branched::with_consumer(|s| s.to("out-small")))
            .no_default_branch();
        branches.iter().for_each(|(_, s)| s.to("out-big"));
    }),
    ("split-chained", |b| {
        let branches = number(b, "in")
            .named("s-")
            .split()
            .branch_with(|_, v| v % 2 == 1, Branched::with_function(|s| s.map_values(|v| v * 100)).name("odd"))
            .default_branch_with(Branched::named("even"));
        branches.get("s-odd").merge(&branches.get("s-even")).to("out");
    }),
    ("to-topic-name-extractor", |b| {
        text(b, "in").to_extracted(TopicExtractor::new("TopicChooser", |_, _, _| "out-null"));
    }),
    ("named-operators", |b| {
        b.stream_with("in", Consumed::<String, String>::named("src"))
            .named("keep")
            .filter(|_, _| true)
            .named("dot")
            .map_values(|v| format!("{v}."))
            .named("rekey")
            .select_key(|_, v| v.clone())
            .to_with("out", Produced::named("snk"));
    }),
    ("multi-topic-source", |b| b.stream::<Text, Text>(["in-a", "in-b"]).map_values(Clone::clone).to("out")),
    ("sink-is-source", |b| {
        number(b, "in").map_values(|v| v + 1).to("mid");
        number(b, "mid").filter(|_, v| *v > 5).to("out");
    }),
    ("repartition", |b| text(b, "in").select_key(|_, v| v.clone()).repartition().to("out")),
    ("repartition-named", |b| {
        let settings = Repartitioned::named("re").partitions(3);
        text(b, "in").repartition_with(settings).map_values(Clone::clone).to("out");
    }),
    ("timestamp-embedded", |b| number(b, "in").map_values(|v| v + 1).to("out")),
    ("timestamp-log-and-skip", |b| number(b, "in").to("out")),
    ("timestamp-use-partition-time", |b| number(b, "in").to("out")),
    ("timestamp-partition-time", |b| number(b, "in").to("out")),
];

const AGGREGATIONS: &[Case] = &[
    ("repartition-then-group", |b| {
        let once = text(b, "in").select_key(|_, v| v.clone()).repartition_with(Repartitioned::named("once"));
        once.group_by_key().count(Materialized::named("cnt")).to_stream().to("out");
    }),
    ("groupbykey-after-key-change", |b| {
        let group = text(b, "in").select_key(|_, v| v.clone()).group_by_key();
        group.count(Materialized::named("cnt")).to_stream().to("out");
    }),
    ("groupby", |b| {
        let group = text(b, "in").group_by_with(|_, v| v.clone(), Grouped::named("g"));
        group.count(Materialized::named("cnt")).to_stream().to("out");
    }),
    ("groupbykey-no-repartition", |b| {
        let group = text(b, "in").map_values(Clone::clone).group_by_key();
        group.count(Materialized::named("cnt")).to_stream().to("out");
    }),
    ("count", |b| numbers(b).count(Materialized::named("cnt")).to_stream().to("out")),
    ("count-unnamed", |b| numbers(b).count(explicit()).to_stream().to("out")),
    ("count-no-logging", |b| numbers(b).count(Materialized::named("cnt").logging(false)).to_stream().to("out")),
    ("count-in-memory", |b| {
        numbers(b).count(Materialized::named("cnt").in_memory().caching(false)).to_stream().to("out");
    }),
    ("count-filter-table", |b| {
        numbers(b).count(Materialized::named("cnt")).filter(|_, n| n % 3 != 0).to_stream().to("out");
    }),
    ("reduce", |b| numbers(b).reduce(|a, v| a + v, Materialized::named("red")).to_stream().to("out")),
    ("reduce-to-null", |b| {
        numbers(b).reduce(|a, v| (*v != 0).then_some(a + v), Materialized::named("red")).to_stream().to("out");
    }),
    ("aggregate", |b| {
        texts(b).aggregate(String::new, |_, v, a| a + v, Materialized::named("agg")).to_stream().to("out");
    }),
    ("aggregate-to-null", |b| {
        let table = texts(b).aggregate(String::new, |_, v, a| (v != "p").then_some(a), Materialized::named("agg"));
        table.to_stream().to("out");
    }),
    ("flatmap-then-count", |b| {
        let group = text(b, "in").flat_map_values(words).group_by(|_, v| v.clone());
        group.count(Materialized::named("words")).to_stream().to("out");
    }),
    ("flatmap-then-reduce-same-key", |b| {
        let group = text(b, "in").flat_map_values(words).group_by_key();
        group.reduce(|a, _| a, Materialized::named("cat")).to_stream().to("out");
    }),
    ("flatmap-many-keys-reduce", |b| {
        let words = text(b, "in").flat_map(|k, v| words(v).into_iter().map(|w| (w, k.clone())).collect::<Vec<_>>());
        let group = words.group_by_key_with(Grouped::named("re"));
        group.reduce(|a, _| a, Materialized::named("cat")).to_stream().to("out");
    }),
    ("two-aggregations", |b| {
        let s = text(b, "in").select_key(|_, v| v.clone());
        s.group_by_key().count(Materialized::named("c1")).to_stream().to("out-1");
        s.group_by_key().reduce(|a, _| a, Materialized::named("c2")).to_stream().to("out-2");
    }),
    ("tumbling-count", |b| {
        texts(b).windowed_by(tumbling(10_000, 0)).count(Materialized::named("w")).to_stream().to("out");
    }),
    ("tumbling-aggregate-grace", |b| {
        let windows = texts(b).windowed_by(tumbling(10_000, 5000));
        windows.aggregate(String::new, |_, v, a| a + v, Materialized::named("w")).to_stream().to("out");
    }),
    ("tumbling-reduce", |b| {
        texts(b).windowed_by(tumbling(10_000, 5000)).reduce(|a, v| a + v, explicit()).to_stream().to("out");
    }),
    ("tumbling-retention", |b| {
        let kept = Materialized::named("w").retention(Duration::from_secs(300));
        texts(b).windowed_by(tumbling(10_000, 5000)).count(kept).to_stream().to("out");
    }),
    ("hopping-count", |b| {
        let windows = texts(b).windowed_by(tumbling(10_000, 3000).advance_by(Duration::from_millis(4000)));
        windows.count(Materialized::named("w")).to_stream().to("out");
    }),
    ("hopping-aggregate-delete", |b| {
        let windows = texts(b).windowed_by(tumbling(9000, 0).advance_by(Duration::from_millis(3000)));
        windows.aggregate(String::new, |_, v, a| a + v, Materialized::named("w")).to_stream().to("out");
    }),
    ("timestamp-extractor", |b| {
        let consumed = Consumed::new().timestamp_extractor(|r| Timestamp::from_millis(r.value * 1000 - 2000));
        let windows = b.stream_with::<String, i64>("in", consumed).group_by_key().windowed_by(tumbling(3000, 2000));
        let counts = windows.count(Materialized::named("w"));
        counts.to_stream_with_key(|k, _| format!("{}@{}", k.key, k.window.start)).to("out");
    }),
    ("read-window-store", |b| {
        let kept = Materialized::named("w").retention(Duration::from_secs(600));
        let counts = texts(b).windowed_by(tumbling(10_000, 60_000)).count(kept);
        counts.to_stream_with_key(|k, _| format!("{}@{}", k.key, k.window.start)).to("out");
    }),
];

const TABLES: &[Case] = &[
    ("table-source", |b| {
        b.table_with::<String, String>("in", Consumed::new(), Materialized::named("tab")).to_stream().to("out");
    }),
    ("table-source-unmaterialized", |b| b.table::<String, String>("in").to_stream().to("out")),
    ("table-tostream-mapper", |b| {
        let table = b.table_with::<String, String>("in", Consumed::new(), Materialized::named("tab"));
        table.to_stream_with_key(|k, _| k.clone()).to("out");
    }),
    ("table-filter", |b| {
        let table = b.table_with::<String, i64>("in", Consumed::new(), Materialized::named("tab"));
        table.filter(|_, v| v % 2 == 0).to_stream().to("out");
    }),
    ("table-filter-not", |b| b.table::<String, i64>("in").filter_not(|_, v| v % 2 == 0).to_stream().to("out")),
    ("table-map-values", |b| {
        let table = b.table_with::<String, i64>("in", Consumed::new(), Materialized::named("tab"));
        table.filter_map_values(|_, v| (*v != 0).then_some(v * 10)).to_stream().to("out");
    }),
];

fn check(cases: &[Case]) {
    for (name, program) in cases {
        let builder = StreamsBuilder::new();
        program(&builder);
        let path = format!("{}/tests/describe/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        let expected = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let topology = builder.build().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(topology.describe(), expected, "{name}");
    }
}

#[test]
fn stateless_programs_read_as_in_kafka_streams() {
    check(STATELESS);
}

#[test]
fn aggregations_read_as_in_kafka_streams() {
    check(AGGREGATIONS);
}

#[test]
fn tables_read_as_in_kafka_streams() {
    check(TABLES);
}
