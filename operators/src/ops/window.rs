//! `count`, `reduce` and `aggregate` over tumbling, hopping and unlimited windows.
//!
//! ```text
//!  record → stream time of this node → each window it falls into: late? drop : take, step, put, update
//! ```

use std::sync::Arc;

use millstream_state::model::Timestamp;

use super::aggregate::AggregateSettings;
use super::stored;
use super::windowed::WindowTable;
use crate::context::Context;
use crate::dsl::FixedWindows;
use crate::error::ProcessError;
use crate::push::{Flush, Process, Record};

/// The node of [`TimeWindowedKStream::count`](crate::dsl::TimeWindowedKStream::count), `reduce` and `aggregate`.
pub(crate) struct WindowAggregate<K, V, A, S, W> {
    settings: Arc<AggregateSettings<K, V, A, S>>,
    windows: W,
    /// Where the node's stream time is kept.
    time_slot: usize,
    table: WindowTable<K, A>,
}

impl<K: 'static, V, A: 'static, S, W> WindowAggregate<K, V, A, S, W> {
    /// Aggregates into `table`.
    pub(crate) fn new(
        settings: Arc<AggregateSettings<K, V, A, S>>,
        windows: W,
        time_slot: usize,
        table: WindowTable<K, A>,
    ) -> Self {
        Self { settings, windows, time_slot, table }
    }
}

impl<K: 'static, V, A: 'static, S, W> WindowAggregate<K, V, A, S, W>
where
    S: Fn(&K, &V, Option<A>) -> Option<A>,
{
    fn aggregate(&mut self, cx: &mut Context, record: Record<'_, K, V>, start: Timestamp) -> Result<(), ProcessError> {
        let settings = &*self.settings;
        let mut store = self.table.store.borrow_mut();
        let old = store.take(cx, record.key, start).map_err(stored::failed(&settings.node))?;
        let time = old.as_ref().map_or(record.timestamp, |old| old.timestamp.max(record.timestamp));
        let new = (settings.step)(record.key, record.value, old.map(|old| old.value))
            .filter(|new| !settings.result.is_null(new));
        store.put_taken(cx, new, time).map_err(stored::failed(&settings.node))?;
        let full = store.must_flush();
        drop(store);
        if full { self.table.flush(cx) } else { Ok(()) }
    }
}

impl<K: 'static, V, A: 'static, S, W> Process<K, V> for WindowAggregate<K, V, A, S, W>
where
    S: Fn(&K, &V, Option<A>) -> Option<A>,
    W: FixedWindows,
{
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        if self.settings.key.is_null(record.key) {
            cx.dropped.null += 1;
            return Ok(());
        }
        self.table.begin(cx)?;
        let windows = self.windows;
        let closed = windows.closed_until(stored::observe(cx, self.time_slot, record.timestamp));
        for window in windows.of(record.timestamp) {
            if window.end <= closed {
                cx.dropped.late += 1;
            } else {
                self.aggregate(cx, record, window.start)?;
            }
        }
        self.table.emit_closed(cx, closed, record.headers)
    }
}

impl<K: 'static, V, A: 'static, S, W> Flush for WindowAggregate<K, V, A, S, W> {
    fn flush(&mut self, cx: &mut Context) -> Result<(), ProcessError> {
        self.table.flush(cx)
    }
}
