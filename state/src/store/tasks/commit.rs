//! The end of a transaction: the uncommitted layer becomes committed, or is forgotten.

use super::super::StoreId;
use super::super::meta::{self, engine_error};
use super::super::segments::Segments;
use super::{Body, Store, TaskStores};
use crate::commit::{ChangelogMark, Committed};
use crate::engine::{Change, FamilyId};
use crate::error::StateError;
use crate::uncommitted::Uncommitted;

/// A note for the meta family of an engine.
pub(super) struct Note {
    engine: usize,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Store {
    /// What this store has written, family by family; expired segments are left out.
    fn written(&self) -> impl Iterator<Item = (FamilyId, &Uncommitted)> {
        let (single, segments) = match &self.body {
            Body::KeyValue { family, layer } => (Some((*family, layer)), None),
            Body::Window(segments) => (None, Some(segments)),
            Body::Buffer(_) => (None, None),
        };
        let segments = segments.into_iter().flat_map(|segments| {
            let kept = segments.layers.range(segments.oldest_held()..);
            kept.filter_map(|(id, layer)| Some((*segments.committed.get(id)?, layer)))
        });
        single.into_iter().chain(segments)
    }

    fn clear(&mut self) {
        match &mut self.body {
            Body::KeyValue { layer, .. } => layer.clear(),
            Body::Window(segments) => segments.clear_layers(),
            Body::Buffer(_) => {}
        }
    }
}

impl TaskStores {
    /// Writes the uncommitted layer and the marks in one atomic write per engine, then drops expired segments.
    ///
    /// # Errors
    /// If an engine cannot write; the stores then refuse everything until they are opened again.
    pub fn apply(&mut self, _proof: &Committed, marks: &[(StoreId, ChangelogMark)]) -> Result<(), StateError> {
        self.usable()?;
        // Until all is written nobody may look: a store that is half a transaction ahead is worse than none.
        self.failed = true;
        self.open_segments()?;
        let notes = self.notes(marks);
        for engine in 0..self.databases.len() {
            self.write_database(engine, &notes)?;
        }
        self.failed = false;
        for (id, mark) in marks {
            if let Some(store) = self.stores.get_mut(id.0 as usize) {
                store.mark = Some(*mark);
            }
        }
        for store in &mut self.stores {
            store.clear();
            match &mut store.body {
                Body::Window(segments) => {
                    segments.committed_times = segments.times;
                    segments.committed_hold = segments.hold;
                }
                Body::Buffer(buffer) => buffer.settle(),
                Body::KeyValue { .. } => {}
            }
        }
        self.uncommitted = 0;
        self.drop_expired();
        Ok(())
    }

    /// Forgets the uncommitted layer.
    pub fn rollback(&mut self) {
        for store in &mut self.stores {
            store.clear();
            match &mut store.body {
                Body::Window(segments) => {
                    segments.times = segments.committed_times;
                    segments.hold = segments.committed_hold;
                }
                Body::Buffer(buffer) => buffer.rollback(),
                Body::KeyValue { .. } => {}
            }
        }
        self.uncommitted = 0;
    }

    /// Makes a family for each segment that is written for the first time.
    pub(super) fn open_segments(&mut self) -> Result<(), StateError> {
        for store in &mut self.stores {
            let Body::Window(segments) = &mut store.body else { continue };
            for (&id, layer) in segments.layers.range(segments.oldest_held()..) {
                if layer.is_empty() || segments.committed.contains_key(&id) {
                    continue;
                }
                let name = Segments::family_name(&store.name, id);
                let family = self.databases[store.engine]
                    .engine
                    .open_family(&name)
                    .map_err(|source| engine_error(&store.name, source))?;
                segments.committed.insert(id, family);
            }
        }
        Ok(())
    }

    pub(super) fn notes(&self, marks: &[(StoreId, ChangelogMark)]) -> Vec<Note> {
        let marks = marks.iter().filter_map(|(id, mark)| {
            let store = self.stores.get(id.0 as usize)?;
            let value = meta::encode_mark(mark).to_vec();
            Some(Note { engine: store.engine, key: meta::mark_key(&store.name), value })
        });
        let times = self.stores.iter().filter_map(|store| match &store.body {
            Body::Window(segments) if segments.times != segments.committed_times => {
                let value = meta::encode_times(segments.times).to_vec();
                Some(Note { engine: store.engine, key: meta::times_key(&store.name), value })
            }
            _ => None,
        });
        marks.chain(times).collect()
    }

    pub(super) fn write_database(&mut self, engine: usize, notes: &[Note]) -> Result<(), StateError> {
        let database = &mut self.databases[engine];
        let meta = database.meta;
        let data = self.stores.iter().filter(|store| store.engine == engine).flat_map(Store::written);
        let data = data.flat_map(|(family, layer)| changes(family, layer));
        let notes = notes.iter().filter(|note| note.engine == engine);
        let mut all = data.chain(notes.map(|note| Change::Put(meta, &note.key, &note.value))).peekable();
        if all.peek().is_none() {
            return Ok(());
        }
        database.engine.write(&mut all).map_err(|source| engine_error("(all of a task)", source))
    }

    /// Drops the segments that nothing can read any more. What fails is tried again after the next commit: the data
    /// are invisible either way.
    pub(super) fn drop_expired(&mut self) {
        for store in &mut self.stores {
            let Body::Window(segments) = &mut store.body else { continue };
            let oldest = segments.oldest_held();
            segments.layers = segments.layers.split_off(&oldest);
            while let Some((&id, &family)) = segments.committed.first_key_value() {
                if id >= oldest {
                    break;
                }
                if let Err(error) = self.databases[store.engine].engine.drop_family(family) {
                    tracing::warn!(store = %store.name, segment = id, %error, "could not drop an expired segment");
                    break;
                }
                segments.committed.remove(&id);
            }
        }
    }
}

/// A layer as the changes of a batch.
pub(super) fn changes(family: FamilyId, layer: &Uncommitted) -> impl Iterator<Item = Change<'_>> {
    layer.changes().map(move |(key, value)| match value {
        Some(value) => Change::Put(family, key, value),
        None => Change::Delete(family, key),
    })
}
