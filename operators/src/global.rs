//! Global stores: filled once per instance, read by all its tasks.
//!
//! ```text
//!  all partitions of a topic → chain of the global part → stores (one writer) ←─read─ tasks of all workers
//! ```

use std::cell::Cell;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use millstream_state::changelog::{split_headers, split_timestamped};
use millstream_state::engine::Direction;
use millstream_state::error::{SerdeError, StateError};
use millstream_state::model::Timestamp;
use millstream_state::serdes::SerdeRef;
use millstream_state::store::{Stamped, StoreId, StoreKind, TaskStores};

use crate::context::Context;

/// The global stores of an instance. Clones share them; empty until whoever keeps them has opened them.
#[derive(Clone, Default)]
pub struct Globals(
    // One writer: who keeps the stores up to date, for a batch of records at a time. Readers hold the lock for one
    // look-up and never while a node below runs, so that they wait for no more than a batch.
    Arc<OnceLock<RwLock<Context>>>,
);

impl fmt::Debug for Globals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Globals").field("open", &self.0.get().is_some()).finish()
    }
}

impl Globals {
    /// Sets the stores; of effect once.
    pub fn fill(&self, cx: Context) {
        // A second one is a mistake of the caller that costs no data: the first stays in force.
        let _ = self.0.set(RwLock::new(cx));
    }

    /// Looks into the stores; `None` before they are open.
    pub fn read<R>(&self, look: impl FnOnce(&TaskStores) -> R) -> Option<R> {
        let cx = self.0.get()?.read().unwrap_or_else(PoisonError::into_inner);
        Some(look(&cx.state.stores))
    }

    /// Changes the stores; `None` before they are open.
    pub fn write<R>(&self, change: impl FnOnce(&mut Context) -> R) -> Option<R> {
        let mut cx = self.0.get()?.write().unwrap_or_else(PoisonError::into_inner);
        Some(change(&mut cx))
    }
}

/// Reads one global store on behalf of one task.
pub(crate) struct GlobalReader<K, V> {
    store: Arc<str>,
    key: SerdeRef<K>,
    value: SerdeRef<V>,
    id: Cell<Option<StoreId>>,
}

impl<K, V> GlobalReader<K, V> {
    pub(crate) fn new(store: &str, key: SerdeRef<K>, value: SerdeRef<V>) -> Self {
        Self { store: store.into(), key, value, id: Cell::new(None) }
    }

    /// The value of a key.
    pub(crate) fn get(&self, cx: &Context, key: &K) -> Result<Option<Stamped<V>>, StateError> {
        let key = self.encode(key)?;
        let looked = cx.globals.read(|stores| {
            let id = self.id(stores)?;
            let mut bytes = Vec::new();
            let found = stores.get(id, &key, &mut bytes)?;
            found.then(|| self.decode(stores, id, &bytes)).transpose()
        });
        looked.unwrap_or_else(|| Err(self.not_open()))
    }

    /// The entries of a range of keys, both ends included.
    pub(crate) fn range(
        &self,
        cx: &Context,
        (from, to): (Option<&K>, Option<&K>),
        direction: Direction,
    ) -> Result<Vec<(K, Stamped<V>)>, StateError> {
        let bound = |key: Option<&K>| key.map(|key| self.encode(key)).transpose();
        let bound = |key| bound(key).map(|key| key.map_or(Bound::Unbounded, Bound::Included));
        let (from, to) = (bound(from)?, bound(to)?);
        // A scan may have to put uncommitted changes into order first, and needs the right to.
        let looked = cx.globals.write(|global| {
            let stores = &mut global.state.stores;
            let id = self.id(stores)?;
            let range = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
            let entries = stores.scan(id, range, direction)?.collect::<Result<Vec<_>, _>>()?;
            let decode = |(key, value): (Box<[u8]>, Box<[u8]>)| {
                let key = self.key.decode(Some(&key)).map_err(|source| self.serde_error("key", source))?;
                Ok((key, self.decode(stores, id, &value)?))
            };
            entries.into_iter().map(decode).collect()
        });
        looked.unwrap_or_else(|| Err(self.not_open()))
    }

    /// About how many entries there are.
    pub(crate) fn approximate_count(&self, cx: &Context) -> Result<u64, StateError> {
        let looked = cx.globals.read(|stores| stores.approximate_count(self.id(stores)?));
        looked.unwrap_or_else(|| Err(self.not_open()))
    }

    fn id(&self, stores: &TaskStores) -> Result<StoreId, StateError> {
        if let Some(id) = self.id.get() {
            return Ok(id);
        }
        let id = stores.id(&self.store).ok_or_else(|| self.not_open())?;
        self.id.set(Some(id));
        Ok(id)
    }

    fn encode(&self, key: &K) -> Result<Vec<u8>, StateError> {
        if self.key.is_null(key) {
            return Err(self.serde_error("key", SerdeError::new("a key", "found null")));
        }
        let mut bytes = Vec::new();
        self.key.encode(key, &mut bytes).map_err(|source| self.serde_error("key", source))?;
        Ok(bytes)
    }

    fn decode(&self, stores: &TaskStores, id: StoreId, bytes: &[u8]) -> Result<Stamped<V>, StateError> {
        let timestamped =
            stores.specs().get(id.0 as usize).is_some_and(|spec| spec.kind == StoreKind::TimestampedKeyValue);
        let bytes = match stores.specs().get(id.0 as usize) {
            Some(spec) if spec.has_headers() => split_headers(bytes).map_or(bytes, |(_, rest)| rest),
            _ => bytes,
        };
        let (timestamp, bytes) = if timestamped {
            let too_short =
                || SerdeError::new("a timestamp (8 bytes) and a value", format!("found {} bytes", bytes.len()));
            split_timestamped(bytes).ok_or_else(|| self.serde_error("value", too_short()))?
        } else {
            (Timestamp::UNKNOWN, bytes)
        };
        let value = self.value.decode(Some(bytes)).map_err(|source| self.serde_error("value", source))?;
        Ok(Stamped::new(value, timestamp))
    }

    fn serde_error(&self, what: &'static str, source: SerdeError) -> StateError {
        StateError::Serde { store: self.store.to_string(), what, source }
    }

    fn not_open(&self) -> StateError {
        let reason = "it is not open: this instance has no such global store".into();
        StateError::Format { store: self.store.to_string(), reason }
    }
}
