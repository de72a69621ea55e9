//! Judges one file: builds its topology, plays its runs, and finds the first difference.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use millstream::state::engine::{MemoryStorage, RocksSettings, RocksStorage, Storage};
use serde_json::Value;

use super::cases::{self, Journal};
use super::compare::{self, Difference, Order, SinkTypes};
use super::formats;
use super::lost::{self, Lost};
use super::play;
use super::restored;
use super::stores;
use super::typed::Type;
use super::vector::{CaseFile, Run};

/// What came of a file.
pub(crate) enum Verdict {
    /// All of it is as recorded; `loose` runs only up to the order of keys within a cache flush.
    Passed {
        runs: usize,
        loose: usize,
        note: Option<String>,
        /// By run, the windows that the reference loses and that are emitted here.
        lost: Vec<(String, Vec<Lost>)>,
    },
    /// Something differs.
    Failed { runs: usize, report: String },
    /// The operators of the case do not exist here yet.
    NotCovered,
}

/// Judges the text of a file.
pub(crate) fn judge(text: &str) -> Result<Verdict> {
    let value: Value = serde_json::from_str(text).context("not JSON")?;
    let case = value["case"].as_str().ok_or_else(|| anyhow!("no field \"case\""))?.to_owned();
    if value.get("runs").is_none() {
        return judge_formats(&case, &value);
    }
    if !cases::covers(&case) {
        return Ok(Verdict::NotCovered);
    }
    let file: CaseFile = serde_json::from_value(value).context("not a case file")?;
    let outcome = catch_unwind(AssertUnwindSafe(|| judge_case(&file)));
    outcome.unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Ok(Verdict::Failed { runs: 0, report: format!("panicked: {message}") })
    })
}

fn judge_formats(case: &str, value: &Value) -> Result<Verdict> {
    let Some(checked) = formats::check(case, value)? else { return Ok(Verdict::NotCovered) };
    Ok(match checked.difference {
        Some(difference) => Verdict::Failed { runs: 0, report: difference.to_string() },
        None => Verdict::Passed { runs: 0, loose: 0, note: Some(format!("{} rows", checked.rows)), lost: Vec::new() },
    })
}

fn judge_case(file: &CaseFile) -> Result<Verdict> {
    let topology = cases::build(file, &Journal::default())?;
    let described = topology.describe().to_string();
    if let Some(difference) = describe(&file.describe, &described) {
        return Ok(Verdict::Failed { runs: 0, report: difference.to_string() });
    }
    let sinks = sink_types(file)?;
    let (mut loose, mut lost) = (0, Vec::new());
    for (index, run) in file.runs.iter().enumerate() {
        let judged = judge_run(file, run, &sinks, Arc::new(MemoryStorage::new()));
        match judged.with_context(|| format!("run {}", run.label()))? {
            Agreement::Exact => {}
            Agreement::UpToKeyOrder => loose += 1,
            Agreement::ButLost(records) => lost.push((run.label(), records)),
            Agreement::None(difference) => {
                return Ok(Verdict::Failed { runs: index + 1, report: format!("run {}, {difference}", run.label()) });
            }
        }
    }
    if let Some(difference) = on_disk(file, &sinks)? {
        return Ok(Verdict::Failed { runs: file.runs.len(), report: format!("on RocksDB, {difference}") });
    }
    Ok(Verdict::Passed { runs: file.runs.len(), loose, note: None, lost })
}

/// Plays one run of a file that has no description to compare.
pub(crate) fn captured(file: &CaseFile, run: usize) -> Result<Option<Difference>> {
    let sinks = sink_types(file)?;
    Ok(match judge_run(file, &file.runs[run], &sinks, Arc::new(MemoryStorage::new()))? {
        Agreement::None(difference) => Some(difference),
        Agreement::Exact | Agreement::UpToKeyOrder | Agreement::ButLost(_) => None,
    })
}

fn sink_types(file: &CaseFile) -> Result<SinkTypes> {
    let types = file.sinks.iter();
    types.map(|sink| Ok((sink.topic.clone(), (Type::parse(&sink.key)?, Type::parse(&sink.value)?)))).collect()
}

/// Plays the first run that leaves something in a store once more, on RocksDB: one per case, because databases are slow
/// to open.
fn on_disk(file: &CaseFile, sinks: &SinkTypes) -> Result<Option<Difference>> {
    let Some(run) = file.runs.iter().find(|run| run.stores.values().any(|store| !store.entries.is_empty())) else {
        return Ok(None);
    };
    let root = tempfile::tempdir().context("making a directory for RocksDB")?;
    let storage = RocksStorage::new(root.path(), &RocksSettings::default());
    Ok(
        match judge_run(file, run, sinks, Arc::new(storage))
            .with_context(|| format!("run {} on RocksDB", run.label()))?
        {
            Agreement::None(difference) => {
                Some(Difference { place: format!("run {}, {}", run.label(), difference.place), ..difference })
            }
            Agreement::Exact | Agreement::UpToKeyOrder | Agreement::ButLost(_) => None,
        },
    )
}

enum Agreement {
    Exact,
    UpToKeyOrder,
    /// Exact, but for windows that the reference loses.
    ButLost(Vec<Lost>),
    None(Difference),
}

fn judge_run(file: &CaseFile, run: &Run, sinks: &SinkTypes, storage: Arc<dyn Storage>) -> Result<Agreement> {
    let journal = Journal::default();
    let topology = cases::build(file, &journal)?;
    let driver = play::driver(file, topology.clone(), storage)?;
    let played = play::play(file, run, &driver)?;
    let application_id = file.config.get("application.id").and_then(Value::as_str).unwrap_or_default();
    let mut agreement = Agreement::Exact;
    if let Some(difference) = compare::records(run, sinks, &played, Order::Exact)? {
        let cached = file.cache_max_bytes() > 0;
        agreement = if cached && compare::records(run, sinks, &played, Order::PerKey)?.is_none() {
            Agreement::UpToKeyOrder
        } else {
            match lost::without(run, sinks, (application_id, &topology), &played)? {
                Some((rest, lost)) if compare::records(run, sinks, &rest, Order::Exact)?.is_none() => {
                    Agreement::ButLost(lost)
                }
                _ => return Ok(Agreement::None(difference)),
            }
        };
    }
    if let Some(should) = &run.side_effects {
        let is = journal.take();
        if let Some(index) = (0..should.len().max(is.len())).find(|&index| should.get(index) != is.get(index)) {
            let show = |list: &[String]| list.get(index).cloned().unwrap_or_else(|| "none".to_owned());
            let place = format!("side effect {index}");
            return Ok(Agreement::None(Difference::new(place, show(should), show(&is))));
        }
    }
    if run.error.is_some() {
        return Ok(agreement);
    }
    if let Some(difference) = stores::compare(&driver, run)? {
        return Ok(Agreement::None(difference));
    }
    let difference = restored::compare(application_id, &topology, run)?;
    Ok(difference.map_or(agreement, Agreement::None))
}

fn describe(should: &str, is: &str) -> Option<Difference> {
    let mut lines = should.lines().zip(is.lines()).enumerate();
    if let Some((index, (should, is))) = lines.find(|(_, (should, is))| should != is) {
        return Some(Difference::new(format!("describe, line {}", index + 1), should, is));
    }
    (should != is)
        .then(|| Difference::new("describe, after the common lines", format!("{should:?}"), format!("{is:?}")))
}
