//! Compares the stores that a stopped application left on disk with their changelogs.
//!
//! ```text
//!   state folders ──▶ per store partition: the one with the highest position, its last owner ──┐
//!   changelogs ─────▶ last committed value of each key ────────────────────────────────────────┴──▶ equal?
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use millstream::broker::Broker;
use millstream::operators::topology::{SubTopologySpec, Topology};
use millstream::state::engine::{RocksSettings, RocksStorage, Storage};
use millstream::state::model::Position;
use millstream::state::store::{Changelog, StoreId, StoreSpec, TaskStores};
use serde::Serialize;

use crate::outputs;

/// Key to value, both as bytes; the value with its timestamp in front where the store keeps one.
type Content = BTreeMap<Vec<u8>, Vec<u8>>;

/// What the comparison found.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many store partitions were compared.
    pub stores: usize,
    /// How many keys they hold.
    pub keys: usize,
    /// What differs, one line per store partition.
    pub differences: Vec<String>,
}

/// A store of one partition on disk.
struct Found {
    position: Position,
    content: Content,
}

/// Compares all stores of an application with their changelogs. The instances whose folders these are must be stopped.
///
/// # Errors
/// If a store or a changelog cannot be read.
pub async fn check(
    broker: &dyn Broker,
    topology: &Topology,
    application: &str,
    state_dirs: &[PathBuf],
) -> anyhow::Result<Report> {
    let mut report = Report::default();
    for sub_topology in topology.sub_topologies() {
        let spec = sub_topology.spec();
        let mut found = BTreeMap::new();
        for folder in state_dirs {
            let folder = folder.join(application).join("tasks");
            if folder.is_dir() {
                gather(&folder, spec, &mut found).with_context(|| format!("stores in {}", folder.display()))?;
            }
        }
        for store in spec.stores.iter().filter(|store| matches!(store.changelog, Changelog::Topic(_))) {
            let topic: Arc<str> = format!("{application}-{}-changelog", store.name).into();
            let changelog = changelog(broker, &topic, has_timestamps(store)).await?;
            compare(store, &found, &changelog, &mut report);
        }
    }
    Ok(report)
}

/// Reads the stores of one sub-topology in one folder; of two on the same partition the one further along is kept.
fn gather(
    folder: &std::path::Path,
    spec: &SubTopologySpec,
    found: &mut BTreeMap<(Arc<str>, i32), Found>,
) -> anyhow::Result<()> {
    let storage = RocksStorage::new(folder, &RocksSettings::default());
    for task in storage.tasks()? {
        let Some(partition) = task.strip_prefix(&format!("{}_", spec.id)) else { continue };
        let partition: i32 = partition.parse().with_context(|| format!("task {task}"))?;
        let mut stores = TaskStores::open(&spec.stores, storage.open(&task)?)?;
        for (index, store) in spec.stores.iter().enumerate() {
            let id = StoreId(u32::try_from(index)?);
            let Some(mark) = stores.mark(id) else { continue };
            let known = found.get(&(store.name.clone(), partition));
            if known.is_none_or(|known| known.position < mark.position) {
                let content = content(&mut stores, id)?;
                found.insert((store.name.clone(), partition), Found { position: mark.position, content });
            }
        }
    }
    Ok(())
}

fn content(stores: &mut TaskStores, id: StoreId) -> anyhow::Result<Content> {
    stores
        .all(id)?
        .map(|entry| entry.map(|(key, value)| (key.into_vec(), value.into_vec())))
        .collect::<Result<_, _>>()
        .map_err(Into::into)
}

fn has_timestamps(store: &StoreSpec) -> bool {
    store.kind.is_timestamped()
}

/// What each partition of a changelog says its store holds. A changelog has plain values; the record's own timestamp is
/// the one that the store keeps.
async fn changelog(broker: &dyn Broker, topic: &Arc<str>, timestamps: bool) -> anyhow::Result<BTreeMap<i32, Content>> {
    let mut contents: BTreeMap<i32, Content> = BTreeMap::new();
    outputs::read(broker, topic, |partition, record| {
        let content = contents.entry(partition).or_default();
        let key = record.key.unwrap_or_default().to_vec();
        match record.value {
            Some(value) => {
                let mut stored = Vec::new();
                if timestamps {
                    stored.extend_from_slice(&record.timestamp.millis().to_be_bytes());
                }
                stored.extend_from_slice(value);
                content.insert(key, stored);
            }
            None => {
                content.remove(&key);
            }
        }
    })
    .await?;
    Ok(contents)
}

fn compare(
    store: &StoreSpec,
    found: &BTreeMap<(Arc<str>, i32), Found>,
    changelog: &BTreeMap<i32, Content>,
    report: &mut Report,
) {
    let nothing = Content::new();
    let on_disk = found.keys().filter(|(name, _)| *name == store.name).map(|&(_, partition)| partition);
    for partition in on_disk.chain(changelog.keys().copied()).collect::<BTreeSet<_>>() {
        let expected = changelog.get(&partition).unwrap_or(&nothing);
        let held = found.get(&(store.name.clone(), partition)).map_or(&nothing, |found| &found.content);
        report.stores += 1;
        report.keys += held.len();
        if held != expected {
            let keys: BTreeSet<_> = held.keys().chain(expected.keys()).collect();
            let differ: Vec<_> = keys.into_iter().filter(|&key| held.get(key) != expected.get(key)).collect();
            let first = differ.first().map(|key| String::from_utf8_lossy(key)).unwrap_or_default();
            report.differences.push(format!(
                "store {} of partition {partition}: {} of {} keys differ from the changelog, first {first:?}",
                store.name,
                differ.len(),
                expected.len(),
            ));
        }
    }
}
