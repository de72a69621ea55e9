//! What is aimed at, and whether it was met: judged by the median over the rounds.

use serde_json::{Value, json};

use super::options::Row;
use super::results::{Key, Results};
use super::{latency, restart, scale};
use crate::order::{Delivery, Side};

/// One target.
pub(super) struct Target {
    pub(super) name: String,
    /// What was measured, if it was.
    pub(super) value: Option<f64>,
    pub(super) bound: f64,
    /// Whether the value may not be greater than the bound; else it may not be smaller.
    pub(super) at_most: bool,
}

impl Target {
    pub(super) fn met(&self) -> Option<bool> {
        self.value.map(|value| if self.at_most { value <= self.bound } else { value >= self.bound })
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "target": self.name, "value": self.value, "bound": self.bound,
            "kind": if self.at_most { "at most" } else { "at least" }, "met": self.met(),
        })
    }
}

/// Bounds of a row: CPU against the raw loop, against Kafka Streams and against its warm second half; records per second
/// against Kafka Streams and against the raw loop. `None` where nothing is aimed at.
type Bounds = (Row, Option<f64>, f64, Option<f64>, f64, Option<f64>);

const ROWS: [Bounds; 7] = [
    (Row::Passthrough, Some(1.25), 1.0 / 6.0, Some(1.0 / 4.0), 3.5, Some(0.8)),
    (Row::Count, Some(2.0), 1.0 / 8.0, Some(1.0 / 6.0), 5.0, None),
    (Row::CountNocache, None, 1.0 / 6.0, Some(1.0 / 5.0), 4.0, None),
    (Row::Tumbling, None, 1.0 / 6.0, Some(1.0 / 4.0), 4.0, None),
    (Row::Join, None, 1.0 / 6.0, Some(1.0 / 4.0), 4.0, None),
    (Row::Wordcount, None, 1.0 / 8.0, None, 4.0, None),
    (Row::ReduceLargeState, None, 1.0 / 6.0, Some(1.0 / 5.0), 4.0, None),
];

const CPU: &str = "cpu_seconds_per_million";
const RATE: &str = "records_per_second";

/// All targets, with what was measured.
pub(super) fn all(results: &Results) -> Vec<Target> {
    let mut targets = Vec::new();
    for bounds in ROWS {
        row(bounds, results, &mut targets);
    }
    let ours = |what: &str, figure| {
        results.range(&Key::new(what, Delivery::ExactlyOnce, Side::Millstream, figure)).map(|range| range.median)
    };
    let at_most = |name: &str, value, bound| Target { name: name.to_owned(), value, bound, at_most: true };
    let (busy, quick) = (latency::what(100), latency::what(20));
    targets.extend([
        at_most(&format!("{busy}: p50 ms"), ours(&busy, "p50_ms"), 62.0),
        at_most(&format!("{busy}: p99 ms"), ours(&busy, "p99_ms"), 130.0),
        at_most(&format!("{busy}: CPU s for 200,000 records"), ours(&busy, "cpu_seconds_for_200000"), 6.0),
        at_most(&format!("{quick}: p50 ms"), ours(&quick, "p50_ms"), 24.0),
        at_most(&format!("{quick}: p99 ms"), ours(&quick, "p99_ms"), 55.0),
        Target {
            name: "restore: records per second".to_owned(),
            value: ours(restart::WIPED, RATE),
            bound: 1_500_000.0,
            at_most: false,
        },
        at_most("restore: CPU s per million", ours(restart::WIPED, CPU), 0.8),
        at_most("restart after SIGKILL: s to the first record", ours(restart::KILLED, "first_record_seconds"), 3.0),
        at_most(
            "restart after SIGKILL: share of the changelog replayed",
            ours(restart::KILLED, "restored_share"),
            0.05,
        ),
        at_most(
            "restart after a clean stop: s to the first record",
            ours(restart::STOPPED, "first_record_seconds"),
            1.0,
        ),
        at_most("first start, slowest workload: s to the first record", slowest_start(results), 0.6),
        at_most("peak RSS MiB of any run", largest(results), 256.0),
        at_most("two workers: CPU per record against one", of_one(results, scale::workers(2), scale::workers(1)), 1.1),
        at_most(
            "three processes: CPU per record against one",
            of_one(results, scale::processes(3), scale::processes(1)),
            1.15,
        ),
    ]);
    targets
}

fn row((row, raw, streams, warm, faster, raw_rate): Bounds, results: &Results, targets: &mut Vec<Target>) {
    let spec = row.spec(Delivery::ExactlyOnce, 1);
    let name = spec.name();
    let key = |side, figure| Key::new(&name, Delivery::ExactlyOnce, side, figure);
    let ratio =
        |figure, side, of| results.ratio(&key(Side::Millstream, figure), &key(side, of)).map(|range| range.median);
    let mut add = |what: &str, value, bound: Option<f64>, at_most| {
        targets.extend(bound.map(|bound| Target { name: format!("{name}: {what}"), value, bound, at_most }));
    };
    add("CPU / raw loop's", ratio(CPU, Side::Raw, CPU), raw, true);
    add("CPU / Kafka Streams'", ratio(CPU, Side::KafkaStreams, CPU), Some(streams), true);
    add("CPU / warm Kafka Streams'", ratio(CPU, Side::KafkaStreams, "half_cpu_seconds_per_million"), warm, true);
    add("records per second / Kafka Streams'", ratio(RATE, Side::KafkaStreams, RATE), Some(faster), false);
    add("records per second / raw loop's", ratio(RATE, Side::Raw, RATE), raw_rate, false);
}

fn of_one(results: &Results, many: String, one: String) -> Option<f64> {
    let key = |what: String| Key::new(&what, Delivery::ExactlyOnce, Side::Millstream, CPU);
    results.ratio(&key(many), &key(one)).map(|range| range.median)
}

/// The largest of all runs, not the median: a bound holds always.
fn largest(results: &Results) -> Option<f64> {
    let ours = results.keys().filter(|key| key.side == Side::Millstream && key.figure == "peak_rss_mib");
    ours.filter_map(|key| results.range(key)).map(|range| range.max).max_by(f64::total_cmp)
}

fn slowest_start(results: &Results) -> Option<f64> {
    let ours = results.keys().filter(|key| {
        key.side == Side::Millstream && key.figure == "first_record_seconds" && !key.what.starts_with("restart")
    });
    ours.filter_map(|key| results.range(key)).map(|range| range.median).max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        assert!(all(&Results::default()).iter().all(|target| target.met().is_none()));
    }

    #[test]
    fn a_target_is_met_at_its_bound() {
        let target = |value, at_most| Target { name: String::new(), value: Some(value), bound: 2.0, at_most };
        assert_eq!([target(2.0, true).met(), target(2.1, true).met()], [Some(true), Some(false)]);
        assert_eq!([target(2.0, false).met(), target(1.9, false).met()], [Some(true), Some(false)]);
    }
}
