//! `table`: reads a topic as the changes of a table, and keeps the table in a store where somebody needs it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::model::{RawRecord, Timestamp};
use millstream_state::store::KeyValue;

use super::inlet::{InletSettings, SourceRecord, TimeSource};
use super::stored;
use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Flush, TableChildren, Update};
use crate::topology::chain::Inlet;

/// The table node below a table's source, if the table is kept in a store.
pub(crate) struct Kept<K, V> {
    node: Arc<str>,
    store: Rc<RefCell<KeyValue<K, V>>>,
    send_old: bool,
    down: Rc<TableChildren<K, V>>,
}

impl<K, V> Kept<K, V> {
    /// Keeps the table in `store`; `node` is the table's name.
    pub(crate) fn new(
        node: Arc<str>,
        store: Rc<RefCell<KeyValue<K, V>>>,
        send_old: bool,
        down: Rc<TableChildren<K, V>>,
    ) -> Self {
        Self { node, store, send_old, down }
    }

    /// Sets or deletes a key.
    pub(crate) fn update(
        &mut self,
        cx: &mut Context,
        key: &K,
        new: Option<V>,
        timestamp: Timestamp,
    ) -> Result<(), ProcessError> {
        let mut store = self.store.borrow_mut();
        store.update(cx, key, new, timestamp).map_err(stored::failed(&self.node))?;
        let full = store.must_flush();
        drop(store);
        if full { self.flush(cx) } else { Ok(()) }
    }
}

impl<K, V> Flush for Kept<K, V> {
    fn flush(&mut self, cx: &mut Context) -> Result<(), ProcessError> {
        let node = &self.node;
        // The store is not borrowed while the nodes below run: they may look into it.
        while let Some(mut update) = stored::next(&self.store, cx, self.send_old).map_err(stored::failed(node))? {
            stored::forward(cx, &self.down, &mut update)?;
            self.store.borrow_mut().put_back(update);
        }
        Ok(())
    }
}

/// The inlet of [`StreamsBuilder::table`](crate::dsl::StreamsBuilder::table).
pub(crate) struct TableInlet<K, V> {
    settings: Arc<InletSettings<K, V>>,
    key: Option<K>,
    value: Option<V>,
    kept: Option<Rc<RefCell<Kept<K, V>>>>,
    down: Rc<TableChildren<K, V>>,
}

impl<K, V> TableInlet<K, V> {
    /// Hands what it decodes to `kept`, or without one to `down`.
    pub(crate) fn new(
        settings: Arc<InletSettings<K, V>>,
        kept: Option<Rc<RefCell<Kept<K, V>>>>,
        down: Rc<TableChildren<K, V>>,
    ) -> Self {
        Self { settings, key: None, value: None, kept, down }
    }

    fn decode_value(&mut self, record: &RawRecord<'_>) -> Result<(), ProcessError> {
        let settings = &*self.settings;
        if record.value.is_none() {
            self.value = None;
            return Ok(());
        }
        settings.value.decode_into(record.value, &mut self.value).map_err(settings.refuse("value"))?;
        if self.value.as_ref().is_some_and(|value| settings.value.is_null(value)) {
            self.value = None;
        }
        Ok(())
    }

    fn decode_key(&mut self, record: &RawRecord<'_>) -> Result<(), ProcessError> {
        self.settings.key.decode_into(record.key, &mut self.key).map_err(self.settings.refuse("key"))
    }
}

impl<K, V> Inlet for TableInlet<K, V> {
    fn timestamp(&mut self, record: &RawRecord<'_>, partition_time: Timestamp) -> Result<Timestamp, ProcessError> {
        let settings = self.settings.clone();
        let TimeSource::Custom(extract) = &settings.time else {
            return settings.time.embedded(&settings.node, record.timestamp, partition_time);
        };
        if record.key.is_none() || record.value.is_none() {
            return Ok(record.timestamp);
        }
        self.decode_key(record)?;
        self.decode_value(record)?;
        Ok(self.key.as_ref().zip(self.value.as_ref()).map_or(record.timestamp, |(key, value)| {
            let (timestamp, headers) = (record.timestamp, record.headers);
            extract(&SourceRecord { key, value, timestamp, partition_time, headers })
        }))
    }

    fn process(&mut self, cx: &mut Context, record: &RawRecord<'_>, timestamp: Timestamp) -> Result<(), ProcessError> {
        if record.key.is_none() {
            cx.dropped.null += 1;
            return Ok(());
        }
        self.decode_key(record)?;
        self.decode_value(record)?;
        let Some(key) = &self.key else { return Ok(()) };
        if let Some(kept) = &self.kept {
            return kept.borrow_mut().update(cx, key, self.value.take(), timestamp);
        }
        let update = Update { key, new: &self.value, old: &None, timestamp, headers: record.headers, latest: true };
        self.down.forward(cx, update)
    }
}
