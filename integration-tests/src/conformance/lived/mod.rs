//! The vectors' inputs through the real runtime: controller, workers, tasks, transactions and restoring, on the embedded
//! broker.
//!
//! ```text
//!  vectors/*.json ─┬─ one partition, one worker ─────── outputs and internal topics as in the vector, record by record
//!                  ├─ the same, stopped half-way ────── the same: once on RocksDB, once with the disk lost
//!                  └─ three partitions, two workers ─── as the test driver with three partitions, and per key as the vector
//! ```
//! After each step the application is let alone until it rests, and every turn of a task ends in a commit. So the records
//! of a topic come in the order of the reference's driver wherever that is defined. Stores are those of the test driver,
//! which `conformance` compares with the vectors. What cannot be had on a runtime is in `beyond`, and is printed.

mod beyond;
mod cluster;
mod judge;
mod kafka;
mod kept;
mod offsets;
mod prefixed;
mod spread;
mod steps;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use anyhow::{Context, Result};

use self::judge::Verdict;
use crate::support::bootstrap;

/// Plays all vectors, prints what came of it, and answers whether everything agrees.
#[allow(clippy::print_stdout, reason = "this is the output of a test program")]
pub fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("the vectors could not be played: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Plays a sample of the vectors on the real Kafka that `MILLSTREAM_TEST_BOOTSTRAP` names, and prints what came of it.
#[allow(clippy::print_stdout, reason = "this is the output of a test program")]
pub fn main_on_kafka() -> ExitCode {
    let Some(bootstrap) = bootstrap() else { return ExitCode::SUCCESS };
    let failed = match kafka::play(&bootstrap, &super::folder()) {
        Ok(failed) => failed,
        Err(error) => vec![format!("the vectors could not be played: {error:#}")],
    };
    failed.iter().for_each(|report| println!("FAILED {report}"));
    println!("lived on a real broker: {} vectors, {} failed", kafka::SIZE, failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[allow(clippy::print_stdout, reason = "this is the output of a test program")]
fn run() -> Result<bool> {
    let folder = super::folder();
    let only = std::env::var("CONFORMANCE_ONLY").ok();
    let (mut cases, mut plays, mut failed) = (0, 0, 0);
    let mut excepted = BTreeMap::new();
    for file in super::files(&folder)? {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let judged = catch_unwind(AssertUnwindSafe(|| judge::judge(&name, &text)));
        let verdict = match judged {
            Ok(verdict) => verdict.with_context(|| name.clone())?,
            Err(_) => Some(Verdict { plays: 0, failed: vec!["it panicked".into()], excepted: Vec::new() }),
        };
        let Some(verdict) = verdict else { continue };
        cases += 1;
        plays += verdict.plays;
        failed += usize::from(!verdict.failed.is_empty());
        verdict.failed.iter().for_each(|report| println!("FAILED {name}: {report}"));
        for (how, exception, differs) in verdict.excepted {
            *excepted.entry((how, exception)).or_insert(false) |= differs;
        }
    }
    // A part of the files need not show it.
    for ((how, exception), _) in excepted.iter().filter(|(_, differs)| !**differs && only.is_none()) {
        println!("FAILED {exception}: {how}: it is listed as an exception, but nothing differs");
        failed += 1;
    }
    for exception in beyond::ALL {
        println!("differs from the vector, as it must: {exception}");
    }
    for (cases, reason) in beyond::OTHERWISE {
        println!(
            "with several partitions as the test driver with as many, not as the vector: {}…: {reason}",
            cases.join("… ")
        );
    }
    println!("lived: {cases} cases in {plays} plays, {failed} failed");
    Ok(failed == 0 && cases > 0)
}
