//! Rebuilding a store from its changelog: committed records go straight to the engine.

use std::collections::BTreeMap;

use super::super::StoreId;
use super::super::meta::{self, Times, engine_error};
use super::super::segments::Segments;
use super::commit::changes;
use super::open::{forget, open_body};
use super::rebuild::{Run, rebuild};
use super::{Body, Database, MEMORY, Store, TaskStores};
use crate::changelog::{push_headers, push_timestamped};
use crate::commit::ChangelogMark;
use crate::engine::{Change, Engine, FamilyId};
use crate::error::StateError;
use crate::key_order::split_window_key;
use crate::model::RawRecord;
use crate::uncommitted::Uncommitted;

/// So few records are written as a commit's are.
const FEW: usize = 1_000;

impl TaskStores {
    /// Drops a store's content and its mark: it is to be rebuilt.
    ///
    /// # Errors
    /// If the engine cannot write; the stores then refuse everything until they are opened again.
    pub fn reset(&mut self, store: StoreId) -> Result<(), StateError> {
        self.store(store)?;
        let spec = &self.specs[store.0 as usize];
        let store = &mut self.stores[store.0 as usize];
        let database = &mut self.databases[store.engine];
        self.failed = true;
        forget(spec, database)?;
        let held = match &store.body {
            Body::KeyValue { layer, .. } => layer.bytes(),
            Body::Window(segments) => segments.layers.values().map(Uncommitted::bytes).sum(),
            Body::Buffer(_) => 0,
        };
        store.body = open_body(spec, database, Times::NONE)?;
        store.mark = None;
        store.rebuilt = matches!(store.body, Body::KeyValue { .. }).then(Run::default);
        self.uncommitted = self.uncommitted.saturating_sub(held);
        self.failed = false;
        Ok(())
    }

    /// Writes committed changelog records straight to the engine, in one atomic write with the mark, in the order of
    /// keys and each key once. Records of expired segments are dropped. Answers how many records there were.
    ///
    /// After [`TaskStores::reset`] the records of a key-value store are written faster, and their mark later: now and then,
    /// and with a call without records, which ends the rebuilding.
    ///
    /// # Errors
    /// If the engine cannot write; nothing is changed then.
    pub fn restore(
        &mut self,
        store: StoreId,
        records: &mut dyn Iterator<Item = RawRecord<'_>>,
        mark: ChangelogMark,
    ) -> Result<usize, StateError> {
        self.store(store)?;
        if self.is_versioned(store) {
            return self.restore_versions(store, records, mark);
        }
        let rebuilt = self.stores.iter().filter(|store| store.rebuilt.is_some()).count();
        let store = &mut self.stores[store.0 as usize];
        let database = &mut self.databases[store.engine];
        if let Body::Buffer(buffer) = &mut store.body {
            let count = buffer.restore(&store.name, records)?;
            write_mark(store, database, mark)?;
            return Ok(count);
        }
        if let Some(mut run) = store.rebuilt.take() {
            run.enough = database.engine.fill_size() / rebuilt.max(1);
            return rebuild(store, database, run, records, mark);
        }
        let (mut batch, count) = collect(store, records);
        let times = batch.expire(store);
        let families = batch.families(store, &mut *database.engine)?;
        let mark_key = meta::mark_key(&store.name);
        let mark_value = meta::encode_mark(&mark);
        let times_key = meta::times_key(&store.name);
        let times_value = times.map(meta::encode_times);
        let notes = std::iter::once(Change::Put(database.meta, &mark_key, &mark_value))
            .chain(times_value.iter().map(|value| Change::Put(database.meta, &times_key, value)));
        let data = families.iter().flat_map(|(family, layer)| changes(*family, layer));
        let mut changes = data.chain(notes);
        // The tail of a store that is there is short, or just a mark: to hand over the journals for it would take longer.
        let tail = count < FEW || matches!(store.body, Body::KeyValue { .. });
        let written = if tail { database.engine.write(&mut changes) } else { database.engine.load(&mut changes) };
        written.map_err(|source| store.error(source))?;
        store.mark = Some(mark);
        if let (Body::Window(segments), Some(times)) = (&mut store.body, times) {
            segments.committed_times = times;
            segments.times.observed = segments.times.observed.max(times.observed);
            segments.times.sequence = segments.times.sequence.max(times.sequence);
        }
        self.drop_expired();
        Ok(count)
    }
}

impl TaskStores {
    /// As [`TaskStores::restore`] of a versioned store: each record finds its place among the versions there are.
    fn restore_versions(
        &mut self,
        id: StoreId,
        records: &mut dyn Iterator<Item = RawRecord<'_>>,
        mark: ChangelogMark,
    ) -> Result<usize, StateError> {
        let mut count = 0;
        for record in records {
            count += 1;
            if let Some(key) = record.key {
                self.versioned_put(id, key, record.value, record.timestamp)?;
            }
        }
        self.failed = true;
        self.open_segments()?;
        let notes = self.notes(&[(id, mark)]);
        let engine = self.stores[id.0 as usize].engine;
        self.write_database(engine, &notes)?;
        self.failed = false;
        let store = &mut self.stores[id.0 as usize];
        store.mark = Some(mark);
        let mut held = 0;
        if let Body::Window(segments) = &mut store.body {
            held = segments.layers.values().map(Uncommitted::bytes).sum();
            segments.committed_times = segments.times;
            segments.clear_layers();
        }
        self.uncommitted = self.uncommitted.saturating_sub(held);
        self.drop_expired();
        Ok(count)
    }
}

pub(super) fn write_mark(store: &mut Store, database: &mut Database, mark: ChangelogMark) -> Result<(), StateError> {
    let (key, value) = (meta::mark_key(&store.name), meta::encode_mark(&mark));
    let note = Change::Put(database.meta, &key, &value);
    database.engine.write(&mut std::iter::once(note)).map_err(|source| store.error(source))?;
    store.mark = Some(mark);
    Ok(())
}

/// The records of one call, last value per key, by segment (a key-value store has only segment 0).
#[derive(Default)]
struct Batch {
    layers: BTreeMap<i64, Uncommitted>,
    observed: i64,
    sequence: u32,
}

/// A record's value as the store keeps it, in `value` if it has to be put together.
pub(super) fn stored<'v>(store: &Store, record: &RawRecord<'v>, value: &'v mut Vec<u8>) -> Option<&'v [u8]> {
    let bytes = record.value?;
    if !store.timestamped {
        return Some(bytes);
    }
    value.clear();
    if store.headers {
        push_headers(value, record.headers);
    }
    push_timestamped(value, record.timestamp, bytes);
    Some(value)
}

fn collect(store: &Store, records: &mut dyn Iterator<Item = RawRecord<'_>>) -> (Batch, usize) {
    let mut batch = Batch { observed: i64::MIN, ..Batch::default() };
    let mut value = Vec::new();
    let mut count = 0;
    for record in records {
        count += 1;
        // A source topic that serves as changelog may hold records without a key: the table skips them, so do we.
        let Some(key) = record.key else { continue };
        let stored = stored(store, &record, &mut value);
        let Body::Window(segments) = &store.body else {
            batch.layers.entry(0).or_default().put(key, stored);
            continue;
        };
        let Some(time) = segments.shape.time(key) else {
            tracing::warn!(store = %store.name, offset = %record.offset,
                "skipped a changelog record whose key is too short for a store of windows or sessions");
            continue;
        };
        if segments.shape.retain_duplicates {
            batch.sequence = batch.sequence.max(split_window_key(key).map_or(0, |parts| parts.sequence));
            if record.value.is_none() {
                // It deletes nothing: it was logged by a put that changed nothing but the time, which only a store in memory
                // sees.
                if store.engine == MEMORY {
                    batch.observed = batch.observed.max(time);
                }
                continue;
            }
        }
        batch.observed = batch.observed.max(time);
        segments.shape.write(batch.layers.entry(segments.segment(time)).or_default(), key, stored);
    }
    (batch, count)
}

impl Batch {
    /// Drops what has expired by the end of the batch, and answers the store's new times.
    fn expire(&mut self, store: &Store) -> Option<Times> {
        let Body::Window(segments) = &store.body else { return None };
        let before = segments.committed_times;
        let times =
            Times { observed: before.observed.max(self.observed), sequence: before.sequence.max(self.sequence) };
        let expired = times.observed.saturating_sub(segments.shape.retention);
        let oldest = segments.segment(expired.min(segments.hold));
        self.layers = self.layers.split_off(&oldest);
        Some(times)
    }

    fn families(self, store: &mut Store, engine: &mut dyn Engine) -> Result<Vec<(FamilyId, Uncommitted)>, StateError> {
        let mut families = Vec::with_capacity(self.layers.len());
        for (id, layer) in self.layers {
            let family = match &mut store.body {
                Body::KeyValue { family, .. } => *family,
                // Restored before it comes to this.
                Body::Buffer(_) => continue,
                Body::Window(segments) => match segments.committed.get(&id) {
                    Some(family) => *family,
                    None => {
                        let name = Segments::family_name(&store.name, id);
                        let family = engine.open_family(&name).map_err(|source| engine_error(&store.name, source))?;
                        segments.committed.insert(id, family);
                        family
                    }
                },
            };
            families.push((family, layer));
        }
        Ok(families)
    }
}
