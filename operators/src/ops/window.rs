//! `count`, `reduce` and `aggregate` over tumbling and hopping windows.
//!
//! ```text
//!  record → stream time of this node → each window it falls into: late? drop : take, step, put, update
//! ```

use std::sync::Arc;

use millstream_state::store::WindowStore;

use super::aggregate::AggregateSettings;
use super::stored;
use crate::context::Context;
use crate::dsl::TimeWindows;
use crate::error::ProcessError;
use crate::push::{Flush, Process, Record, TableChildren};
use millstream_state::model::{Timestamp, Windowed};

/// The node of [`TimeWindowedKStream::count`](crate::dsl::TimeWindowedKStream::count), `reduce` and `aggregate`.
pub(crate) struct WindowAggregate<K, V, A, S> {
    settings: Arc<AggregateSettings<K, V, A, S>>,
    windows: TimeWindows,
    store: WindowStore<K, A>,
    time_slot: usize,
    send_old: bool,
    down: TableChildren<Windowed<K>, A>,
}

/// What a windowed aggregation has of its own in each chain.
pub(crate) struct WindowParts<K, A> {
    pub(crate) store: WindowStore<K, A>,
    /// Where the node's stream time is kept.
    pub(crate) time_slot: usize,
    pub(crate) send_old: bool,
}

impl<K, V, A, S> WindowAggregate<K, V, A, S> {
    /// Aggregates into the store of `parts`.
    pub(crate) fn new(
        settings: Arc<AggregateSettings<K, V, A, S>>,
        windows: TimeWindows,
        parts: WindowParts<K, A>,
        down: TableChildren<Windowed<K>, A>,
    ) -> Self {
        let WindowParts { store, time_slot, send_old } = parts;
        Self { settings, windows, store, time_slot, send_old, down }
    }

    fn observe(&self, cx: &mut Context, time: Timestamp) -> Timestamp {
        let observed = &mut cx.operator_times[self.time_slot];
        *observed = (*observed).max(time);
        *observed
    }
}

impl<K, V, A, S> Process<K, V> for WindowAggregate<K, V, A, S>
where
    S: Fn(&K, &V, Option<A>) -> Option<A>,
{
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        if self.settings.key.is_null(record.key) {
            cx.dropped.null += 1;
            return Ok(());
        }
        let closed_until = self.windows.closed_until(self.observe(cx, record.timestamp));
        for window in self.windows.of(record.timestamp) {
            if window.end <= closed_until {
                cx.dropped.late += 1;
                continue;
            }
            let settings = &*self.settings;
            let old = self.store.take(cx, record.key, window.start).map_err(stored::failed(&settings.node))?;
            let time = old.as_ref().map_or(record.timestamp, |old| old.timestamp.max(record.timestamp));
            let new = (settings.step)(record.key, record.value, old.map(|old| old.value))
                .filter(|new| !settings.result.is_null(new));
            self.store.put_taken(cx, new, time).map_err(stored::failed(&settings.node))?;
            if self.store.must_flush() {
                self.flush(cx)?;
            }
        }
        Ok(())
    }
}

impl<K, V, A, S> Flush for WindowAggregate<K, V, A, S> {
    fn flush(&mut self, cx: &mut Context) -> Result<(), ProcessError> {
        let node = &self.settings.node;
        while let Some(mut update) = self.store.take_dirty(cx, self.send_old).map_err(stored::failed(node))? {
            stored::forward(cx, &self.down, &mut update)?;
            self.store.put_back(update);
        }
        Ok(())
    }
}
