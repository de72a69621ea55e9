//! `count`, `reduce` and `aggregate`: one value per key, updated by each record.
//!
//! ```text
//!  record → take old value → step → put → (at once, or at a commit from the cache) update to the nodes below
//! ```

use std::sync::Arc;

use millstream_state::serdes::SerdeRef;
use millstream_state::store::KeyValue;

use super::stored;
use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Flush, Process, Record, TableChildren};

/// What an aggregation needs to know; shared by the chains of all tasks.
pub(crate) struct AggregateSettings<K, V, A, S> {
    /// The node's name.
    pub(crate) node: Arc<str>,
    /// Recognises null keys.
    pub(crate) key: SerdeRef<K>,
    /// Recognises null values.
    pub(crate) value: SerdeRef<V>,
    /// Recognises null results.
    pub(crate) result: SerdeRef<A>,
    /// The new value from the key, the record's value and the old value.
    pub(crate) step: S,
}

/// The node of [`KGroupedStream::count`](crate::dsl::KGroupedStream::count), `reduce` and `aggregate`.
pub(crate) struct Aggregate<K, V, A, S> {
    settings: Arc<AggregateSettings<K, V, A, S>>,
    store: KeyValue<K, A>,
    send_old: bool,
    down: TableChildren<K, A>,
}

impl<K, V, A, S> Aggregate<K, V, A, S> {
    /// Aggregates into `store`.
    pub(crate) fn new(
        settings: Arc<AggregateSettings<K, V, A, S>>,
        store: KeyValue<K, A>,
        send_old: bool,
        down: TableChildren<K, A>,
    ) -> Self {
        Self { settings, store, send_old, down }
    }
}

impl<K, V, A, S> Process<K, V> for Aggregate<K, V, A, S>
where
    S: Fn(&K, &V, Option<A>) -> Option<A>,
{
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        let settings = &*self.settings;
        if settings.key.is_null(record.key) || settings.value.is_null(record.value) {
            cx.dropped.null += 1;
            return Ok(());
        }
        let old = self.store.take(cx, record.key).map_err(stored::failed(&settings.node))?;
        // The result is as old as the youngest record in it.
        let time = old.as_ref().map_or(record.timestamp, |old| old.timestamp.max(record.timestamp));
        let new = (settings.step)(record.key, record.value, old.map(|old| old.value))
            .filter(|new| !settings.result.is_null(new));
        self.store.put_taken(cx, new, time).map_err(stored::failed(&settings.node))?;
        if self.store.must_flush() { self.flush(cx) } else { Ok(()) }
    }
}

impl<K, V, A, S> Flush for Aggregate<K, V, A, S> {
    fn flush(&mut self, cx: &mut Context) -> Result<(), ProcessError> {
        let node = &self.settings.node;
        while let Some(mut update) = self.store.take_dirty(cx, self.send_old).map_err(stored::failed(node))? {
            stored::forward(cx, &self.down, &mut update)?;
            self.store.put_back(update);
        }
        Ok(())
    }
}
