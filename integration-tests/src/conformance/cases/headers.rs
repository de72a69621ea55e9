//! Record headers through operators, and stores that have room for them.

use bytes::Bytes;
use millstream::operators::dsl::{BufferConfig, Consumed, Grouped, KTable, StreamsBuilder, Suppressed};
use millstream::operators::processor::{Outcome, ProcessorContext};
use millstream::operators::push::Record;
use millstream::state::model::Headers;
use millstream::state::serdes::DefaultSerde;

use super::windows::{ms, named};
use super::{Journal, Recipe, Text, show};

pub(super) const CASES: &[(&str, Recipe)] = &[
    ("headers-store-count", |b, _| {
        b.stream::<Text, Text>("in").group_by_key().count(named("cnt")).to_stream().to("out");
    }),
    ("headers-store-table-join", |b, _| {
        let (left, right) = (table(b, "left", "l"), table(b, "right", "r"));
        left.left_join_with(&right, |x, y| format!("{x}~{}", show(&y)), named("j")).to_stream().to("out");
    }),
    ("headers-through-repartition-and-suppress", |b, _| {
        let seldom = Suppressed::until_time_limit(ms(3_000), BufferConfig::unbounded()).name("sup");
        let counts = b.stream::<Text, Text>("in").select_key(|_, v| v.clone()).group_by_key().count(named("cnt"));
        counts.suppress(seldom).to_stream().to("out");
    }),
    ("headers-propagation", headers_propagation),
    ("multiple-subtopologies", |b, _| {
        b.stream::<Text, String>("in-1").filter(|_, v| v.as_str() > "r").to("out-1");
        let grouped = b.stream::<Text, Text>("in-2").group_by_with(|_, v| v.clone(), Grouped::named("g"));
        grouped.count(named("cnt")).to_stream().to("out-2");
        let (third, fourth) = (b.table::<String, String>("in-3"), b.table::<String, String>("in-4"));
        third.join(&fourth, |v, w| format!("{v}{w}")).to_stream().to("out-3");
    }),
];

fn table(b: &StreamsBuilder, topic: &str, store: &str) -> KTable<String, String> {
    b.table_with(topic, Consumed::with(String::serde(), String::serde()), named(store))
}

fn headers_propagation(b: &StreamsBuilder, _: &Journal) {
    let s = b.stream::<Text, Text>("in");
    s.map(|k, v| (v.clone(), k.clone())).filter(|k, _| k.as_deref() != Some("p")).to("out-map");
    s.process((), |()| marked).to("out-process");
    let t = b.table_with("tab", Consumed::<Text, String>::new(), named("t"));
    t.to_stream().to("out-table");
    s.join_table(&t, |v, w| show(v) + w).to("out-join");
    s.group_by_key().count(named("cnt")).to_stream().to("out-count");
}

/// Forwards twice, with other headers than those that came.
fn marked(cx: &mut ProcessorContext<'_, Text, Text>, record: Record<'_, Text, Text>) -> Outcome {
    let mut first: Headers = record.headers.clone();
    first.add("seen", record.value.as_ref().map(|value| Bytes::copy_from_slice(value.as_bytes())));
    cx.forward(record.with_headers(&first))?;
    let mut second = first.clone();
    second.remove("h0");
    second.add("second", None);
    cx.forward(record.with_value(&Some("second".to_owned())).with_headers(&second))
}
