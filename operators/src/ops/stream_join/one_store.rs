//! A stream joined with itself on one store instead of two; the results are those of two, in the same order.

use std::any::Any;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::model::Timestamp;
use millstream_state::serdes::SerdeRef;
use millstream_state::store::WindowStore;

use super::{Joiner, Span};
use crate::context::Context;
use crate::error::ProcessError;
use crate::ops::{moment, stored};
use crate::push::{Children, Process, Record};

/// What such a join needs to know; shared by the chains of all tasks.
pub(crate) struct OneStoreSettings<K, V, J> {
    /// The node's name.
    pub(crate) node: Arc<str>,
    /// Where partners are, as the left side sees it.
    pub(crate) span: Span,
    /// How long records are kept.
    pub(crate) retention: i64,
    pub(crate) key: SerdeRef<K>,
    pub(crate) value: SerdeRef<V>,
    pub(crate) joiner: J,
}

/// The node of [`KStream::join`](crate::dsl::KStream::join) of a stream with itself, where that is optimised. The right
/// side's type `B` is that of the values, `V`; only the compiler cannot know.
pub(crate) struct OneStoreJoin<K, V, B, R, J> {
    settings: Arc<OneStoreSettings<K, V, J>>,
    store: Rc<RefCell<WindowStore<K, V>>>,
    /// Where this join's stream time is kept.
    time_slot: usize,
    down: Children<K, R>,
    right: PhantomData<fn(B)>,
}

impl<K, V: 'static, B: 'static, R, J: Joiner<K, V, B, R>> OneStoreJoin<K, V, B, R, J> {
    /// Joins with what is in `store`.
    pub(crate) fn new(
        settings: Arc<OneStoreSettings<K, V, J>>,
        store: Rc<RefCell<WindowStore<K, V>>>,
        time_slot: usize,
        down: Children<K, R>,
    ) -> Self {
        Self { settings, store, time_slot, down, right: PhantomData }
    }

    fn found(
        &self,
        cx: &mut Context,
        key: &K,
        span: (Timestamp, Timestamp),
    ) -> Result<Vec<(Timestamp, V)>, ProcessError> {
        let mut found = Vec::new();
        let collected = self.store.borrow_mut().collect(cx, key, span, &mut found);
        collected.map_err(stored::failed(&self.settings.node))?;
        Ok(found)
    }

    /// Hands down the result of two values at the later of the two times.
    fn pair(&self, cx: &mut Context, record: Record<'_, K, V>, left: &V, right: &V) -> Result<(), ProcessError> {
        let joined = (self.settings.joiner)(record.key, Some(left), (right as &dyn Any).downcast_ref::<B>());
        match &joined {
            Some(joined) => moment::at(cx, record.timestamp, |cx| self.down.forward(cx, record.with_value(joined))),
            None => Ok(()),
        }
    }

    fn join(&self, cx: &mut Context, record: Record<'_, K, V>, stream_time: Timestamp) -> Result<(), ProcessError> {
        let OneStoreSettings { span, retention, .. } = &*self.settings;
        let oldest = stream_time.millis().saturating_sub(*retention).saturating_add(1);
        let mut itself = record.timestamp.millis() > oldest;
        for (time, value) in self.found(cx, record.key, span.around(record.timestamp))? {
            let at = Record { timestamp: record.timestamp.max(time), ..record };
            self.pair(cx, at, record.value, &value)?;
        }
        for (time, value) in self.found(cx, record.key, span.reversed().around(record.timestamp))? {
            // The record with itself comes before what is later, as two stores have it.
            if itself && time > record.timestamp {
                itself = false;
                self.pair(cx, record, record.value, record.value)?;
            }
            let at = Record { timestamp: record.timestamp.max(time), ..record };
            self.pair(cx, at, &value, record.value)?;
        }
        if itself { self.pair(cx, record, record.value, record.value) } else { Ok(()) }
    }
}

impl<K, V: 'static, B: 'static, R, J: Joiner<K, V, B, R>> Process<K, V> for OneStoreJoin<K, V, B, R, J> {
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        if self.settings.key.is_null(record.key) || self.settings.value.is_null(record.value) {
            cx.dropped.null += 1;
            return Ok(());
        }
        let stream_time = cx.operator_times[self.time_slot].max(record.timestamp);
        cx.operator_times[self.time_slot] = stream_time;
        moment::at(cx, record.timestamp, |cx| self.join(cx, record, stream_time))
    }
}
