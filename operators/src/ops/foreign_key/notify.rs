//! Tells all rows that are subscribed to a foreign key when its value changes.

use std::sync::Arc;

use millstream_state::engine::Direction;

use super::receive::Subscriptions;
use super::{KeySerdes, refused};
use crate::context::Context;
use crate::error::ProcessError;
use crate::foreign_key::{Response, Subscription, store_prefix};
use crate::ops::stored;
use crate::push::{Apply, Children, Record, Update};

/// The node below the right table.
pub(crate) struct Notify<K, F, W> {
    serdes: Arc<KeySerdes<K, F>>,
    store: Subscriptions<K>,
    /// Whether the table keeps versions: then changes to the past are none of the join.
    versions: bool,
    down: Children<K, Response<W>>,
}

impl<K: 'static, F, W> Notify<K, F, W> {
    /// Tells the rows that are in `store`.
    pub(crate) fn new(
        serdes: Arc<KeySerdes<K, F>>,
        store: Subscriptions<K>,
        versions: bool,
        down: Children<K, Response<W>>,
    ) -> Self {
        Self { serdes, store, versions, down }
    }

    fn subscribed(&self, cx: &mut Context, foreign: &F) -> Result<Vec<Subscription<K>>, ProcessError> {
        let KeySerdes { node, foreign: serde, .. } = &*self.serdes;
        let prefix = store_prefix((foreign, &**serde)).map_err(refused(node, "foreign key"))?;
        let mut store = self.store.borrow_mut();
        let found = store.prefix(cx, &prefix, Direction::Forward).map_err(stored::failed(node))?;
        found.map(|entry| entry.map(|(_, found)| found.value).map_err(stored::failed(node))).collect()
    }
}

impl<K: 'static, F, W: Clone> Apply<F, W> for Notify<K, F, W> {
    fn apply(&mut self, cx: &mut Context, update: Update<'_, F, W>) -> Result<(), ProcessError> {
        if self.versions && !update.latest {
            cx.dropped.late += 1;
            return Ok(());
        }
        let Update { timestamp, headers, .. } = update;
        for Subscription { hash, primary_key, primary_partition, .. } in self.subscribed(cx, update.key)? {
            let value = &Response { hash, foreign_value: update.new.clone(), primary_partition };
            self.down.forward(cx, Record { key: &primary_key, value, timestamp, headers })?;
        }
        Ok(())
    }
}
