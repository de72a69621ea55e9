//! `suppress`: holds changes back in a buffer, in the order of their times.
//!
//! ```text
//!  change → buffer (one per key; the first one's time stays)
//!           stream time ≥ time + wait → the last change of the key to the nodes below
//!           too much → the same early, or an error
//! ```

use std::sync::Arc;

use bytes::Bytes;
use millstream_state::error::{SerdeError, StateError};
use millstream_state::model::{Headers, RecordContext, Timestamp};
use millstream_state::serdes::SerdeRef;
use millstream_state::store::{Buffered, Stamped, StoreId, log_buffer};

use super::lookup::{Lookup, Seen};
use super::stored;
use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Apply, Flush, TableChildren, Update};

/// What a suppression needs to know; shared by the chains of all tasks.
pub(crate) struct SuppressSettings<K, V> {
    /// The node's name.
    pub(crate) node: Arc<str>,
    pub(crate) key: SerdeRef<K>,
    pub(crate) value: SerdeRef<V>,
    /// How long changes wait.
    pub(crate) wait: i64,
    /// The end of the key's window, if it is that from which on changes wait; deletes are then dropped.
    pub(crate) end: Option<fn(&K) -> Timestamp>,
    pub(crate) max_records: usize,
    pub(crate) max_bytes: usize,
    /// Whether it is an error if more has to wait.
    pub(crate) shuts_down: bool,
}

/// The node of [`KTable::suppress`](crate::dsl::KTable::suppress).
pub(crate) struct Suppress<K, V> {
    settings: Arc<SuppressSettings<K, V>>,
    store: StoreId,
    /// Where the node's stream time is kept.
    time_slot: usize,
    down: TableChildren<K, V>,
    key: Vec<u8>,
}

impl<K, V> SuppressSettings<K, V> {
    fn refuse(&self, what: &'static str) -> impl FnOnce(SerdeError) -> ProcessError {
        move |source| ProcessError::Encode { node: self.node.clone(), what, source }
    }

    fn encode(&self, value: &Option<V>) -> Result<Option<Bytes>, ProcessError> {
        let Some(value) = value.as_ref().filter(|value| !self.value.is_null(value)) else { return Ok(None) };
        let mut bytes = Vec::new();
        self.value.encode(value, &mut bytes).map_err(self.refuse("value"))?;
        Ok(Some(bytes.into()))
    }

    fn decode(&self, bytes: Option<&Bytes>) -> Result<Option<V>, ProcessError> {
        let decoded = bytes.map(|bytes| self.value.decode(Some(bytes))).transpose();
        decoded.map_err(|source| ProcessError::Decode { node: self.node.clone(), what: "value", source })
    }
}

impl<K, V> Suppress<K, V> {
    /// Holds changes back in the buffer `store`.
    pub(crate) fn new(
        settings: Arc<SuppressSettings<K, V>>,
        store: StoreId,
        time_slot: usize,
        down: TableChildren<K, V>,
    ) -> Self {
        Self { settings, store, time_slot, down, key: Vec::new() }
    }

    fn put(&mut self, cx: &mut Context, update: Update<'_, K, V>) -> Result<(), ProcessError> {
        let settings = &*self.settings;
        self.key.clear();
        settings.key.encode(update.key, &mut self.key).map_err(settings.refuse("key"))?;
        let record = RecordContext {
            timestamp: update.timestamp,
            headers: update.headers.clone(),
            topic: cx.state.record.topic.clone(),
            ..cx.state.record
        };
        let (old, new) = (settings.encode(update.old)?, settings.encode(update.new)?);
        let time = settings.end.map_or(update.timestamp, |end| end(update.key));
        let change = Buffered { prior: None, old, new, record };
        cx.state.stores.buffer_put(self.store, time, &self.key, change).map_err(stored::failed(&settings.node))
    }

    /// Hands down what has waited long enough, and what there is no room for.
    fn enforce(&mut self, cx: &mut Context, stream_time: Timestamp) -> Result<(), ProcessError> {
        let due = stream_time.millis().saturating_sub(self.settings.wait);
        loop {
            let first = cx.state.stores.buffer_first_time(self.store).map_err(stored::failed(&self.settings.node))?;
            if first.is_none_or(|time| time.millis() > due) {
                break;
            }
            self.emit(cx)?;
        }
        while let Some((records, bytes)) = self.excess(cx).map_err(stored::failed(&self.settings.node))? {
            let SuppressSettings { node, max_records, max_bytes, shuts_down, .. } = &*self.settings;
            if *shuts_down {
                let (node, max_records, max_bytes) = (node.clone(), *max_records, *max_bytes);
                return Err(ProcessError::BufferFull { node, records, max_records, bytes, max_bytes });
            }
            if records == 0 {
                break;
            }
            self.emit(cx)?;
        }
        Ok(())
    }

    /// What the buffer holds, if that is more than it may.
    fn excess(&self, cx: &Context) -> Result<Option<(usize, usize)>, StateError> {
        let stores = &cx.state.stores;
        let (records, bytes) = (stores.buffer_len(self.store)?, stores.buffer_bytes(self.store)?);
        let SuppressSettings { max_records, max_bytes, .. } = &*self.settings;
        Ok((records > *max_records || bytes > *max_bytes).then_some((records, bytes)))
    }

    /// Hands down the change that has waited longest.
    fn emit(&mut self, cx: &mut Context) -> Result<(), ProcessError> {
        let settings = self.settings.clone();
        let popped = cx.state.stores.buffer_pop(self.store).map_err(stored::failed(&settings.node))?;
        let Some((key, Buffered { old, new, mut record, .. })) = popped else { return Ok(()) };
        if new.is_none() && settings.end.is_some() {
            // The result is final: nobody has seen what would be deleted.
            return Ok(());
        }
        let refuse = |source| ProcessError::Decode { node: settings.node.clone(), what: "key", source };
        let key = settings.key.decode(Some(&key)).map_err(refuse)?;
        let (old, new) = (settings.decode(old.as_ref())?, settings.decode(new.as_ref())?);
        let (timestamp, headers): (Timestamp, Headers) = (record.timestamp, record.headers.clone());
        std::mem::swap(&mut cx.state.record, &mut record);
        let update = Update { key: &key, new: &new, old: &old, timestamp, headers: &headers, latest: true };
        let forwarded = self.down.forward(cx, update);
        std::mem::swap(&mut cx.state.record, &mut record);
        forwarded
    }
}

impl<K, V> Apply<K, V> for Suppress<K, V> {
    fn apply(&mut self, cx: &mut Context, update: Update<'_, K, V>) -> Result<(), ProcessError> {
        let stream_time = stored::observe(cx, self.time_slot, update.timestamp);
        self.put(cx, update)?;
        self.enforce(cx, stream_time)
    }
}

impl<K, V> Flush for Suppress<K, V> {
    fn flush(&mut self, cx: &mut Context) -> Result<(), ProcessError> {
        log_buffer(&mut cx.state, self.store).map_err(stored::failed(&self.settings.node))
    }
}

/// Looks into a suppressed table: what waits has not happened yet.
pub(crate) struct SuppressLookup<K, V> {
    node: Arc<str>,
    store: StoreId,
    key: SerdeRef<K>,
    value: SerdeRef<V>,
    above: Box<dyn Lookup<K, V>>,
}

impl<K, V> SuppressLookup<K, V> {
    /// Looks into the buffer `store`, then into the table above; `node` is who is at fault if that fails.
    pub(crate) fn new(
        node: Arc<str>,
        store: StoreId,
        (key, value): (SerdeRef<K>, SerdeRef<V>),
        above: Box<dyn Lookup<K, V>>,
    ) -> Self {
        Self { node, store, key, value, above }
    }
}

impl<K, V> Lookup<K, V> for SuppressLookup<K, V> {
    fn look(&mut self, cx: &mut Context, key: &K, as_of: Timestamp, seen: Seen<'_, V>) -> Result<(), ProcessError> {
        let refuse = |what| {
            let node = self.node.clone();
            move |source| ProcessError::Encode { node, what, source }
        };
        let mut bytes = Vec::new();
        self.key.encode(key, &mut bytes).map_err(refuse("key"))?;
        let waits = cx.state.stores.buffer_get(self.store, &bytes).map_err(stored::failed(&self.node))?;
        let Some(Buffered { prior, .. }) = waits else { return self.above.look(cx, key, as_of, seen) };
        let prior = prior.as_ref().map(|prior| self.value.decode(Some(prior))).transpose();
        let prior = prior.map_err(|source| ProcessError::Decode { node: self.node.clone(), what: "value", source })?;
        seen(prior.as_ref().map(|value| Stamped::new(value, Timestamp::UNKNOWN)));
        Ok(())
    }
}
