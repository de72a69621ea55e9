//! What aggregations over time windows have in common: a table of windows that goes down with each update, or window by
//! window once they are closed.
//!
//! ```text
//!  update → store ─┬─ on update:  (at once, or at a commit from the cache) the update to the nodes below
//!                  └─ on close:   after a record, if it is time: all windows closed since the last time, by start, then key
//! ```

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::error::StateError;
use millstream_state::model::{Headers, Timestamp, Windowed};
use millstream_state::store::{Stamped, StoreId, WindowStore};

use super::aggregate::Initial;
use super::on_close::OnClose;
use super::stored;
use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{TableChildren, Update};

/// The table that an aggregation over time windows writes.
pub(crate) struct WindowTable<K, A> {
    /// The node's name.
    pub(crate) node: Arc<str>,
    pub(crate) id: StoreId,
    pub(crate) store: Rc<RefCell<WindowStore<K, A>>>,
    pub(crate) send_old: bool,
    pub(crate) initial: Option<Initial<A>>,
    /// Set if windows go down when they are closed.
    pub(crate) close: Option<OnClose>,
    pub(crate) down: TableChildren<Windowed<K>, A>,
    /// What the next update is to say was there before, without a cache, if that is not what the store says.
    told: Option<Option<A>>,
}

/// What a window table is made of.
pub(crate) struct WindowTableParts<K, A> {
    pub(crate) id: StoreId,
    pub(crate) store: Rc<RefCell<WindowStore<K, A>>>,
    pub(crate) send_old: bool,
    pub(crate) close: Option<OnClose>,
}

impl<K: 'static, A: 'static> WindowTable<K, A> {
    pub(crate) fn new(
        node: Arc<str>,
        initial: Option<Initial<A>>,
        parts: WindowTableParts<K, A>,
        down: TableChildren<Windowed<K>, A>,
    ) -> Self {
        let WindowTableParts { id, store, send_old, close } = parts;
        Self { node, id, store, send_old, initial, close, down, told: None }
    }

    /// Whether the next update is to say what was there before.
    pub(crate) fn tells_old(&self) -> bool {
        self.send_old && self.close.is_none() && !self.store.borrow().is_cached()
    }

    /// Has the next update say that this was there before, or what the initializer gives.
    pub(crate) fn tell(&mut self, old: Option<A>) {
        self.told = Some(old);
    }

    /// Sets a window and hands the update down if there is no cache to hold it back.
    pub(crate) fn update(
        &mut self,
        cx: &mut Context,
        (key, start): (&K, Timestamp),
        new: Option<A>,
        time: Timestamp,
    ) -> Result<(), ProcessError> {
        let mut store = self.store.borrow_mut();
        store.update_at(cx, (key, start), new, time).map_err(stored::failed(&self.node))?;
        let full = store.must_flush();
        drop(store);
        if full { self.flush(cx) } else { Ok(()) }
    }

    /// Writes what is held back, and hands it down unless windows go down when they are closed.
    pub(crate) fn flush(&mut self, cx: &mut Context) -> Result<(), ProcessError> {
        if self.close.is_some() {
            return self.store.borrow_mut().write_back(cx).map_err(stored::failed(&self.node));
        }
        // The store is not borrowed while the nodes below run: they may look into it.
        while let Some(mut update) =
            stored::next_window(&self.store, cx, self.send_old).map_err(stored::failed(&self.node))?
        {
            if self.send_old && !self.store.borrow().is_cached() {
                update.old = match self.told.take() {
                    Some(told) => told,
                    // Before the first record Kafka Streams says what the initializer gives.
                    None => update.old.or_else(|| self.initial.as_ref().map(|initial| initial())),
                };
            }
            stored::forward(cx, &self.down, &mut update)?;
            self.store.borrow_mut().put_back(update);
        }
        Ok(())
    }

    /// Hands the windows down that have closed since the last time, if it is time to; `closed` is the time before which
    /// (or, for windows whose end is exclusive, until which) windows are closed.
    pub(crate) fn emit_closed(
        &mut self,
        cx: &mut Context,
        closed: Timestamp,
        headers: &Headers,
    ) -> Result<(), ProcessError> {
        let Some(close) = &mut self.close else { return Ok(()) };
        let Some(range) = close.range(cx, closed) else { return Ok(()) };
        let own = cx.state.record.timestamp;
        let mut after = None;
        loop {
            let found = self.closed(cx, range, after.as_ref()).map_err(stored::failed(&self.node))?;
            let more = found.len() == stored::PAGE;
            for (key, Stamped { value, timestamp }) in found {
                cx.state.record.timestamp = timestamp;
                self.down.forward(
                    cx,
                    Update { key: &key, new: &Some(value), old: &None, timestamp, headers, latest: true },
                )?;
                after = Some(key);
            }
            if !more {
                break;
            }
        }
        cx.state.record.timestamp = own;
        let Some(close) = &mut self.close else { return Ok(()) };
        close.done(cx, self.id, closed).map_err(stored::failed(&self.node))
    }

    /// What is in the windows that start between two times, both included; a page of them.
    fn closed(
        &self,
        cx: &mut Context,
        range: (Timestamp, Timestamp),
        after: Option<&Windowed<K>>,
    ) -> Result<stored::Closed<K, A>, StateError> {
        self.store.borrow_mut().fetch_held(cx, range, after)?.take(stored::PAGE).collect()
    }

    /// Lets go of what was handed down before this chain was built.
    pub(crate) fn begin(&mut self, cx: &mut Context) -> Result<(), ProcessError> {
        match &mut self.close {
            Some(close) => close.begin(cx, self.id).map_err(stored::failed(&self.node)),
            None => Ok(()),
        }
    }
}
