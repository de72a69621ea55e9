//! `count`, `reduce` and `aggregate`: one value per key, updated by each record.
//!
//! ```text
//!  record → take old value → step → put → (at once, or at a commit from the cache) update to the nodes below
//! ```

use std::cell::RefCell;
use std::rc::Rc;
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
    /// What the result is before the first record, if it is anything.
    pub(crate) initial: Option<Initial<A>>,
}

/// Makes what a result is before the first record.
pub(crate) type Initial<A> = Arc<dyn Fn() -> A + Send + Sync>;

impl<K, V, A, S> AggregateSettings<K, V, A, S> {
    /// What was there before, as an aggregation without a cache tells it: before the first record Kafka Streams says
    /// what the initializer gives.
    pub(crate) fn or_initial(&self, old: Option<A>) -> Option<A> {
        old.or_else(|| self.initial.as_ref().map(|initial| initial()))
    }
}

/// The node of [`KGroupedStream::count`](crate::dsl::KGroupedStream::count), `reduce` and `aggregate`.
pub(crate) struct Aggregate<K, V, A, S> {
    settings: Arc<AggregateSettings<K, V, A, S>>,
    store: Rc<RefCell<KeyValue<K, A>>>,
    send_old: bool,
    down: TableChildren<K, A>,
}

impl<K, V, A, S> Aggregate<K, V, A, S> {
    /// Aggregates into `store`.
    pub(crate) fn new(
        settings: Arc<AggregateSettings<K, V, A, S>>,
        store: Rc<RefCell<KeyValue<K, A>>>,
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
        let mut store = self.store.borrow_mut();
        let old = store.take(cx, record.key).map_err(stored::failed(&settings.node))?;
        // The result is as old as the youngest record in it.
        let time = old.as_ref().map_or(record.timestamp, |old| old.timestamp.max(record.timestamp));
        let new = (settings.step)(record.key, record.value, old.map(|old| old.value))
            .filter(|new| !settings.result.is_null(new));
        store.put_taken(cx, new, time).map_err(stored::failed(&settings.node))?;
        let full = store.must_flush();
        drop(store);
        if full { self.flush(cx) } else { Ok(()) }
    }
}

impl<K, V, A, S> Flush for Aggregate<K, V, A, S> {
    fn flush(&mut self, cx: &mut Context) -> Result<(), ProcessError> {
        let node = &self.settings.node;
        // The store is not borrowed while the nodes below run: they may look into it.
        while let Some(mut update) = stored::next(&self.store, cx, self.send_old).map_err(stored::failed(node))? {
            if self.send_old && !self.store.borrow().is_cached() {
                update.old = self.settings.or_initial(update.old);
            }
            stored::forward(cx, &self.down, &mut update)?;
            self.store.borrow_mut().put_back(update);
        }
        Ok(())
    }
}
