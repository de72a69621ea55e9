//! The recorded vectors of Kafka Streams, played through the test driver.
//!
//! ```text
//!  vectors/*.json → case registry → topology → test driver → comparers → "conformance: N passed, M failed, K not covered"
//! ```
//! `CONFORMANCE_DIR=DIR` plays the files of another folder: the same cases by their ids, with other inputs.

mod cases;
mod compare;
mod foreign_keys;
mod formats;
mod formats_changes;
mod formats_windows;
mod join_stores;
mod judge;
pub mod lived;
mod lost;
mod play;
mod queries;
mod restored;
mod stores;
mod typed;
mod vector;
mod versions;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use self::judge::{Verdict, judge};
use self::lost::LostInRun;

/// Plays all vectors, prints what came of each, and answers whether all that are covered passed.
#[allow(clippy::print_stdout, reason = "this is the output of a test program")]
pub fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("conformance could not run: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Where the vectors are: `CONFORMANCE_DIR`, or those that come with the project.
fn folder() -> PathBuf {
    std::env::var_os("CONFORMANCE_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors"), PathBuf::from)
}

/// The vectors of a folder, sorted.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .with_context(|| format!("reading {}", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json") && !file.ends_with(lost::LIST));
    files.sort();
    if files.is_empty() {
        bail!("no *.json in {}", folder.display());
    }
    Ok(files)
}

fn run() -> Result<bool> {
    let folder = folder();
    let files = files(&folder)?;
    let mut tally = Tally::default();
    for file in &files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let verdict = std::fs::read_to_string(file)
            .with_context(|| format!("reading {}", file.display()))
            .and_then(|text| judge(&text))
            .unwrap_or_else(|error| Verdict::Failed { runs: 0, report: format!("{error:#}") });
        tally.count(&name, verdict);
    }
    tally.compare_lost(lost::listed(&folder)?);
    tally.report(&folder);
    Ok(tally.failed.is_empty() && tally.passed > 0)
}

#[derive(Default)]
struct Tally {
    passed: usize,
    runs: usize,
    loose: usize,
    failed: Vec<(String, String)>,
    not_covered: Vec<String>,
    notes: Vec<String>,
    lost: Vec<LostInRun>,
}

impl Tally {
    fn count(&mut self, name: &str, verdict: Verdict) {
        match verdict {
            Verdict::Passed { runs, loose, note, lost } => {
                let named = lost.into_iter().map(|(run, records)| LostInRun { file: name.to_owned(), run, records });
                self.lost.extend(named);
                self.passed += 1;
                self.runs += runs;
                self.loose += loose;
                self.notes.extend(note.map(|note| format!("{name}: {note}")));
            }
            Verdict::Failed { runs, report } => {
                self.runs += runs;
                self.failed.push((name.to_owned(), report));
            }
            Verdict::NotCovered => self.not_covered.push(name.to_owned()),
        }
    }

    /// If the vectors come with a list of the windows that the reference loses, they must be exactly those.
    fn compare_lost(&mut self, listed: Option<Vec<LostInRun>>) {
        let Some(listed) = listed else { return };
        let unlisted = self.lost.iter().filter(|lost| !listed.contains(lost)).map(|lost| (lost, "is not in the list"));
        let missing = listed.iter().filter(|lost| !self.lost.contains(lost)).map(|lost| (lost, "is in the list only"));
        let wrong = unlisted.chain(missing).map(|(lost, what)| {
            let LostInRun { file, run, records } = lost;
            (file.clone(), format!("run {run}: what the reference loses {what}: {}", serde_json::json!(records)))
        });
        let wrong: Vec<_> = wrong.collect();
        self.failed.extend(wrong);
    }

    #[allow(clippy::print_stdout, reason = "this is the output of a test program")]
    fn report(&self, folder: &Path) {
        println!("vectors of {}: counted are case files; {} runs were played", folder.display(), self.runs);
        if self.loose > 0 {
            println!("{} runs agree only if the keys of one cache flush may come in any order", self.loose);
        }
        for note in &self.notes {
            println!("{note}");
        }
        for LostInRun { file, run, records } in &self.lost {
            println!("{file}, run {run}: {} windows that the reference loses are emitted here", records.len());
        }
        if !self.not_covered.is_empty() {
            println!("not covered (operators that do not exist here yet): {}", self.not_covered.join(" "));
        }
        for (name, report) in &self.failed {
            println!("FAILED {name}.json: {report}");
        }
        let (failed, not_covered) = (self.failed.len(), self.not_covered.len());
        println!("conformance: {} passed, {failed} failed, {not_covered} not covered", self.passed);
    }
}
