//! Keeps the subscriptions to a foreign key, and answers each with the value that the key has.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::model::Timestamp;
use millstream_state::store::{KeyValue, Stamped};

use super::{KeySerdes, refused};
use crate::context::Context;
use crate::error::ProcessError;
use crate::foreign_key::{Instruction, Response, Subscription, store_key};
use crate::ops::lookup::Lookup;
use crate::ops::stored;
use crate::push::{Children, Process, Record};

/// Where subscriptions are kept.
pub(crate) type Subscriptions<K> = Rc<RefCell<KeyValue<Vec<u8>, Subscription<K>>>>;

/// The node that takes subscriptions from their topic.
pub(crate) struct Receive<K, F> {
    serdes: Arc<KeySerdes<K, F>>,
    store: Subscriptions<K>,
    down: Children<Option<F>, Subscription<K>>,
}

impl<K, F> Receive<K, F> {
    /// Keeps subscriptions in `store` and passes them on to `down`.
    pub(crate) fn new(
        serdes: Arc<KeySerdes<K, F>>,
        store: Subscriptions<K>,
        down: Children<Option<F>, Subscription<K>>,
    ) -> Self {
        Self { serdes, store, down }
    }
}

impl<K: Clone, F> Process<Option<F>, Subscription<K>> for Receive<K, F> {
    fn process(
        &mut self,
        cx: &mut Context,
        record: Record<'_, Option<F>, Subscription<K>>,
    ) -> Result<(), ProcessError> {
        let Record { key, value, timestamp, .. } = record;
        if let Some(foreign) = key {
            let KeySerdes { node, primary, foreign: serde } = &*self.serdes;
            let at = store_key((foreign, &**serde), (&value.primary_key, &**primary));
            let at = at.map_err(refused(node, "subscription's key"))?;
            let new = (!value.instruction.deletes()).then(|| Stamped::new(value.clone(), timestamp));
            self.store.borrow_mut().put(cx, &at, new).map_err(stored::failed(node))?;
        } else if value.instruction != Instruction::AnswerAlways {
            cx.dropped.null += 1;
            return Ok(());
        }
        self.down.forward(cx, record)
    }
}

/// The node that answers subscriptions.
pub(crate) struct Answer<K, F, W> {
    foreign: Box<dyn Lookup<F, W>>,
    down: Children<K, Response<W>>,
}

impl<K, F, W> Answer<K, F, W> {
    /// Answers with what `foreign` shows.
    pub(crate) fn new(foreign: Box<dyn Lookup<F, W>>, down: Children<K, Response<W>>) -> Self {
        Self { foreign, down }
    }
}

impl<K, F, W: Clone> Process<Option<F>, Subscription<K>> for Answer<K, F, W> {
    fn process(
        &mut self,
        cx: &mut Context,
        record: Record<'_, Option<F>, Subscription<K>>,
    ) -> Result<(), ProcessError> {
        let mut found = None;
        if let Some(foreign) = record.key {
            self.foreign.look(cx, foreign, Timestamp::from_millis(i64::MAX), &mut |value| {
                found = value.map(|value| Stamped::new(value.value.clone(), value.timestamp));
            })?;
        }
        let asked = record.value;
        let timestamp = found.as_ref().map_or(record.timestamp, |found| found.timestamp.max(record.timestamp));
        let foreign_value = match asked.instruction {
            Instruction::DeleteSilently => return Ok(()),
            Instruction::DeleteAndAnswer => None,
            Instruction::AnswerIfPresent if found.is_none() => return Ok(()),
            Instruction::AnswerIfPresent | Instruction::AnswerAlways => found.map(|found| found.value),
        };
        let Subscription { hash, primary_partition, .. } = *asked;
        let value = &Response { hash, foreign_value, primary_partition };
        self.down.forward(cx, Record { key: &asked.primary_key, value, timestamp, headers: record.headers })
    }
}
