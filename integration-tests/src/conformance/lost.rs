//! The one kind of difference that is meant: windows that the reference loses.
//!
//! With emission on window close and without a record cache, Kafka Streams never emits a window whose retention has
//! passed before it could be. Millstream emits it. Such a record is recognised by what the reference itself says of it:
//! its changelog has the window with this very value, the window had expired there at that step, and its output never
//! has it. Everything else must be equal.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow};
use millstream::operators::topology::Topology;
use millstream::state::key_order::{split_session_key, split_window_key};
use millstream::state::store::{Changelog, SegmentOrder, StoreKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::compare::{Played, SinkTypes, Written};
use super::typed::{Type, hex, unhex};
use super::vector::Run;

/// A record of a window that the reference lost.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Lost {
    /// The sink topic.
    pub(crate) topic: String,
    /// The step after which it came.
    pub(crate) step: usize,
    /// Key, value and timestamp.
    pub(crate) record: Value,
}

/// The lost windows of one run of one file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct LostInRun {
    /// The file's name, without its extension.
    pub(crate) file: String,
    /// The run's name or seed.
    pub(crate) run: String,
    /// The records.
    pub(crate) records: Vec<Lost>,
}

/// A store whose windows go down when they close, with its changelog.
struct ClosingStore {
    changelog: String,
    retention: i64,
    sessions: bool,
}

fn closing_stores(application_id: &str, topology: &Topology) -> Vec<ClosingStore> {
    let specs = topology.sub_topologies().iter().flat_map(|part| &part.spec().stores);
    let closing = specs.filter_map(|spec| {
        let (retention, order, sessions) = match spec.kind {
            StoreKind::Window(shape) | StoreKind::TimestampedWindow(shape) => (shape.retention, shape.order, false),
            StoreKind::Session(shape) => (shape.retention, shape.order, true),
            _ => return None,
        };
        let logged = matches!(spec.changelog, Changelog::Topic(_));
        let changelog = format!("{application_id}-{}-changelog", spec.name);
        (logged && order != SegmentOrder::ByKey).then_some(ClosingStore { changelog, retention, sessions })
    });
    closing.collect()
}

/// Takes the windows that the reference lost out of what was played; `None` if there are none.
pub(crate) fn without(
    run: &Run,
    sinks: &SinkTypes,
    (application_id, topology): (&str, &Topology),
    played: &Played,
) -> Result<Option<(Played, Vec<Lost>)>> {
    let stores = closing_stores(application_id, topology);
    let mut rest = Played { written: played.written.clone(), after: played.after.clone(), error: played.error.clone() };
    let mut lost = Vec::new();
    for (topic, (key, value)) in sinks {
        let windowed = matches!(key, Type::TimeWindowed(_) | Type::SessionWindowed);
        let Some(records) = played.written.get(topic).filter(|_| windowed && !stores.is_empty()) else { continue };
        let emitted: BTreeSet<&str> =
            run.outputs.get(topic).into_iter().flatten().filter_map(|output| output.key_hex.as_deref()).collect();
        let mut kept = Vec::new();
        for (index, record) in records.iter().enumerate() {
            let step = step_of(played, topic, index);
            let known = record.key.as_deref().is_some_and(|key| emitted.contains(hex(key).as_str()));
            if known || !was_lost(run, &stores, record, step)? {
                kept.push(record.clone());
                continue;
            }
            rest.after.iter_mut().skip(step).for_each(|after| *after.entry(topic.clone()).or_default() -= 1);
            let (key, value) = (key.decode(record.key.as_deref()), value.decode(record.value.as_deref()));
            let record = json!({ "key": key, "value": value, "timestamp": record.timestamp });
            lost.push(Lost { topic: topic.clone(), step, record });
        }
        rest.written.insert(topic.clone(), kept);
    }
    Ok((!lost.is_empty()).then_some((rest, lost)))
}

/// The step in which a record was written.
fn step_of(played: &Played, topic: &str, index: usize) -> usize {
    let written_by = |after: &std::collections::BTreeMap<String, usize>| after.get(topic).copied().unwrap_or(0) > index;
    played.after.iter().position(written_by).unwrap_or(played.after.len())
}

/// Whether the reference had the window of this record, with its value, and let it expire.
fn was_lost(run: &Run, stores: &[ClosingStore], record: &Written, step: usize) -> Result<bool> {
    let (Some(key), Some(value)) = (&record.key, &record.value) else { return Ok(false) };
    for store in stores {
        let logged = run.internal.get(&store.changelog).map(Vec::as_slice).unwrap_or_default();
        let until = run.internal_after.get(&store.changelog).and_then(|after| after.get(step)).copied();
        let (mut observed, mut found) = (i64::MIN, None);
        for entry in &logged[..until.unwrap_or(logged.len()).min(logged.len())] {
            let bytes = unhex(entry.key_hex.as_deref().unwrap_or_default())?;
            let (time, shown) =
                shown(store, &bytes).ok_or_else(|| anyhow!("a key of {} is too short", store.changelog))?;
            observed = observed.max(time);
            if shown == *key {
                found = Some((time, entry));
            }
        }
        if let Some((time, entry)) = found {
            let timestamp = if store.sessions { Some(time) } else { entry.timestamp };
            let same = entry.value_hex.as_deref() == Some(hex(value).as_str()) && timestamp == record.timestamp;
            return Ok(same && time <= observed.saturating_sub(store.retention));
        }
    }
    Ok(false)
}

/// The time by which a changelog's key is kept, and the key as the output has it.
fn shown(store: &ClosingStore, bytes: &[u8]) -> Option<(i64, Vec<u8>)> {
    if store.sessions {
        return Some((split_session_key(bytes)?.1.end.millis(), bytes.to_vec()));
    }
    Some((split_window_key(bytes)?.start.millis(), bytes[..bytes.len() - 4].to_vec()))
}

/// The lost windows that are known: they must be exactly these.
pub(crate) fn listed(folder: &std::path::Path) -> Result<Option<Vec<LostInRun>>> {
    let file = folder.join(LIST);
    if !file.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    Ok(Some(serde_json::from_str(&text).with_context(|| format!("{} is no list of differences", file.display()))?))
}

/// The file with the list, among the vectors.
pub(crate) const LIST: &str = "differences.json";
