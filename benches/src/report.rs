//! What the runs took, as a table and as one line of JSON.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use crate::meter::Figures;
use crate::options::Options;
use crate::order::Side;
use crate::throughput::Run;

/// Least, middle and greatest of several values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Range {
    /// The least.
    pub min: f64,
    /// The middle; of an even number of values the mean of the two in the middle.
    pub median: f64,
    /// The greatest.
    pub max: f64,
}

impl Range {
    /// The range of these values; `None` if there are none.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = (sorted[middle] + sorted[(sorted.len() - 1) / 2]) / 2.0;
        Some(Self { min, median, max })
    }
}

/// A column: its name in JSON, its heading, what it shows, and its decimals.
type Column = (&'static str, &'static str, fn(&Figures) -> f64, usize);

const COLUMNS: [Column; 4] = [
    ("records_per_second", "records/s", Figures::rate, 0),
    ("cpu_seconds_per_million", "CPU s per million", Figures::cpu_per_million, 3),
    ("peak_rss_mib", "peak RSS MiB", |figures| figures.peak_rss_mib, 0),
    ("first_record_seconds", "first record s", |figures| figures.first_record_seconds, 2),
];

/// One run in a line.
pub fn line(run: &Run) -> String {
    let mut line = format!("round {} {:<12}", run.round, run.side.name());
    for (_, heading, value, digits) in COLUMNS {
        // Writing to a string cannot fail.
        let _ = write!(line, "  {heading} {:.digits$}", value(&run.figures));
    }
    line
}

/// Prints the table, and with `--json` the line.
///
/// # Errors
/// If the output is closed.
pub fn print(options: &Options, runs: &[Run]) -> Result<()> {
    let table = table(runs);
    if !options.json {
        return Ok(writeln!(std::io::stdout(), "{table}")?);
    }
    eprintln!("{table}");
    let line = json!({
        "bench": "throughput",
        "workload": options.workload,
        "guarantee": options.guarantee,
        "commit_interval_ms": options.commit_interval_ms,
        "records": options.records,
        "partitions": options.partitions,
        "keys": options.keys,
        "zipf": options.zipf,
        "caching": options.caching,
        "produce": options.produce,
        "raw": side(runs, Side::Raw),
        "millstream": side(runs, Side::Millstream),
        "ratios": ratios(runs),
        "runs": runs,
    });
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn values(runs: &[Run], side: Side, value: fn(&Figures) -> f64) -> Option<Range> {
    Range::of(runs.iter().filter(|run| run.side == side).map(|run| value(&run.figures)))
}

/// Millstream's value over the raw loop's of the same round: what the machine did meanwhile bears on both.
fn ratio(runs: &[Run], value: fn(&Figures) -> f64) -> Option<Range> {
    let of = |side| runs.iter().filter(move |run| run.side == side);
    Range::of(of(Side::Millstream).filter_map(|run| {
        let raw = of(Side::Raw).find(|raw| raw.round == run.round)?;
        Some(value(&run.figures) / value(&raw.figures))
    }))
}

fn side(runs: &[Run], side: Side) -> serde_json::Value {
    COLUMNS.iter().map(|(name, _, value, _)| ((*name).to_owned(), json!(values(runs, side, *value)))).collect()
}

fn ratios(runs: &[Run]) -> serde_json::Value {
    COLUMNS[..3].iter().map(|(name, _, value, _)| ((*name).to_owned(), json!(ratio(runs, *value)))).collect()
}

fn table(runs: &[Run]) -> String {
    let cell = |range: Option<Range>, digits: usize| {
        range.map_or("-".to_owned(), |r| format!("{:.digits$} ({:.digits$}..{:.digits$})", r.median, r.min, r.max))
    };
    let mut text = "| median (range) | raw loop | Millstream | Millstream / raw |\n|---|---|---|---|\n".to_owned();
    for (_, heading, value, digits) in COLUMNS {
        let (raw, ours) = (values(runs, Side::Raw, value), values(runs, Side::Millstream, value));
        let ratio = ratio(runs, value);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {heading} | {} | {} | {} |", cell(raw, digits), cell(ours, digits), cell(ratio, 2));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(side: Side, round: usize, cpu_seconds: f64) -> Run {
        let figures = Figures {
            records: 1_000_000,
            seconds: 1.0,
            cpu_seconds,
            half_seconds: 0.5,
            half_cpu_seconds: cpu_seconds / 2.0,
            first_record_seconds: 0.1,
            peak_rss_mib: 100.0,
            threads: std::collections::BTreeMap::new(),
        };
        Run { side, round, output_records: 0, figures }
    }

    #[test]
    fn ratios_compare_runs_of_the_same_round() {
        let runs = [
            run(Side::Raw, 0, 1.0),
            run(Side::Millstream, 0, 2.0),
            run(Side::Millstream, 1, 6.0),
            run(Side::Raw, 1, 2.0),
        ];
        let ratio = ratio(&runs, Figures::cpu_per_million).map(|range| (range.min, range.max));
        assert_eq!(ratio, Some((2.0, 3.0)));
    }

    #[test]
    fn a_side_that_was_not_measured_shows_as_a_dash() {
        assert!(table(&[run(Side::Raw, 0, 1.0)]).contains("| CPU s per million | 1.000 (1.000..1.000) | - | - |"));
    }
}
