//! Lives many simulated lives, and says what it found.
//!
//! ```text
//!  torture [--seed N] [--runs M] [--minutes X] [--workload NAME] [--aloud]
//! ```
//! Without `--runs` and `--minutes` it lives one life. The last line is `violations: N`; each violation prints the
//! command that replays it.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use millstream::clock::{Clock, SystemClock};
use millstream_integration_tests::lives::{Counts, Scenario, live, workload};

/// What the command line says.
struct Wanted {
    seed: u64,
    runs: Option<u64>,
    minutes: Option<f64>,
    workload: Option<String>,
    aloud: bool,
}

fn wanted() -> Result<Wanted, String> {
    let mut wanted = Wanted { seed: 1, runs: None, minutes: None, workload: None, aloud: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--aloud" {
            wanted.aloud = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let wrong = || format!("{word} cannot be {value}");
        match word.as_str() {
            "--seed" => wanted.seed = value.parse().map_err(|_| wrong())?,
            "--runs" => wanted.runs = Some(value.parse().map_err(|_| wrong())?),
            "--minutes" => wanted.minutes = Some(value.parse().map_err(|_| wrong())?),
            "--workload" => wanted.workload = Some(value),
            _ => return Err(format!("{word} is not known: --seed, --runs, --minutes, --workload, --aloud")),
        }
    }
    Ok(wanted)
}

fn scenario(wanted: &Wanted, seed: u64) -> Result<Scenario, String> {
    let Some(name) = &wanted.workload else { return Ok(Scenario::draw(seed)) };
    let all = workload::all();
    let names: Vec<&str> = all.iter().map(|workload| workload.name()).collect();
    match all.iter().find(|workload| workload.name() == name) {
        Some(workload) => Ok(Scenario::draw_for(seed, workload.clone())),
        None => Err(format!("there is no workload {name}, but {}", names.join(", "))),
    }
}

/// What all lives came to.
#[derive(Default)]
struct Totals {
    lives: u64,
    violations: u64,
    steps: u64,
    simulated: Duration,
    faults: Counts,
    by_workload: BTreeMap<&'static str, u64>,
}

fn run(wanted: &Wanted) -> Result<Totals, String> {
    let clock = SystemClock::default();
    let began = clock.monotonic();
    let limit = wanted.minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
    let runs = wanted.runs.or(limit.is_none().then_some(1)).unwrap_or(u64::MAX);
    let mut totals = Totals::default();
    for seed in (wanted.seed..).take(usize::try_from(runs).unwrap_or(usize::MAX)) {
        if limit.is_some_and(|limit| clock.monotonic().since(began) >= limit) {
            break;
        }
        let scenario = scenario(wanted, seed)?;
        if wanted.aloud {
            println!("seed {seed}: {}", scenario.describe());
        }
        let name = scenario.workload.name();
        *totals.by_workload.entry(name).or_default() += 1;
        totals.lives += 1;
        match live(scenario, None, wanted.aloud) {
            Ok(report) => {
                totals.steps += report.steps;
                totals.simulated += report.simulated;
                report.faults.into_iter().for_each(|(kind, count)| *totals.faults.entry(kind).or_default() += count);
                print!("{}", report.log);
            }
            Err(violation) => {
                totals.violations += 1;
                print!("{}", violation.log);
                println!("VIOLATION, seed {seed} ({}): {}", violation.scenario, violation.what);
                // With the workload: which one a seed alone draws depends on how many there are.
                println!(
                    "  replay: cargo run --package millstream-integration-tests --bin torture -- --seed {seed} --workload {name} --aloud"
                );
            }
        }
    }
    let took = clock.monotonic().since(began);
    println!("seeds {} to {}", wanted.seed, wanted.seed + totals.lives.saturating_sub(1));
    for (name, lives) in &totals.by_workload {
        println!("  {lives:>8} lives of {name}");
    }
    for (kind, count) in &totals.faults {
        println!("  {count:>8} × {kind}");
    }
    println!(
        "{} lives, {} steps, {:.0} simulated minutes in {:.1} s",
        totals.lives,
        totals.steps,
        totals.simulated.as_secs_f64() / 60.0,
        took.as_secs_f64()
    );
    Ok(totals)
}

fn main() -> ExitCode {
    match wanted().and_then(|wanted| run(&wanted)) {
        Ok(totals) => {
            println!("violations: {}", totals.violations);
            if totals.violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("torture: {error}");
            ExitCode::from(2)
        }
    }
}
