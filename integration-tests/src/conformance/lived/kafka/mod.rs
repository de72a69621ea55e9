//! A sample of the vectors on a real Kafka, each as an application of its own, side by side, with its stores in RocksDB.
//!
//! ```text
//!  step → input topic → Instance → outputs, changelogs, repartition topics
//!    ▲                     └ stepped until all is committed and nothing is left to read ┐
//!    └──────────────────────────────────────────────────────────────────────────────────┘
//! ```
//! As on the embedded broker each step is let come to rest, so the claim is the same: all topics record by record and step by
//! step as in the vector, and the stores as the test driver's. Runs are cut after [`STEPS`] steps, because a step takes
//! transactions, and before the first record of time 0, which librdkafka cannot write: to it 0 is the present, and it is
//! sent as 1.

mod life;

use std::path::Path;
use std::sync::Arc;
use std::thread::ScopedJoinHandle;

use anyhow::{Context, Result, anyhow, bail};
use millstream::broker::Broker;
use millstream::broker::kafka::{KafkaBroker, KafkaSettings};
use millstream::state::engine::{RocksSettings, RocksStorage};

use self::life::Life;
use super::super::cases::{self, Journal};
use super::super::compare::Difference;
use super::super::vector::Step;
use super::judge::{Case, compare_records, driven, kept_in};
use super::prefixed::Prefixed;
use super::{kept, offsets};

/// The sample: file and run (by its place), of each kind of operator.
const SAMPLE: &[(&str, usize)] = &[
    ("count", 1),
    ("tumbling-count", 1),
    ("hopping-count", 1),
    ("session-reduce", 2),
    ("emit-final-tumbling-retention", 4),
    ("suppress-window-close", 1),
    ("suppress-window-close-session", 4),
    ("headers-through-repartition-and-suppress", 2),
    ("stream-stream-inner-grace", 2),
    ("stream-stream-outer-grace", 2),
    ("stream-self-join", 4),
    ("stream-table-grace-inner", 0),
    ("table-table-outer", 3),
    ("table-groupby-sum-null-cached", 1),
    ("fk-join-left", 3),
    ("fk-join-inner-materialized-cached", 1),
    ("versioned-table-source", 4),
    ("stream-versioned-table-inner", 0),
    ("two-aggregations-optimized", 2),
    ("multiple-subtopologies", 1),
];

/// How many steps of a run are played.
const STEPS: usize = 40;

/// How many steps are worth it.
const LEAST: usize = 10;

/// How many vectors are played.
pub(super) const SIZE: usize = SAMPLE.len();

/// Plays the sample; answers what differs, by file.
pub(super) fn play(bootstrap: &str, folder: &Path) -> Result<Vec<String>> {
    let broker: Arc<dyn Broker> = Arc::new(KafkaBroker::new(KafkaSettings::new(bootstrap))?);
    let unique = std::time::UNIX_EPOCH.elapsed().context("the clock is before 1970")?.as_nanos();
    let failed = std::thread::scope(|scope| {
        let start = |(index, (name, run)): (usize, &(&'static str, usize))| {
            let broker = Arc::new(Prefixed::new(broker.clone(), format!("vectors-{unique:x}-{index}-")));
            let (file, run) = (folder.join(format!("{name}.json")), *run);
            (*name, scope.spawn(move || one(broker, &file, run)))
        };
        // All are started before the first is waited for.
        let plays: Vec<_> = SAMPLE.iter().enumerate().map(start).collect();
        plays.into_iter().filter_map(|(name, play)| outcome(name, play)).collect()
    });
    Ok(failed)
}

fn outcome(name: &str, play: ScopedJoinHandle<'_, Result<Option<Difference>>>) -> Option<String> {
    match play.join() {
        Ok(Ok(difference)) => difference.map(|difference| format!("{name}: {difference}")),
        Ok(Err(error)) => Some(format!("{name}: {error:#}")),
        Err(_) => Some(format!("{name}: it panicked")),
    }
}

fn one(broker: Arc<Prefixed>, file: &Path, run: usize) -> Result<Option<Difference>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let mut case = Case::parse(&text)?.ok_or_else(|| anyhow!("it is no case"))?;
    let mut run = case.file.runs.drain(..).nth(run).ok_or_else(|| anyhow!("there is no such run"))?;
    let timeless = |step: &Step| matches!(step, Step::Pipe(pipe) if pipe.timestamp == 0);
    let steps = run.steps.iter().position(timeless).unwrap_or(run.steps.len()).min(STEPS);
    if steps < LEAST {
        bail!("only {steps} steps can be played");
    }
    run.steps.truncate(steps);
    let topology = cases::build(&case.file, &Journal::default())?;
    let root = tempfile::tempdir().context("making a directory for RocksDB")?;
    let storage = Arc::new(RocksStorage::new(root.path(), &RocksSettings::default()));
    let mut life = Life::new(&case, &topology, broker, storage.clone())?;
    life.live(&case, &run.steps)?;
    let logs = life.stop()?;
    let played = logs.played(&offsets::changelogs(case.application_id(), &topology));
    if let Some(difference) = compare_records(&case, &run, &topology, played)? {
        return Ok(Some(difference));
    }
    Ok(kept::differ(&driven(&case, &run)?, &kept_in(&case, &topology, &*storage, &logs)?))
}
