//! `count`, `reduce` and `aggregate` of a grouped table: takes the old value of a row out of its group's result, then
//! puts the new one in.
//!
//! ```text
//!  change (new, old) → take result → without old → with new → put → (at once, or at a commit) update to the nodes below
//! ```

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::serdes::SerdeRef;
use millstream_state::store::KeyValue;

use super::change::Change;
use super::stored;
use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Flush, Process, Record, TableChildren};

/// What such a node needs to know; shared by the chains of all tasks.
pub(crate) struct GroupSettings<A, Add, Sub> {
    /// The node's name.
    pub(crate) node: Arc<str>,
    /// Recognises null results.
    pub(crate) result: SerdeRef<A>,
    /// The result with a value, from the result without it; `None` is an empty group.
    pub(crate) add: Add,
    /// The result without a value.
    pub(crate) subtract: Sub,
}

/// The node of [`KGroupedTable::count`](crate::dsl::KGroupedTable::count), `reduce` and `aggregate`.
pub(crate) struct TableAggregate<K, A, Add, Sub> {
    settings: Arc<GroupSettings<A, Add, Sub>>,
    store: Rc<RefCell<KeyValue<K, A>>>,
    send_old: bool,
    down: TableChildren<K, A>,
}

impl<K, A, Add, Sub> TableAggregate<K, A, Add, Sub> {
    /// Aggregates into `store`.
    pub(crate) fn new(
        settings: Arc<GroupSettings<A, Add, Sub>>,
        store: Rc<RefCell<KeyValue<K, A>>>,
        send_old: bool,
        down: TableChildren<K, A>,
    ) -> Self {
        Self { settings, store, send_old, down }
    }
}

impl<K, V, A, Add, Sub> Process<K, Change<V>> for TableAggregate<K, A, Add, Sub>
where
    Add: Fn(&K, &V, Option<A>) -> Option<A>,
    Sub: Fn(&K, &V, A) -> Option<A>,
{
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, Change<V>>) -> Result<(), ProcessError> {
        let GroupSettings { node, result, add, subtract } = &*self.settings;
        let (key, Change { new, old }) = (record.key, record.value);
        let mut store = self.store.borrow_mut();
        let present = |value: Option<A>| value.filter(|value| !result.is_null(value));
        let before = store.take(cx, key).map_err(stored::failed(node))?;
        let (mut time, at) = (record.timestamp, before.as_ref().map(|before| before.timestamp));
        let mut value = before.map(|before| before.value);
        if let (Some(old), true) = (old, value.is_some()) {
            value = value.and_then(|value| present(subtract(key, old, value)));
            time = time.max(at.unwrap_or(time));
        }
        if let Some(new) = new {
            value = present(add(key, new, value));
            time = time.max(at.unwrap_or(time));
        }
        store.put_taken(cx, value, time).map_err(stored::failed(node))?;
        let full = store.must_flush();
        drop(store);
        if full { self.flush(cx) } else { Ok(()) }
    }
}

impl<K, A, Add, Sub> Flush for TableAggregate<K, A, Add, Sub> {
    fn flush(&mut self, cx: &mut Context) -> Result<(), ProcessError> {
        let node = &self.settings.node;
        // The store is not borrowed while the nodes below run: they may look into it.
        while let Some(mut update) = stored::next(&self.store, cx, self.send_old).map_err(stored::failed(node))? {
            stored::forward(cx, &self.down, &mut update)?;
            self.store.borrow_mut().put_back(update);
        }
        Ok(())
    }
}
