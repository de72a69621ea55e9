//! Record times: extractors and invalid timestamps.

use millstream::operators::dsl::{Consumed, InvalidTimestamp, StreamsBuilder, TimeWindows};
use millstream::state::model::Timestamp;
use millstream::state::serdes::DefaultSerde;

use super::windows::{label, ms, named};
use super::{Number, Recipe, Text};

pub(super) const CASES: &[(&str, Recipe)] = &[
    ("timestamp-embedded", |b, _| {
        b.stream::<Text, i64>("in").map_values(|v| v + 1).to("out");
    }),
    ("timestamp-log-and-skip", |b, _| copy(b, InvalidTimestamp::Skip)),
    ("timestamp-use-partition-time", |b, _| copy(b, InvalidTimestamp::UsePartitionTime)),
    ("timestamp-extractor", |b, _| {
        let consumed = consumed::<i64>().timestamp_extractor(|r| Timestamp::from_millis(r.value * 1000 - 2000));
        let windows = TimeWindows::of_size_and_grace(ms(3_000), ms(2_000));
        let counts = b.stream_with("in", consumed).group_by_key().windowed_by(windows).count(named("w"));
        counts.to_stream_with_key(|k, _| label(k)).to("out");
    }),
    ("timestamp-partition-time", |b, _| {
        let consumed = consumed::<i64>().timestamp_extractor(|record| {
            let next = Timestamp::from_millis(record.partition_time.millis() + 1);
            if *record.value >= 5 { record.timestamp } else { next }
        });
        b.stream_with("in", consumed).to("out");
    }),
];

fn consumed<V: DefaultSerde>() -> Consumed<Text, V> {
    Consumed::with(Text::serde(), V::serde())
}

fn copy(b: &StreamsBuilder, what: InvalidTimestamp) {
    b.stream_with("in", consumed::<Number>().on_invalid_timestamp(what)).to("out");
}
