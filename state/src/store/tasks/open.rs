//! Opening the stores of a task: families, marks and what the data were written with.

use std::collections::BTreeSet;

use super::super::meta::{self, Times, engine_error};
use super::super::segments::{SegmentShape, Segments};
use super::super::time_buffer::TimeBuffer;
use super::super::{Changelog, Persistence, StoreKind, StoreSpec};
use super::{Body, DURABLE, Database, MEMORY, Store, TaskStores};
use crate::engine::{Change, Engine, META_FAMILY};
use crate::error::StateError;
use crate::uncommitted::Uncommitted;

const ALL: &str = "(all of a task)";

pub(super) fn open(specs: &[StoreSpec], engines: [Box<dyn Engine>; 2]) -> Result<TaskStores, StateError> {
    refuse_collisions(specs)?;
    let [durable, memory] = engines;
    let mut databases = [open_database(durable)?, open_database(memory)?];
    let mut stores = Vec::with_capacity(specs.len());
    for spec in specs {
        let engine = if spec.persistence == Persistence::Durable { DURABLE } else { MEMORY };
        stores.push(open_store(spec, engine, &mut databases[engine])?);
    }
    Ok(TaskStores { specs: specs.to_vec(), stores, databases, uncommitted: 0, failed: false })
}

/// A key-value store `a.1` and segment 1 of a window store `a` would share a family.
fn refuse_collisions(specs: &[StoreSpec]) -> Result<(), StateError> {
    let mut names = BTreeSet::new();
    for spec in specs {
        let refuse = |reason: String| Err(StateError::Format { store: spec.name.to_string(), reason });
        if !names.insert(&*spec.name) {
            return refuse("another store has the same name".into());
        }
        let is_window = |other: &&StoreSpec| SegmentShape::of(other.kind).is_some();
        if let Some(other) =
            specs.iter().filter(is_window).find(|other| Segments::parse_family(&other.name, &spec.name).is_some())
        {
            return refuse(format!("its name is that of a segment of window store {}; rename one", other.name));
        }
    }
    Ok(())
}

fn open_database(mut engine: Box<dyn Engine>) -> Result<Database, StateError> {
    let meta = engine.open_family(META_FAMILY).map_err(|source| engine_error(ALL, source))?;
    let mut format = Vec::new();
    let known = engine.get(meta, meta::FORMAT_KEY, &mut format).map_err(|source| engine_error(ALL, source))?;
    if known && format != meta::FORMAT {
        return Err(StateError::Format {
            store: ALL.into(),
            reason: format!(
                "its state has format {format:?}, this version reads {:?}; remove its directory to rebuild it",
                meta::FORMAT
            ),
        });
    }
    if !known {
        let mut changes = std::iter::once(Change::Put(meta, meta::FORMAT_KEY, &meta::FORMAT));
        engine.write(&mut changes).map_err(|source| engine_error(ALL, source))?;
    }
    Ok(Database { engine, meta })
}

fn open_store(spec: &StoreSpec, engine: usize, database: &mut Database) -> Result<Store, StateError> {
    let mut remembered = meta::read(&*database.engine, database.meta, spec)?;
    let shape = meta::encode_shape(spec);
    if remembered.shape.as_ref() != Some(&shape) {
        if remembered.shape.is_some() {
            if spec.changelog == Changelog::Off {
                return Err(StateError::Format {
                    store: spec.name.to_string(),
                    reason: "it was written as a store of another kind or segment interval and has no changelog to \
                             rebuild it from; give it another name"
                        .into(),
                });
            }
            tracing::warn!(store = %spec.name, "the kind of this store has changed: it will be rebuilt");
            forget(spec, database)?;
            remembered.mark = None;
            remembered.times = Times::NONE;
        }
        let key = meta::shape_key(&spec.name);
        let mut changes = std::iter::once(Change::Put(database.meta, &key, &shape));
        database.engine.write(&mut changes).map_err(|source| engine_error(&spec.name, source))?;
    }
    let body = open_body(spec, database, remembered.times)?;
    let timestamped = spec.kind.is_timestamped();
    let headers = spec.has_headers();
    Ok(Store { name: spec.name.clone(), engine, timestamped, headers, mark: remembered.mark, rebuilt: None, body })
}

/// Opens the families of a store, which may be new.
pub(super) fn open_body(spec: &StoreSpec, database: &mut Database, times: Times) -> Result<Body, StateError> {
    let failed = |source| engine_error(&spec.name, source);
    if spec.kind == StoreKind::TimeOrderedBuffer {
        return Ok(Body::Buffer(TimeBuffer::default()));
    }
    let Some(shape) = SegmentShape::of(spec.kind) else {
        let family = database.engine.open_family(&spec.name).map_err(failed)?;
        return Ok(Body::KeyValue { family, layer: Uncommitted::default() });
    };
    let mut segments = Segments::new(shape, spec.persistence, times);
    for name in database.engine.families() {
        if let Some(id) = Segments::parse_family(&spec.name, &name) {
            segments.committed.insert(id, database.engine.open_family(&name).map_err(failed)?);
        }
    }
    Ok(Body::Window(segments))
}

/// Drops whatever families and notes a store has left, the mark first: data without a mark are rebuilt, a mark without
/// data would hide a loss.
pub(super) fn forget(spec: &StoreSpec, database: &mut Database) -> Result<(), StateError> {
    let failed = |source| engine_error(&spec.name, source);
    let (mark, times) = (meta::mark_key(&spec.name), meta::times_key(&spec.name));
    let marked = database.engine.get(database.meta, &mark, &mut Vec::new()).map_err(failed)?;
    let mut changes = [&mark, &times].into_iter().map(|key| Change::Delete(database.meta, key));
    database.engine.write(&mut changes).map_err(failed)?;
    if marked {
        // Should the machine fail now, the deletion of the mark must not be lost while that of the data is not.
        database.engine.sync().map_err(failed)?;
    }
    for name in database.engine.families() {
        if *name == *spec.name || Segments::parse_family(&spec.name, &name).is_some() {
            let family = database.engine.open_family(&name).map_err(failed)?;
            database.engine.drop_family(family).map_err(failed)?;
        }
    }
    Ok(())
}
