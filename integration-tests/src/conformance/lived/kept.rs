//! What an application leaves on its disk, and what its changelogs say of the stores that it keeps in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use anyhow::{Context, Result};
use bytes::Bytes;
use millstream::operators::topology::Topology;
use millstream::state::commit::ChangelogMark;
use millstream::state::engine::Storage;
use millstream::state::model::{Headers, Offset, Position, RawRecord, Timestamp, TopicId};
use millstream::state::store::{Changelog, Persistence, StoreId, StoreKind, StoreSpec, TaskStores};
use millstream::task::TaskId;

use super::super::compare::{Difference, Written};
use super::super::stores::Dump;
use super::super::typed::hex;

/// What a store holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Content {
    entries: Dump,
    /// Of a buffer: records, bytes, smallest time.
    waiting: Option<(usize, usize, Option<Timestamp>)>,
}

impl Content {
    fn empty() -> Self {
        Self { entries: Dump::new(), waiting: None }
    }
}

/// All stores, by name and task.
pub(super) type Kept = BTreeMap<(String, String), Content>;

/// The records of a store's changelog, in one partition.
pub(super) type Logged<'a> = &'a dyn Fn(&str, i32) -> Vec<Written>;

/// The name under which global stores are kept.
const GLOBAL: &str = "global";

/// Reads all stores of an application that has stopped.
pub(super) fn stores(topology: &Topology, storage: &dyn Storage, logged: Logged<'_>) -> Result<Kept> {
    let mut kept = Kept::new();
    for name in storage.tasks()? {
        let (part, partition) = match TaskId::from_str(&name) {
            Ok(id) => (topology.sub_topologies().iter().find(|part| part.spec().id == id.sub_topology), id.partition),
            Err(_) if name == GLOBAL => (topology.global(), 0),
            Err(_) => (None, 0),
        };
        let Some(specs) = part.map(|part| &part.spec().stores).filter(|specs| !specs.is_empty()) else { continue };
        let engine = storage.open(&name).with_context(|| format!("opening the stores of {name}"))?;
        let mut stores = TaskStores::open(specs, engine)?;
        for (index, spec) in specs.iter().enumerate() {
            let id = StoreId(index as u32);
            if spec.persistence == Persistence::InMemory {
                let Changelog::Topic(_) = spec.changelog else { continue };
                restore(&mut stores, id, &logged(&spec.name, partition))?;
            }
            kept.insert((spec.name.to_string(), name.clone()), content(&mut stores, id, spec)?);
        }
    }
    Ok(kept)
}

fn restore(stores: &mut TaskStores, store: StoreId, records: &[Written]) -> Result<()> {
    let headers: Vec<Headers> = records.iter().map(headers).collect();
    let mut raw = records.iter().zip(&headers).enumerate().map(|(index, (record, headers))| RawRecord {
        offset: Offset::new(index as i64),
        timestamp: Timestamp::from_millis(record.timestamp.unwrap_or(-1)),
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers,
    });
    let position = Position::new(records.len() as i64);
    let mark = ChangelogMark { topic: TopicId(1), position, applied_at: Timestamp::from_millis(0) };
    stores.restore(store, &mut raw, mark)?;
    Ok(())
}

fn headers(record: &Written) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in &record.headers {
        headers.add(name.as_str(), value.as_deref().map(Bytes::copy_from_slice));
    }
    headers
}

fn content(stores: &mut TaskStores, id: StoreId, spec: &StoreSpec) -> Result<Content> {
    if spec.kind == StoreKind::TimeOrderedBuffer {
        let waiting = (stores.buffer_len(id)?, stores.buffer_bytes(id)?, stores.buffer_first_time(id)?);
        return Ok(Content { entries: Dump::new(), waiting: Some(waiting) });
    }
    let entries = stores.all(id)?.map(|entry| entry.map(|(key, value)| (key.into_vec(), value.into_vec())));
    let mut entries = entries.collect::<Result<Dump, _>>()?;
    entries.sort();
    Ok(Content { entries, waiting: None })
}

/// The first difference between two applications' stores, all tasks of a store together.
pub(super) fn differ_together(should: &Kept, is: &Kept) -> Option<Difference> {
    let together = |kept: &Kept| {
        let mut all = Kept::new();
        for ((store, _), content) in kept {
            let to = all.entry((store.clone(), "all".to_owned())).or_insert_with(Content::empty);
            to.entries.extend(content.entries.iter().cloned());
            to.entries.sort();
        }
        all
    };
    differ(&together(should), &together(is))
}

/// The first difference between two applications' stores. A store that one of them never opened is an empty one.
pub(super) fn differ(should: &Kept, is: &Kept) -> Option<Difference> {
    let none = Content::empty();
    let names: BTreeSet<_> = should.keys().chain(is.keys()).collect();
    for place in names {
        let (should, is) = (should.get(place).unwrap_or(&none), is.get(place).unwrap_or(&none));
        let place = format!("store {} of task {}", place.0, place.1);
        if should.waiting != is.waiting {
            return Some(Difference::new(place, format!("{:?}", should.waiting), format!("{:?}", is.waiting)));
        }
        let (should, is) = (&should.entries, &is.entries);
        if let Some(index) = (0..should.len().max(is.len())).find(|index| should.get(*index) != is.get(*index)) {
            let show = |entry: Option<&(Vec<u8>, Vec<u8>)>| {
                entry.map_or_else(|| "no entry".to_owned(), |(key, value)| format!("{} = {}", hex(key), hex(value)))
            };
            let place = format!("{place}, entry {index}");
            return Some(Difference::new(place, show(should.get(index)), show(is.get(index))));
        }
    }
    None
}
