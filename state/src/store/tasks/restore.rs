//! Rebuilding a store from its changelog: committed records go straight to the engine.

use std::collections::BTreeMap;

use super::super::StoreId;
use super::super::meta::{self, Times, engine_error};
use super::super::segments::Segments;
use super::commit::changes;
use super::open::{forget, open_body};
use super::{Body, Store, TaskStores};
use crate::changelog::push_timestamped;
use crate::commit::ChangelogMark;
use crate::engine::{Change, Engine, FamilyId};
use crate::error::StateError;
use crate::key_order::split_window_key;
use crate::model::RawRecord;
use crate::uncommitted::Uncommitted;

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
        };
        store.body = open_body(spec, database, Times::NONE)?;
        store.mark = None;
        self.uncommitted = self.uncommitted.saturating_sub(held);
        self.failed = false;
        Ok(())
    }

    /// Writes committed changelog records straight to the engine, in one atomic write with the mark, in the order of
    /// keys and each key once. Records of expired segments are dropped. Answers how many records there were.
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
        let store = &mut self.stores[store.0 as usize];
        let database = &mut self.databases[store.engine];
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
        database.engine.write(&mut data.chain(notes)).map_err(|source| store.error(source))?;
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

/// The records of one call, last value per key, by segment (a key-value store has only segment 0).
#[derive(Default)]
struct Batch {
    layers: BTreeMap<i64, Uncommitted>,
    observed: i64,
    sequence: u32,
}

fn collect(store: &Store, records: &mut dyn Iterator<Item = RawRecord<'_>>) -> (Batch, usize) {
    let mut batch = Batch { observed: i64::MIN, ..Batch::default() };
    let mut value = Vec::new();
    let mut count = 0;
    for record in records {
        count += 1;
        // A source topic that serves as changelog may hold records without a key: the table skips them, so do we.
        let Some(key) = record.key else { continue };
        let segment = match &store.body {
            Body::KeyValue { .. } => 0,
            Body::Window(segments) => {
                let Some(parts) = split_window_key(key) else {
                    tracing::warn!(store = %store.name, offset = %record.offset,
                        "skipped a changelog record whose key is too short for a window store");
                    continue;
                };
                batch.observed = batch.observed.max(parts.start.millis());
                batch.sequence = batch.sequence.max(parts.sequence);
                segments.segment(parts.start.millis())
            }
        };
        let layer = batch.layers.entry(segment).or_default();
        match record.value {
            Some(bytes) if store.timestamped => {
                value.clear();
                push_timestamped(&mut value, record.timestamp, bytes);
                layer.put(key, Some(&value));
            }
            bytes => layer.put(key, bytes),
        }
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
        let oldest = segments.segment(times.observed.saturating_sub(segments.shape.retention));
        self.layers = self.layers.split_off(&oldest);
        Some(times)
    }

    fn families(self, store: &mut Store, engine: &mut dyn Engine) -> Result<Vec<(FamilyId, Uncommitted)>, StateError> {
        let mut families = Vec::with_capacity(self.layers.len());
        for (id, layer) in self.layers {
            let family = match &mut store.body {
                Body::KeyValue { family, .. } => *family,
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
            families.push((family, layer.into_sorted()));
        }
        Ok(families)
    }
}
