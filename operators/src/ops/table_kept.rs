//! `filter` and `map_values` of a table whose result is kept in a store of its own.
//!
//! ```text
//!  update → compute new value → own store → (at once, or at a commit from the cache) update to the nodes below
//! ```

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::store::KeyValue;

use super::stored;
use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Apply, Flush, TableChildren, Update};

/// What such a node needs to know; shared by the chains of all tasks.
pub(crate) struct KeptSettings<F> {
    /// The node's name.
    pub(crate) node: Arc<str>,
    /// The value kept for a value of the table above; `None` deletes.
    pub(crate) compute: F,
}

/// What such a node hands down.
#[derive(Clone, Copy)]
pub(crate) struct KeptShows {
    /// Whether old values go along.
    pub(crate) old: bool,
    /// Whether a delete of what is not in the store is dropped.
    pub(crate) only_changes: bool,
}

/// The node of [`KTable::filter_with`](crate::dsl::KTable::filter_with) and its relatives.
pub(crate) struct TableKept<K, U, F> {
    settings: Arc<KeptSettings<F>>,
    store: Rc<RefCell<KeyValue<K, U>>>,
    shows: KeptShows,
    down: TableChildren<K, U>,
}

impl<K, U, F> TableKept<K, U, F> {
    /// Keeps what it computes in `store`.
    pub(crate) fn new(
        settings: Arc<KeptSettings<F>>,
        store: Rc<RefCell<KeyValue<K, U>>>,
        shows: KeptShows,
        down: TableChildren<K, U>,
    ) -> Self {
        Self { settings, store, shows, down }
    }
}

impl<K, V, U, F: Fn(&K, &V) -> Option<U>> Apply<K, V> for TableKept<K, U, F> {
    fn apply(&mut self, cx: &mut Context, update: Update<'_, K, V>) -> Result<(), ProcessError> {
        let KeptSettings { node, compute } = &*self.settings;
        let new = update.new.as_ref().and_then(|value| compute(update.key, value));
        let mut store = self.store.borrow_mut();
        if self.shows.only_changes
            && new.is_none()
            && store.get(cx, update.key).map_err(stored::failed(node))?.is_none()
        {
            return Ok(());
        }
        store.update(cx, update.key, new, update.timestamp).map_err(stored::failed(node))?;
        let full = store.must_flush();
        drop(store);
        if full { self.flush(cx) } else { Ok(()) }
    }
}

impl<K, U, F> Flush for TableKept<K, U, F> {
    fn flush(&mut self, cx: &mut Context) -> Result<(), ProcessError> {
        let node = &self.settings.node;
        // The store is not borrowed while the nodes below run: they may look into it.
        while let Some(mut update) = stored::next(&self.store, cx, self.shows.old).map_err(stored::failed(node))? {
            stored::forward(cx, &self.down, &mut update)?;
            self.store.borrow_mut().put_back(update);
        }
        Ok(())
    }
}
