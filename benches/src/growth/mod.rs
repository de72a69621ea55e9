//! How cost grows: CPU per record over keys, record size, partitions, stores and workers; restore over the size of the state.
//!
//! Each series changes one thing and leaves the rest as the peers are measured. All points of a series run by turns in
//! each round.

mod options;
mod restore;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use serde_json::{Value, json};

use crate::bench::{Bench, Spec};
use crate::child::{self, Starter};
use crate::load::{Input, Keys, Values};
use crate::order::{Caching, Side, Workload};
use crate::plot::{self, Line};
use crate::report::Range;
use options::{Options, Series};

/// Values of a series: what grew, and the value of each round.
type Points = Vec<(f64, Vec<f64>)>;

/// The program.
///
/// # Errors
/// If the broker cannot be reached, a run fails, or its output is wrong.
pub fn main() -> Result<()> {
    let options = Options::parse();
    let Some(bootstrap) = options.entry.begin(child::obey)? else { return Ok(()) };
    let mut bench = Bench::new(bootstrap, Starter::default())?;
    let mut all = Vec::new();
    for &series in &options.series {
        let lines = match series {
            Series::Restore => restore::measure(&options, &mut bench)?,
            _ => vec![
                ("count".to_owned(), measure(&options, &mut bench, series, Workload::Count)?),
                ("passthrough".to_owned(), measure(&options, &mut bench, series, Workload::Passthrough)?),
            ],
        };
        let lines: Vec<(String, Points)> = lines.into_iter().filter(|(_, points)| !points.is_empty()).collect();
        write_plot(&options, series, &lines)?;
        all.push(summary(series, &lines));
        let path = options.out.join("growth.json");
        std::fs::write(&path, format!("{:#}\n", Value::from(all.clone())))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn measure(options: &Options, bench: &mut Bench, series: Series, workload: Workload) -> Result<Points> {
    if workload == Workload::Passthrough && !series.concerns_passthrough() {
        return Ok(Vec::new());
    }
    let mut points: Points = series.values(options).into_iter().map(|value| (value, Vec::new())).collect();
    for _ in 0..options.rounds {
        for (value, costs) in &mut points {
            let (_, figures) = bench.run(&spec(options, series, workload, *value), Side::Millstream)?;
            let cost = figures.cpu_per_million();
            eprintln!("  {} {value:>10} {:<12} {cost:.3} CPU s per million", series.name(), workload.name());
            costs.push(cost);
        }
    }
    Ok(points)
}

fn spec(options: &Options, series: Series, workload: Workload, value: f64) -> Spec {
    let usual = Spec { caching: Caching::On, ..Spec::new(workload, options.records) };
    match series {
        // Without the cache and evenly drawn, so that the store has to find each key.
        Series::Keys => {
            let input = Input::new(options.records, value as usize, Keys::Zipf(0.0));
            Spec { caching: Caching::Off, input, ..usual }
        }
        Series::Size => {
            // As many bytes, but not fewer than a tenth of the records.
            let records = (options.records as f64 * (100.0 / value).clamp(0.1, 1.0)) as u64;
            Spec { input: Input { records, values: Values::Digits(value as usize), ..usual.input }, ..usual }
        }
        Series::Partitions => Spec { partitions: value as i32, ..usual },
        Series::Stores => Spec { stores: value as usize, ..usual },
        Series::Workers => Spec { workers: value as usize, ..usual },
        Series::Restore => usual,
    }
}

fn median(values: &[f64]) -> f64 {
    Range::of(values.iter().copied()).map_or(0.0, |range| range.median)
}

fn write_plot(options: &Options, series: Series, lines: &[(String, Points)]) -> Result<()> {
    let lines: Vec<Line> = lines
        .iter()
        .map(|(name, points)| Line {
            name: name.clone(),
            points: points.iter().map(|(x, values)| (*x, median(values))).collect(),
        })
        .collect();
    let (title, across, up) = series.words();
    let path = options.out.join(format!("growth-{}.svg", series.name()));
    std::fs::write(&path, plot::lines(title, across, up, &lines)).with_context(|| format!("writing {}", path.display()))
}

/// The points with how the cost grows from each to the next: 1 is in proportion, 0 not at all.
fn summary(series: Series, lines: &[(String, Points)]) -> Value {
    let line = |(name, points): &(String, Points)| {
        let mut text = format!("{} ({name}):", series.name());
        let mut exponents = Vec::new();
        for pair in points.windows(2) {
            let [(from, before), (to, after)] = pair else { continue };
            exponents.push((median(after) / median(before)).ln() / (to / from).ln());
        }
        for (value, costs) in points {
            text += &format!(" {value}: {:.3}", median(costs));
        }
        println!("{text}; exponents {exponents:.2?}");
        json!({ "name": name, "points": points, "exponents": exponents })
    };
    json!({ "series": series.name(), "lines": lines.iter().map(line).collect::<Vec<_>>() })
}
