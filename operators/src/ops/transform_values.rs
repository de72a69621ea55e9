//! `transform_values` of a table: a transformer with state of its own makes each value.
//!
//! ```text
//!  update → transformer (new; old too, if somebody below needs it and nothing is kept) → own store, if kept → update below
//! ```

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::model::{RecordContext, Timestamp};
use millstream_state::store::{KeyValue, Stamped};

use super::lookup::{Lookup, Seen};
use super::stored;
use crate::context::Context;
use crate::error::ProcessError;
use crate::processor::ValueTransformer;
use crate::processor::value_transformer::call;
use crate::push::{Apply, Flush, TableChildren, Update};

/// The node of [`KTable::transform_values`](crate::dsl::KTable::transform_values).
pub(crate) struct TransformValues<K, V, U, T: ValueTransformer<K, V, U>> {
    node: Arc<str>,
    transformer: T,
    store: Option<Rc<RefCell<KeyValue<K, U>>>>,
    send_old: bool,
    down: TableChildren<K, U>,
    types: PhantomData<fn(V)>,
}

impl<K, V, U, T: ValueTransformer<K, V, U>> TransformValues<K, V, U, T> {
    /// Transforms with `transformer`, and keeps the result in `store` if there is one.
    pub(crate) fn new(
        node: Arc<str>,
        transformer: T,
        store: Option<Rc<RefCell<KeyValue<K, U>>>>,
        send_old: bool,
        down: TableChildren<K, U>,
    ) -> Self {
        Self { node, transformer, store, send_old, down, types: PhantomData }
    }
}

impl<K, V, U, T: ValueTransformer<K, V, U>> Apply<K, V> for TransformValues<K, V, U, T> {
    fn apply(&mut self, cx: &mut Context, update: Update<'_, K, V>) -> Result<(), ProcessError> {
        let Update { key, timestamp, headers, latest, .. } = update;
        let Some(new) = call(&mut self.transformer, (cx, &self.node), key, update.new.as_ref())? else { return Ok(()) };
        let Some(store) = &self.store else {
            let mut old = None;
            if self.send_old {
                old = call(&mut self.transformer, (cx, &self.node), key, update.old.as_ref())?.flatten();
            }
            return self.down.forward(cx, Update { key, new: &new, old: &old, timestamp, headers, latest });
        };
        let mut store = store.borrow_mut();
        store.update(cx, key, new, timestamp).map_err(stored::failed(&self.node))?;
        let full = store.must_flush();
        drop(store);
        if full { self.flush(cx) } else { Ok(()) }
    }
}

impl<K, V, U, T: ValueTransformer<K, V, U>> Flush for TransformValues<K, V, U, T> {
    fn flush(&mut self, cx: &mut Context) -> Result<(), ProcessError> {
        let Some(store) = &self.store else { return Ok(()) };
        // The store is not borrowed while the nodes below run: they may look into it.
        while let Some(mut update) = stored::next(store, cx, self.send_old).map_err(stored::failed(&self.node))? {
            stored::forward(cx, &self.down, &mut update)?;
            store.borrow_mut().put_back(update);
        }
        Ok(())
    }
}

impl<K, V, U, T: ValueTransformer<K, V, U>> Drop for TransformValues<K, V, U, T> {
    fn drop(&mut self) {
        // A second panic while one unwinds would end the process.
        if !std::thread::panicking() {
            self.transformer.close();
        }
    }
}

/// Such a table seen from the side when its result is not kept.
pub(crate) struct TransformLookup<K, V, U, T: ValueTransformer<K, V, U>> {
    node: Arc<str>,
    above: Box<dyn Lookup<K, V>>,
    transformer: T,
    types: PhantomData<fn() -> U>,
}

impl<K, V, U, T: ValueTransformer<K, V, U>> TransformLookup<K, V, U, T> {
    /// Shows what `transformer` makes of the values of `above`.
    pub(crate) fn new(node: Arc<str>, above: Box<dyn Lookup<K, V>>, transformer: T) -> Self {
        Self { node, above, transformer, types: PhantomData }
    }
}

impl<K, V: Clone, U, T: ValueTransformer<K, V, U>> Lookup<K, U> for TransformLookup<K, V, U, T> {
    fn look(&mut self, cx: &mut Context, key: &K, as_of: Timestamp, seen: Seen<'_, U>) -> Result<(), ProcessError> {
        let mut found = None;
        self.above.look(cx, key, as_of, &mut |value| {
            found = value.map(|value| Stamped::new(value.value.clone(), value.timestamp));
        })?;
        let timestamp = found.as_ref().map_or(Timestamp::UNKNOWN, |found| found.timestamp);
        // The value was not brought by the record being processed: nobody knows any more by which.
        let looked = RecordContext { timestamp, ..RecordContext::default() };
        let current = std::mem::replace(&mut cx.state.record, looked);
        let value = found.as_ref().map(|found| &found.value);
        let made = call(&mut self.transformer, (cx, &self.node), key, value);
        cx.state.record = current;
        let made = made?.flatten();
        seen(made.as_ref().map(|value| Stamped { value, timestamp }));
        Ok(())
    }
}

impl<K, V, U, T: ValueTransformer<K, V, U>> Drop for TransformLookup<K, V, U, T> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.transformer.close();
        }
    }
}
