//! What was measured: tables for people, JSON for programs, a plot.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::options::Options;
use super::results::{Key, Results};
use super::targets;
use crate::order::{Delivery, Side};
use crate::plot::{self, Bar};
use crate::report::Range;

/// How many records the targets were set for.
const FULL: u64 = 2_000_000;

const SIDES: [Side; 3] = [Side::Millstream, Side::KafkaStreams, Side::Raw];

/// Figures of what has a table of its own: every workload over its whole input.
const CPU: &str = "cpu_seconds_per_million";
const WARM_CPU: &str = "half_cpu_seconds_per_million";
const RATE: &str = "records_per_second";
const WARM_RATE: &str = "half_records_per_second";
const MEMORY: &str = "peak_rss_mib";
const FIRST: &str = "first_record_seconds";

/// A figure: its name in the results, how people call it, and its decimals.
const FIGURES: [(&str, &str, usize); 10] = [
    (CPU, "CPU s per million", 2),
    (RATE, "records/s", 0),
    (FIRST, "first record s", 2),
    ("restored_records", "records restored", 0),
    (MEMORY, "peak RSS MiB", 0),
    ("p50_ms", "p50 ms", 0),
    ("p90_ms", "p90 ms", 0),
    ("p99_ms", "p99 ms", 0),
    ("p999_ms", "p99.9 ms", 0),
    ("cpu_seconds_for_200000", "CPU s for 200,000 records", 1),
];

/// Writes `peers.json` and `peers.svg`.
///
/// # Errors
/// If they cannot be written.
pub(super) fn write(options: &Options, results: &Results) -> Result<()> {
    let targets: Vec<_> = targets::all(results).iter().map(targets::Target::json).collect();
    let json = json!({
        "bench": "peers", "about": options.about, "records": options.records, "rounds": options.rounds,
        "commit_interval_ms": 100, "results": results.json(), "targets": targets,
    });
    let file = |name: &str, text: String| {
        let path = options.out.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    file("peers.json", format!("{json:#}\n"))?;
    file("peers.svg", plot(results))
}

fn plot(results: &Results) -> String {
    let mut bars = Vec::new();
    for what in results.whats(Delivery::ExactlyOnce) {
        for side in SIDES {
            let key = Key::new(what, Delivery::ExactlyOnce, side, "cpu_seconds_per_million");
            let value = results.range(&key).map(|range| range.median);
            bars.extend(value.map(|value| Bar { group: what.to_owned(), name: side.name(), value }));
        }
    }
    plot::bars("CPU seconds per million records, exactly once, a commit every 100 ms (logarithmic)", &bars)
}

/// Prints the tables and the targets.
///
/// # Errors
/// If standard output is closed.
pub(super) fn print(options: &Options, results: &Results) -> Result<()> {
    let mut text = format!("{}\n{} records, {} rounds\n", options.about, options.records, options.rounds);
    if options.records < FULL {
        text +=
            "Over fewer records than usual Kafka Streams' compiler has warmed up less, and ratios favour Millstream.\n";
    }
    for guarantee in [Delivery::ExactlyOnce, Delivery::AtLeastOnce] {
        workloads(results, guarantee, &mut text);
    }
    others(results, &mut text);
    let targets = targets::all(results);
    text += "\n| target | bound | measured | |\n|---|---|---|---|\n";
    for target in &targets {
        let sign = if target.at_most { "≤" } else { "≥" };
        let value = target.value.map_or("-".to_owned(), number);
        let verdict = match target.met() {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not measured",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} | {sign} {} | {value} | {verdict} |", target.name, number(target.bound));
    }
    let count = |verdict| targets.iter().filter(|target| target.met() == verdict).count();
    let path = options.out.join("peers.{json,svg}");
    let _ = writeln!(text, "\n{} not measured; see {}", count(None), path.display());
    let _ = writeln!(text, "targets: {} met, {} missed", count(Some(true)), count(Some(false)));
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

/// Four digits or the whole number, whichever is more.
fn number(value: f64) -> String {
    if value >= 1000.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

/// Whether a figure is of a workload over its whole input: those have a second half.
fn is_workload(results: &Results, what: &str, guarantee: Delivery) -> bool {
    SIDES.iter().any(|side| results.range(&Key::new(what, guarantee, *side, WARM_CPU)).is_some())
}

/// A line for each workload: medians, and the ratios with their range.
fn workloads(results: &Results, guarantee: Delivery, text: &mut String) {
    let whats: Vec<&str> =
        results.whats(guarantee).into_iter().filter(|what| is_workload(results, what, guarantee)).collect();
    if whats.is_empty() {
        return;
    }
    let title = if guarantee == Delivery::ExactlyOnce { "exactly once" } else { "at least once" };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "\n{title}, commits every 100 ms; M: Millstream, KS: Kafka Streams (its second half, when it is warm), raw: the \
         bare client loop\n"
    );
    *text += "| workload | CPU s per million: M | KS | raw | M / KS | M / warm KS | M / raw ";
    *text += "| k records/s: M | KS | raw | M / KS | M / raw | peak RSS MiB: M | KS | raw | first record s: M | KS |\n";
    *text += "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
    for what in whats {
        let key = |side, figure| Key::new(what, guarantee, side, figure);
        let cell = |side, figure, scale: f64, digits: usize| {
            let range = results.range(&key(side, figure));
            range.map_or("-".to_owned(), |range| format!("{:.digits$}", range.median * scale))
        };
        let warm = |cold, warm, scale, digits| {
            let [cold, warm] = [cold, warm].map(|figure| cell(Side::KafkaStreams, figure, scale, digits));
            format!("{cold} ({warm})")
        };
        let ratio = |figure, side, of| ratio(results, &key(Side::Millstream, figure), &key(side, of));
        let cells = [
            cell(Side::Millstream, CPU, 1.0, 2),
            warm(CPU, WARM_CPU, 1.0, 2),
            cell(Side::Raw, CPU, 1.0, 2),
            ratio(CPU, Side::KafkaStreams, CPU),
            ratio(CPU, Side::KafkaStreams, WARM_CPU),
            ratio(CPU, Side::Raw, CPU),
            cell(Side::Millstream, RATE, 1e-3, 0),
            warm(RATE, WARM_RATE, 1e-3, 0),
            cell(Side::Raw, RATE, 1e-3, 0),
            ratio(RATE, Side::KafkaStreams, RATE),
            ratio(RATE, Side::Raw, RATE),
            cell(Side::Millstream, MEMORY, 1.0, 0),
            cell(Side::KafkaStreams, MEMORY, 1.0, 0),
            cell(Side::Raw, MEMORY, 1.0, 0),
            cell(Side::Millstream, FIRST, 1.0, 2),
            cell(Side::KafkaStreams, FIRST, 1.0, 2),
        ];
        let _ = writeln!(text, "| {what} | {} |", cells.join(" | "));
    }
}

/// A line for each figure of everything else.
fn others(results: &Results, text: &mut String) {
    let guarantee = Delivery::ExactlyOnce;
    let whats: Vec<&str> =
        results.whats(guarantee).into_iter().filter(|what| !is_workload(results, what, guarantee)).collect();
    if whats.is_empty() {
        return;
    }
    *text += "\n| what | figure | Millstream | Kafka Streams | raw loop | Millstream / Kafka Streams | Millstream / raw loop |\n";
    *text += "|---|---|---|---|---|---|---|\n";
    for what in whats {
        for (figure, heading, digits) in FIGURES {
            let key = |side| Key::new(what, guarantee, side, figure);
            let ranges = SIDES.map(|side| results.range(&key(side)));
            if ranges.iter().all(Option::is_none) {
                continue;
            }
            let [ours, streams, raw] = ranges.map(|range| spread(range, digits));
            let of = |side| ratio(results, &key(Side::Millstream), &key(side));
            let (to_streams, to_raw) = (of(Side::KafkaStreams), of(Side::Raw));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {what} | {heading} | {ours} | {streams} | {raw} | {to_streams} | {to_raw} |");
        }
    }
}

fn ratio(results: &Results, of: &Key, to: &Key) -> String {
    // Three digits that count, for what is a tenth as well as for what is ten times as much.
    let ratio = results.ratio(of, to);
    spread(ratio, if ratio.is_some_and(|ratio| ratio.median < 1.0) { 3 } else { 2 })
}

/// The median, and the range where there is one.
fn spread(range: Option<Range>, digits: usize) -> String {
    range.map_or("-".to_owned(), |Range { min, median, max }| match min < max {
        true => format!("{median:.digits$} ({min:.digits$}..{max:.digits$})"),
        false => format!("{median:.digits$}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_has_one_line_with_its_ratios_and_a_dash_for_who_took_no_part() {
        let mut results = Results::default();
        for (round, streams) in [(0, 8.0), (1, 16.0)] {
            for (side, cpu) in [(Side::Millstream, 2.0), (Side::KafkaStreams, streams)] {
                for figure in [CPU, WARM_CPU] {
                    results.add(round, Key::new("count", Delivery::ExactlyOnce, side, figure), cpu);
                }
            }
        }
        let mut text = String::new();
        workloads(&results, Delivery::ExactlyOnce, &mut text);
        let line = "| count | 2.00 | 12.00 (12.00) | - | 0.188 (0.125..0.250) | 0.188 (0.125..0.250) | - |";
        assert!(text.contains(line), "{text}");
        others(&results, &mut text);
        assert_eq!(text.matches("| count |").count(), 1, "{text}");
    }
}
