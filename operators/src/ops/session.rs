//! `count`, `reduce` and `aggregate` over sessions.
//!
//! ```text
//!  record → sessions of its key within the gap → merged window: late? drop
//!                                              → delete those that are merged, put the one they become
//! ```

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::engine::Direction;
use millstream_state::error::StateError;
use millstream_state::model::{Headers, Timestamp, Window, Windowed};
use millstream_state::store::{SessionStore, Stamped, StoreId};

use super::aggregate::AggregateSettings;
use super::on_close::OnClose;
use super::stored;
use crate::context::Context;
use crate::dsl::SessionWindows;
use crate::error::ProcessError;
use crate::push::{Flush, Process, Record, TableChildren, Update};

/// What an aggregation over sessions needs to know; shared by the chains of all tasks.
pub(crate) struct SessionSettings<K, V, A, S, M> {
    pub(crate) aggregate: AggregateSettings<K, V, A, S>,
    pub(crate) windows: SessionWindows,
    /// The result of two sessions that become one, from that of the earlier (`None` for the first) and the later.
    pub(crate) merge: M,
}

/// What a session aggregation has of its own in each chain.
pub(crate) struct SessionParts<K, A> {
    pub(crate) id: StoreId,
    pub(crate) store: Rc<RefCell<SessionStore<K, A>>>,
    /// Where the node's stream time is kept.
    pub(crate) time_slot: usize,
    pub(crate) send_old: bool,
    /// Whether updates go down without headers: in Kafka Streams only a cache over a store without headers has those of
    /// the record that caused them.
    pub(crate) bare: bool,
    /// Set if sessions go down when they are closed.
    pub(crate) close: Option<OnClose>,
}

/// The node of [`SessionWindowedKStream::count`](crate::dsl::SessionWindowedKStream::count), `reduce` and `aggregate`.
pub(crate) struct SessionAggregate<K, V, A, S, M> {
    settings: Arc<SessionSettings<K, V, A, S, M>>,
    parts: SessionParts<K, A>,
    down: TableChildren<Windowed<K>, A>,
}

impl<K: 'static, V, A: 'static, S, M> SessionAggregate<K, V, A, S, M> {
    /// Aggregates into the store of `parts`.
    pub(crate) fn new(
        settings: Arc<SessionSettings<K, V, A, S, M>>,
        parts: SessionParts<K, A>,
        down: TableChildren<Windowed<K>, A>,
    ) -> Self {
        Self { settings, parts, down }
    }

    /// The sessions that a record of this time belongs to, with their results.
    fn find(&self, cx: &mut Context, key: &K, time: Timestamp) -> Result<Vec<(Window, A)>, StateError> {
        let gap = self.settings.windows.gap();
        let times = (time.millis().saturating_sub(gap), time.millis().saturating_add(gap));
        let times = (Timestamp::from_millis(times.0), Timestamp::from_millis(times.1));
        let mut store = self.parts.store.borrow_mut();
        let found = store.find(cx, key, times, Direction::Forward)?;
        found.map(|entry| entry.map(|(key, value)| (key.window, value.value))).collect()
    }

    /// Sets or deletes a session. A full cache waits for the last change of a record: a session must not be deleted in the
    /// changelog when the one that replaces it is in the cache only.
    fn put(
        &mut self,
        cx: &mut Context,
        (key, session): (&K, Window),
        new: Option<A>,
        is_last: bool,
    ) -> Result<(), ProcessError> {
        let mut store = self.parts.store.borrow_mut();
        store.update(cx, key, session, new).map_err(stored::failed(&self.settings.aggregate.node))?;
        let full = (is_last || !store.is_cached()) && store.must_flush();
        drop(store);
        if full { self.flush(cx) } else { Ok(()) }
    }

    /// Hands the sessions down that have closed since the last time, if it is time to.
    fn emit_closed(&mut self, cx: &mut Context, closed: Timestamp, headers: &Headers) -> Result<(), ProcessError> {
        let node = self.settings.aggregate.node.clone();
        let Some(close) = &mut self.parts.close else { return Ok(()) };
        let Some(range) = close.range(cx, closed) else { return Ok(()) };
        let own = cx.state.record.timestamp;
        let mut after = None;
        loop {
            let found = self.closed(cx, range, after.as_ref()).map_err(stored::failed(&node))?;
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
        let Some(close) = &mut self.parts.close else { return Ok(()) };
        close.done(cx, self.parts.id, closed).map_err(stored::failed(&node))
    }

    /// The sessions that end between two times, both included; a page of them.
    fn closed(
        &self,
        cx: &mut Context,
        range: (Timestamp, Timestamp),
        after: Option<&Windowed<K>>,
    ) -> Result<stored::Closed<K, A>, StateError> {
        self.parts.store.borrow_mut().fetch_held(cx, range, after)?.take(stored::PAGE).collect()
    }
}

impl<K: 'static, V, A: 'static, S, M> SessionAggregate<K, V, A, S, M>
where
    S: Fn(&K, &V, Option<A>) -> Option<A>,
    M: Fn(&K, Option<A>, A) -> Option<A>,
{
    fn add(&mut self, cx: &mut Context, record: Record<'_, K, V>, closed: Timestamp) -> Result<(), ProcessError> {
        let settings = self.settings.clone();
        let aggregate = &settings.aggregate;
        let found = self.find(cx, record.key, record.timestamp).map_err(stored::failed(&aggregate.node))?;
        let own = Window { start: record.timestamp, end: record.timestamp };
        let merged = found.iter().fold(own, |merged, (session, _)| Window {
            start: merged.start.min(session.start),
            end: merged.end.max(session.end),
        });
        if merged.end < closed {
            cx.dropped.late += 1;
            return Ok(());
        }
        let mut result = None;
        for (session, value) in found {
            result = (settings.merge)(record.key, result, value);
            if merged != own {
                self.put(cx, (record.key, session), None, false)?;
            }
        }
        let result = (aggregate.step)(record.key, record.value, result).filter(|new| !aggregate.result.is_null(new));
        self.put(cx, (record.key, merged), result, true)
    }
}

impl<K: 'static, V, A: 'static, S, M> Process<K, V> for SessionAggregate<K, V, A, S, M>
where
    S: Fn(&K, &V, Option<A>) -> Option<A>,
    M: Fn(&K, Option<A>, A) -> Option<A>,
{
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        let aggregate = &self.settings.aggregate;
        if aggregate.key.is_null(record.key) {
            cx.dropped.null += 1;
            return Ok(());
        }
        if let Some(close) = &mut self.parts.close {
            close.begin(cx, self.parts.id).map_err(stored::failed(&aggregate.node))?;
        }
        let stream_time = stored::observe(cx, self.parts.time_slot, record.timestamp);
        let closed = self.settings.windows.closed_before(stream_time);
        self.add(cx, record, closed)?;
        self.emit_closed(cx, closed, record.headers)
    }
}

impl<K: 'static, V, A: 'static, S, M> Flush for SessionAggregate<K, V, A, S, M> {
    fn flush(&mut self, cx: &mut Context) -> Result<(), ProcessError> {
        let SessionParts { store, send_old, bare, close, .. } = &mut self.parts;
        let node = &self.settings.aggregate.node;
        if close.is_some() {
            return store.borrow_mut().write_back(cx).map_err(stored::failed(node));
        }
        // The store is not borrowed while the nodes below run: they may look into it.
        while let Some(mut update) = stored::next_session(store, cx, *send_old).map_err(stored::failed(node))? {
            if update.new.is_some() && !store.borrow().is_cached() {
                // Kafka Streams does not look for what a session was before it is put.
                update.old = None;
            }
            if *bare {
                update.record.headers = Headers::new();
            }
            stored::forward(cx, &self.down, &mut update)?;
            store.borrow_mut().put_back(update);
        }
        Ok(())
    }
}
