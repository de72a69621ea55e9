//! The stores of one task as bytes: an uncommitted layer over the engines that hold what is committed.
//!
//! ```text
//!  put ─→ [uncommitted layer per family] ──apply(Committed)──→ engine: data + marks + observed times, one write
//!  get ─→ [uncommitted layer] ─→ engine
//!                 restore: changelog records ──────────────────→ engine: data + mark, one write
//! ```

mod buffer;
mod commit;
mod key_value;
mod open;
mod rebuild;
#[cfg(feature = "rocksdb")]
#[cfg(test)]
mod rebuild_tests;
mod restore;
#[cfg(test)]
mod segment_tests;
mod session;
#[cfg(test)]
mod tests;
mod versioned;
mod window;

use std::ops::Bound;
use std::sync::Arc;

pub use self::buffer::log_buffer;
pub use self::key_value::StoreScan;
pub use self::versioned::Placed;
use super::segments::{Segments, Spans};
use super::time_buffer::TimeBuffer;
use super::{StoreId, StoreSpec};
use crate::commit::ChangelogMark;
use crate::engine::{Direction, Engine, FamilyId, MemoryEngine};
use crate::error::{EngineError, StateError};
use crate::model::Timestamp;
use crate::uncommitted::Uncommitted;

/// Index of the engine of durable stores.
const DURABLE: usize = 0;
/// Index of the engine of stores in memory.
const MEMORY: usize = 1;

/// What a store is made of.
enum Body {
    KeyValue {
        family: FamilyId,
        layer: Uncommitted,
    },
    /// Windows or sessions.
    Window(Segments),
    Buffer(TimeBuffer),
}

struct Store {
    name: Arc<str>,
    engine: usize,
    timestamped: bool,
    headers: bool,
    mark: Option<ChangelogMark>,
    /// While it is rebuilt from nothing: what the engine has not been given yet.
    rebuilt: Option<rebuild::Run>,
    body: Body,
}

/// An engine with its meta family.
struct Database {
    engine: Box<dyn Engine>,
    meta: FamilyId,
}

/// The stores of one task.
///
/// Reads see the uncommitted layer over what is committed. After an [`TaskStores::apply`] that failed everything is
/// refused: what is on disk is then known only by opening it again.
pub struct TaskStores {
    specs: Vec<StoreSpec>,
    stores: Vec<Store>,
    databases: [Database; 2],
    uncommitted: usize,
    failed: bool,
}

impl Store {
    fn error(&self, source: EngineError) -> StateError {
        super::meta::engine_error(&self.name, source)
    }

    fn wrong_kind(&self, wanted: &str) -> StateError {
        StateError::Format { store: self.name.to_string(), reason: format!("it is not a {wanted} store") }
    }

    fn key_value(&self) -> Result<(FamilyId, &Uncommitted), StateError> {
        match &self.body {
            Body::KeyValue { family, layer } => Ok((*family, layer)),
            Body::Window(_) | Body::Buffer(_) => Err(self.wrong_kind("key-value")),
        }
    }

    fn window(&self) -> Result<&Segments, StateError> {
        match &self.body {
            Body::Window(segments) => Ok(segments),
            Body::KeyValue { .. } | Body::Buffer(_) => Err(self.wrong_kind("window or session")),
        }
    }
}

impl TaskStores {
    /// Opens the stores of a task; those in memory get an engine of their own. A store whose shape has changed is
    /// emptied, to be rebuilt from its changelog.
    ///
    /// # Errors
    /// If the engine cannot be read or written, or its format is another.
    pub fn open(specs: &[StoreSpec], durable: Box<dyn Engine>) -> Result<Self, StateError> {
        open::open(specs, [durable, Box::new(MemoryEngine::new())])
    }

    /// What the stores are, by [`StoreId`].
    pub fn specs(&self) -> &[StoreSpec] {
        &self.specs
    }

    /// The store of this name.
    pub fn id(&self, name: &str) -> Option<StoreId> {
        self.specs.iter().position(|spec| &*spec.name == name).map(|index| StoreId(index as u32))
    }

    /// Everything that can be read of a store: of a key-value store in the order of its keys, of a window or session
    /// store by segment and what has not expired, of a versioned store the latest values, of a buffer nothing.
    ///
    /// # Errors
    /// If the engine cannot read.
    pub fn all(&mut self, store: StoreId) -> Result<StoreScan<'_>, StateError> {
        let ever = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));
        match &self.store(store)?.body {
            Body::KeyValue { .. } => self.scan(store, (Bound::Unbounded, Bound::Unbounded), Direction::Forward),
            Body::Window(_) if self.is_versioned(store) => self.versioned_scan(store),
            Body::Window(segments) if segments.shape.spans == Spans::Windows => {
                self.window_fetch_all(store, ever, Direction::Forward)
            }
            Body::Window(_) => self.session_find_keys(store, (None, None), ever, Direction::Forward),
            Body::Buffer(_) => Ok(Box::new(std::iter::empty())),
        }
    }

    /// The key by which the store's engine finds the value of `key`: another one where windows are laid out by time.
    ///
    /// # Errors
    /// If there is no such store.
    pub fn stored_key(&self, store: StoreId, key: &[u8]) -> Result<Vec<u8>, StateError> {
        let stored = match &self.store(store)?.body {
            Body::Window(segments) => segments.shape.stored(key),
            Body::KeyValue { .. } | Body::Buffer(_) => None,
        };
        Ok(stored.map_or_else(|| key.to_vec(), std::borrow::Cow::into_owned))
    }

    /// How far the store's committed content has come along its changelog; `None` for an empty store.
    pub fn mark(&self, store: StoreId) -> Option<ChangelogMark> {
        self.stores.get(store.0 as usize).and_then(|store| store.mark)
    }

    /// How many bytes the uncommitted layer holds.
    pub fn uncommitted_bytes(&self) -> usize {
        self.uncommitted
    }

    /// Makes what was applied survive the loss of the machine.
    ///
    /// # Errors
    /// If an engine cannot write.
    pub fn sync(&mut self) -> Result<(), StateError> {
        self.usable()?;
        self.databases[DURABLE].engine.sync().map_err(|source| super::meta::engine_error("(all of a task)", source))
    }

    fn usable(&self) -> Result<(), StateError> {
        if self.failed { Err(StateError::Unusable) } else { Ok(()) }
    }

    fn store(&self, id: StoreId) -> Result<&Store, StateError> {
        self.usable()?;
        self.stores.get(id.0 as usize).ok_or_else(|| unknown(id))
    }

    fn store_mut(&mut self, id: StoreId) -> Result<&mut Store, StateError> {
        self.usable()?;
        self.stores.get_mut(id.0 as usize).ok_or_else(|| unknown(id))
    }

    fn engine(&self, store: &Store) -> &dyn Engine {
        &*self.databases[store.engine].engine
    }
}

fn unknown(id: StoreId) -> StateError {
    StateError::Format { store: format!("number {}", id.0), reason: "the task has no such store".into() }
}
