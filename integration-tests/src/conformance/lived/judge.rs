//! Judges one file: plays its runs in every way and finds the first difference of each.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result};
use millstream::operators::topology::Topology;
use millstream::state::engine::{MemoryStorage, RocksSettings, RocksStorage, Storage};
use serde_json::Value;

use super::super::cases::{self, Journal};
use super::super::compare::{self, Difference, Order, Played, SinkTypes};
use super::super::typed::Type;
use super::super::vector::{CaseFile, Run, Step};
use super::super::{lost, play};
use super::beyond::{self, Life};
use super::cluster::Cluster;
use super::kept::{self, Kept};
use super::spread;
use super::steps::Logs;

/// What came of a file.
pub(super) struct Verdict {
    /// How many times a run was played.
    pub(super) plays: usize,
    /// What differs.
    pub(super) failed: Vec<String>,
    /// How it was played where it is excepted, who has to differ, and whether a run differed: some file of the exception,
    /// and the file itself unless it has only one run.
    pub(super) excepted: Vec<(&'static str, String, bool)>,
}

/// A case with the types of its outputs.
pub(super) struct Case {
    pub(super) file: CaseFile,
    pub(super) sinks: SinkTypes,
}

impl Case {
    /// The case in the text of a file; `None` if it is no case, or one without a recipe.
    pub(super) fn parse(text: &str) -> Result<Option<Self>> {
        let value: Value = serde_json::from_str(text).context("not JSON")?;
        let case = value["case"].as_str().unwrap_or_default().to_owned();
        if value.get("runs").is_none() || !cases::covers(&case) {
            return Ok(None);
        }
        let file: CaseFile = serde_json::from_value(value).context("not a case file")?;
        let types = file.sinks.iter();
        let sinks = types.map(|sink| Ok((sink.topic.clone(), (Type::parse(&sink.key)?, Type::parse(&sink.value)?))));
        let sinks = sinks.collect::<Result<_>>()?;
        Ok(Some(Self { file, sinks }))
    }

    pub(super) fn application_id(&self) -> &str {
        self.file.config.get("application.id").and_then(Value::as_str).unwrap_or_default()
    }
}

/// Judges a file by its name and text; `None` if it is no case, or one without a recipe.
pub(super) fn judge(name: &str, text: &str) -> Result<Option<Verdict>> {
    let Some(mut case) = Case::parse(text)? else { return Ok(None) };
    let failing: Vec<Option<Step>> = case.file.runs.iter_mut().map(take_failing_step).collect();
    Ok(Some(Verdict::of(name, &case, &failing)))
}

/// Runs with what came of them.
type Plays<'a> = Vec<(&'a Run, Result<Option<Difference>>)>;

impl Verdict {
    fn of(name: &str, case: &Case, failing: &[Option<Step>]) -> Self {
        let runs = &case.file.runs;
        let keeps = |run: &&Run| run.stores.values().any(|store| !store.entries.is_empty() || store.raw_hex.is_some());
        let (first, last) = (runs.iter().find(keeps), runs.last());
        let plays = 2 * runs.len() + usize::from(first.is_some()) + usize::from(last.is_some());
        let mut verdict = Self { plays, failed: Vec::new(), excepted: Vec::new() };
        let shown = |exception: Option<&'static str>| {
            exception.map(|exception| if runs.len() == 1 { vec![exception] } else { vec![exception, name] })
        };
        let alone = runs.iter().zip(failing).map(|(run, failing)| (run, alone(case, run, failing.as_ref())));
        verdict.add("Alone", shown(beyond::excepted(name, Life::Alone)), alone.collect());

        let (mut as_driven, mut as_recorded) = (Plays::new(), Plays::new());
        for run in runs {
            match spread::judge(case, run) {
                Ok(found) => {
                    as_driven.push((run, Ok(found.from_driver)));
                    as_recorded.push((run, Ok(found.from_vector)));
                }
                Err(error) => as_driven.push((run, Err(error))),
            }
        }
        verdict.add("Spread", shown(beyond::excepted(name, Life::Spread)), as_driven);
        verdict.add("Spread, against the vector of one partition", shown(beyond::otherwise(name)), as_recorded);

        let stopped = first.map(|run| (run, stopped(case, run)));
        verdict.add("Stopped", shown(beyond::excepted(name, Life::Stopped)), stopped.into_iter().collect());
        let emptied = last.map(|run| (run, emptied(case, run)));
        verdict.add("Emptied", shown(beyond::excepted(name, Life::Emptied)), emptied.into_iter().collect());
        verdict
    }

    /// Takes in what came of runs that were played in one way.
    fn add(&mut self, how: &'static str, excepted: Option<Vec<&str>>, plays: Plays<'_>) {
        let differing = plays.iter().filter_map(|(run, outcome)| match outcome {
            Ok(None) => None,
            Ok(Some(difference)) => Some(format!("{how}, run {}, {difference}", run.label())),
            Err(error) => Some(format!("{how}, run {}: {error:#}", run.label())),
        });
        let differing: Vec<String> = differing.collect();
        match excepted {
            None => self.failed.extend(differing),
            Some(_) if plays.is_empty() => {}
            Some(names) => {
                let differs = !differing.is_empty();
                self.excepted.extend(names.into_iter().map(|name| (how, name.to_owned(), differs)));
            }
        }
    }
}

/// A step that fails leaves nothing behind on a runtime, because its transaction is aborted: it is played apart.
fn take_failing_step(run: &mut Run) -> Option<Step> {
    let error = run.error.take()?;
    run.steps.truncate(error.step + 1);
    run.stores.clear();
    run.steps.pop()
}

fn alone(case: &Case, run: &Run, failing: Option<&Step>) -> Result<Option<Difference>> {
    let (journal, driven) = (Journal::default(), driven(case, run)?);
    let topology = cases::build(&case.file, &journal)?;
    let storage = Arc::new(MemoryStorage::new());
    let mut cluster = Cluster::start(&case.file, topology.clone(), storage, (1, 1))?;
    for step in &run.steps {
        take(case, &mut cluster, step, 1)?;
    }
    if let Some(step) = failing {
        take(case, &mut cluster, step, 1).context("the step that fails")?;
        if cluster.error().is_none() {
            return Ok(Some(Difference::new("the last step", "the run stops with an error", "no error")));
        }
        let mut played = cluster.played();
        let after = played.after.pop();
        if after.clone().unwrap_or_default() != played.after.last().cloned().unwrap_or_default() {
            return Ok(Some(Difference::new("the step that fails", "nothing is committed", format!("{after:?}"))));
        }
        return compare_records(case, run, &topology, played);
    }
    let side_effects = journal.take();
    if let Some(should) = run.side_effects.as_ref().filter(|should| **should != side_effects) {
        return Ok(Some(Difference::new("side effects", format!("{should:?}"), format!("{side_effects:?}"))));
    }
    finish(case, run, (&topology, &mut cluster, &driven))
}

fn stopped(case: &Case, run: &Run) -> Result<Option<Difference>> {
    let root = tempfile::tempdir().context("making a directory for RocksDB")?;
    let storage = Arc::new(RocksStorage::new(root.path(), &RocksSettings::default()));
    interrupted(case, run, (storage, None))
}

fn emptied(case: &Case, run: &Run) -> Result<Option<Difference>> {
    interrupted(case, run, (Arc::new(MemoryStorage::new()), Some(Arc::new(MemoryStorage::new()))))
}

/// Plays a run with a stop half-way, after which the application may find another disk.
fn interrupted(
    case: &Case,
    run: &Run,
    (disk, other): (Arc<dyn Storage>, Option<Arc<dyn Storage>>),
) -> Result<Option<Difference>> {
    let driven = driven(case, run)?;
    let topology = cases::build(&case.file, &Journal::default())?;
    let mut cluster = Cluster::start(&case.file, topology.clone(), disk, (1, 1))?;
    let (before, after) = run.steps.split_at(run.steps.len() / 2);
    for step in before {
        take(case, &mut cluster, step, 1)?;
    }
    cluster.restart(other).context("stopping and starting again")?;
    for step in after {
        take(case, &mut cluster, step, 1)?;
    }
    finish(case, run, (&topology, &mut cluster, &driven))
}

/// Takes one step.
pub(super) fn take(case: &Case, cluster: &mut Cluster, step: &Step, partitions: i32) -> Result<()> {
    match step {
        Step::Pipe(pipe) => {
            let record = play::raw(&case.file, pipe)?;
            cluster.pipe(&pipe.topic, spread::partition(&record, partitions), &record)?;
        }
        Step::AdvanceWallClockMs(millis) => cluster.advance(*millis)?,
    }
    cluster.note_step();
    Ok(())
}

fn finish(
    case: &Case,
    run: &Run,
    (topology, cluster, driven): (&Topology, &mut Cluster, &Kept),
) -> Result<Option<Difference>> {
    if let Some(error) = cluster.error() {
        return Ok(Some(Difference::new("the instance", "no error", error)));
    }
    cluster.stop()?;
    if let Some(difference) = compare_records(case, run, topology, cluster.played())? {
        return Ok(Some(difference));
    }
    Ok(kept::differ(driven, &left(case, topology, cluster)?))
}

/// What an application that has stopped leaves in its stores.
pub(super) fn left(case: &Case, topology: &Topology, cluster: &Cluster) -> Result<Kept> {
    kept_in(case, topology, cluster.storage(), &cluster.logs())
}

/// What is in the stores of an application that has left these logs.
pub(super) fn kept_in(case: &Case, topology: &Topology, storage: &dyn Storage, logs: &Logs) -> Result<Kept> {
    let logged =
        |store: &str, partition| logs.written(&format!("{}-{store}-changelog", case.application_id()), partition);
    kept::stores(topology, storage, &logged)
}

/// What the test driver leaves in its stores after the same run.
pub(super) fn driven(case: &Case, run: &Run) -> Result<Kept> {
    let topology = cases::build(&case.file, &Journal::default())?;
    let storage = MemoryStorage::new();
    let driver = play::driver(&case.file, topology.clone(), Arc::new(storage.clone()))?;
    play::play(&case.file, run, &driver)?;
    spread::kept(case, &topology, driver, &storage)
}

/// The first difference between what a run must write and what was written.
pub(super) fn compare_records(
    case: &Case,
    run: &Run,
    topology: &Topology,
    mut played: Played,
) -> Result<Option<Difference>> {
    // A record without a time gets the broker's.
    let timeless = run.internal.iter().filter(|(_, records)| records.iter().any(|record| record.timestamp.is_none()));
    blank_times(&mut played, &timeless.map(|(topic, _)| topic.clone()).collect());
    let Some(difference) = compare::records(run, &case.sinks, &played, Order::Exact)? else { return Ok(None) };
    let cached = case.file.cache_max_bytes() > 0;
    if cached && compare::records(run, &case.sinks, &played, Order::PerKey)?.is_none() {
        return Ok(None);
    }
    if let Some((rest, _)) = lost::without(run, &case.sinks, (case.application_id(), topology), &played)?
        && compare::records(run, &case.sinks, &rest, Order::Exact)?.is_none()
    {
        return Ok(None);
    }
    Ok(Some(difference))
}

/// Takes the times off the records of these topics.
pub(super) fn blank_times(played: &mut Played, topics: &BTreeSet<String>) {
    for (_, records) in played.written.iter_mut().filter(|(topic, _)| topics.contains(*topic)) {
        records.iter_mut().for_each(|record| record.timestamp = None);
    }
}
