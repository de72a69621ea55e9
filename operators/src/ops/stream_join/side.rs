//! One side of a join: looks for partners in what the other side has kept.
//!
//! ```text
//!  record → those whose window has closed, without a partner (outer) → its partners, in the order of time
//!         → none found and this side is outer: too late for one? result : wait in the shared store
//! ```

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::error::StateError;
use millstream_state::model::Timestamp;
use millstream_state::outer_join;
use millstream_state::serdes::SerdeRef;
use millstream_state::store::WindowStore;

use super::waiting::Unmatched;
use super::{Emission, Joiner, Span, Tracker, Waiting};
use crate::context::Context;
use crate::error::ProcessError;
use crate::ops::{moment, stored};
use crate::push::{Children, Process, Record};

/// What one side needs to know; shared by the chains of all tasks.
pub(crate) struct SideSettings<K, A, B, J> {
    /// The node's name.
    pub(crate) node: Arc<str>,
    /// Whether this is the left side.
    pub(crate) left: bool,
    /// Whether records of this side without a partner have a result.
    pub(crate) outer: bool,
    /// Where partners of this side's records are.
    pub(crate) span: Span,
    /// How much wall-clock time passes at least between two looks for records that wait in vain.
    pub(crate) emit_interval: i64,
    pub(crate) key: SerdeRef<K>,
    /// The values of this side.
    pub(crate) this: SerdeRef<A>,
    /// The values of the other side.
    pub(crate) other: SerdeRef<B>,
    /// Takes this side's value first.
    pub(crate) joiner: J,
}

/// What one side uses in each chain.
pub(crate) struct SideStores<K, B> {
    /// What the other side has kept.
    pub(crate) other: Rc<RefCell<WindowStore<K, B>>>,
    /// Who waits for a partner, if a side is outer.
    pub(crate) waiting: Option<Waiting>,
    /// The times shared with the other side.
    pub(crate) tracker: Tracker,
}

/// The node of one side of [`KStream::join`](crate::dsl::KStream::join) and its relatives.
pub(crate) struct SideJoin<K, A, B, R, J> {
    settings: Arc<SideSettings<K, A, B, J>>,
    stores: SideStores<K, B>,
    down: Children<K, R>,
    found: Vec<(Timestamp, B)>,
    bytes: Vec<u8>,
}

impl<K, A, B, R, J: Joiner<K, A, B, R>> SideJoin<K, A, B, R, J> {
    /// Joins with what is in `stores`.
    pub(crate) fn new(settings: Arc<SideSettings<K, A, B, J>>, stores: SideStores<K, B>, down: Children<K, R>) -> Self {
        Self { settings, stores, down, found: Vec::new(), bytes: Vec::new() }
    }

    fn forward(&self, cx: &mut Context, record: Record<'_, K, A>, joined: Option<R>) -> Result<(), ProcessError> {
        match &joined {
            Some(joined) => moment::at(cx, record.timestamp, |cx| self.down.forward(cx, record.with_value(joined))),
            None => Ok(()),
        }
    }

    fn alone(&self, cx: &mut Context, record: Record<'_, K, A>) -> Result<(), ProcessError> {
        let joined = (self.settings.joiner)(record.key, Some(record.value), None);
        self.forward(cx, record, joined)
    }

    fn fail(&self) -> impl FnOnce(StateError) -> ProcessError {
        stored::failed(&self.settings.node)
    }

    /// Hands down the records of both sides that have waited in vain.
    fn emit_closed(&mut self, cx: &mut Context, record: &Record<'_, K, A>) -> Result<(), ProcessError> {
        let settings = self.settings.clone();
        let tracker = self.stores.tracker;
        let Some(waiting) = &self.stores.waiting else { return Ok(()) };
        let (span, stream_time) = (settings.span, tracker.stream_time(cx));
        // Wraps around if nobody is known to wait, as Kafka Streams' does: then it looks, and begins a pause.
        let closes = tracker.least(cx).wrapping_add(span.after).wrapping_add(span.grace);
        if closes >= stream_time.millis() || !tracker.may_emit(cx, settings.emit_interval) {
            return Ok(());
        }
        let left_span = if settings.left { span } else { span.reversed() };
        let mut walk = Emission::default();
        loop {
            let batch = waiting.unmatched(cx, &mut walk, (left_span, stream_time)).map_err(self.fail())?;
            tracker.set_least(cx, walk.least);
            if batch.is_empty() {
                return Ok(());
            }
            for unmatched in &batch {
                self.emit(cx, record, unmatched)?;
                waiting.remove(cx, &unmatched.key).map_err(self.fail())?;
            }
        }
    }

    /// Hands down the values under one key. The headers are those of the record that is being processed.
    fn emit(&self, cx: &mut Context, record: &Record<'_, K, A>, unmatched: &Unmatched) -> Result<(), ProcessError> {
        let SideSettings { left: this_is_left, key, this, other, joiner, .. } = &*self.settings;
        let Some(waiting) = &self.stores.waiting else { return Ok(()) };
        let malformed = |what, bytes: &[u8]| self.fail()(waiting.malformed(what, bytes));
        let serde =
            |what, source| self.fail()(StateError::Serde { store: self.settings.node.to_string(), what, source });
        let parts = outer_join::split_key(&unmatched.key).ok_or_else(|| malformed("key", &unmatched.key))?;
        let values = outer_join::elements(&unmatched.list).ok_or_else(|| malformed("list", &unmatched.list))?;
        let key = key.decode(Some(parts.key)).map_err(|source| serde("key", source))?;
        for value in values {
            let (left, bytes) = outer_join::split_side(value).ok_or_else(|| malformed("value", value))?;
            let joined = if left == *this_is_left {
                let value = this.decode(Some(bytes)).map_err(|source| serde("value", source))?;
                joiner(&key, Some(&value), None)
            } else {
                let value = other.decode(Some(bytes)).map_err(|source| serde("value", source))?;
                joiner(&key, None, Some(&value))
            };
            self.forward(cx, Record { key: &key, timestamp: parts.time, ..*record }, joined)?;
        }
        Ok(())
    }

    /// Joins with each partner; answers whether there was one.
    fn join_partners(&mut self, cx: &mut Context, record: Record<'_, K, A>) -> Result<bool, ProcessError> {
        let settings = self.settings.clone();
        let mut found = std::mem::take(&mut self.found);
        let times = settings.span.around(record.timestamp);
        let collected = self.stores.other.borrow_mut().collect(cx, record.key, times, &mut found);
        collected.map_err(self.fail())?;
        for (time, value) in &found {
            if let Some(waiting) = &mut self.stores.waiting {
                let encoded = settings.key.encode(record.key, waiting.begin(*time, !settings.left));
                encoded.map_err(|source| refuse(&settings.node, "key", source))?;
                waiting.matched(cx).map_err(stored::failed(&settings.node))?;
            }
            let joined = (settings.joiner)(record.key, Some(record.value), Some(value));
            self.forward(cx, Record { timestamp: record.timestamp.max(*time), ..record }, joined)?;
        }
        let any = !found.is_empty();
        found.clear();
        self.found = found;
        Ok(any)
    }

    /// Remembers a record that has found no partner, or hands it down if none can come any more.
    fn lonely(&mut self, cx: &mut Context, record: Record<'_, K, A>) -> Result<(), ProcessError> {
        let settings = self.settings.clone();
        let tracker = self.stores.tracker;
        let (_, until) = settings.span.around(record.timestamp);
        let Some(waiting) = self.stores.waiting.as_mut().filter(|_| until >= tracker.stream_time(cx)) else {
            return self.alone(cx, record);
        };
        tracker.waits(cx, record.timestamp);
        let encoded = settings.key.encode(record.key, waiting.begin(record.timestamp, settings.left));
        encoded.map_err(|source| refuse(&settings.node, "key", source))?;
        self.bytes.clear();
        outer_join::push_side(&mut self.bytes, settings.left);
        let encoded = settings.this.encode(record.value, &mut self.bytes);
        encoded.map_err(|source| refuse(&settings.node, "value", source))?;
        waiting.add(cx, &self.bytes).map_err(stored::failed(&settings.node))
    }

    fn join(&mut self, cx: &mut Context, record: Record<'_, K, A>) -> Result<(), ProcessError> {
        if record.timestamp == self.stores.tracker.stream_time(cx) {
            self.emit_closed(cx, &record)?;
        }
        if !self.join_partners(cx, record)? && self.settings.outer {
            self.lonely(cx, record)?;
        }
        Ok(())
    }
}

fn refuse(node: &Arc<str>, what: &'static str, source: millstream_state::error::SerdeError) -> ProcessError {
    ProcessError::Encode { node: node.clone(), what, source }
}

impl<K, A, B, R, J: Joiner<K, A, B, R>> Process<K, A> for SideJoin<K, A, B, R, J> {
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, A>) -> Result<(), ProcessError> {
        self.stores.tracker.observe(cx, record.timestamp);
        let settings = &*self.settings;
        let (null_key, null_value) = (settings.key.is_null(record.key), settings.this.is_null(record.value));
        if settings.outer && null_key && !null_value {
            return self.alone(cx, record);
        }
        if null_key || null_value {
            cx.dropped.null += 1;
            return Ok(());
        }
        moment::at(cx, record.timestamp, |cx| self.join(cx, record))
    }
}
