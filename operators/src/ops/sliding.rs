//! `count`, `reduce` and `aggregate` over sliding windows.
//!
//! ```text
//!  windows of a key, by time:       [ left  …  t ]            ends with the record
//!                              [ p+1 … t … ]                  begins right after the record before: made if it is not there
//!                                          (t+1 … right ]     begins right after the record: made if something is in it
//! ```
//! A window is kept for each set of records, so that a record changes all windows around it and makes up to three new
//! ones, from the results of their neighbours.

use std::sync::Arc;

use millstream_state::engine::Direction;
use millstream_state::error::StateError;
use millstream_state::model::Timestamp;
use millstream_state::store::Stamped;

use super::aggregate::AggregateSettings;
use super::stored;
use super::windowed::WindowTable;
use crate::context::Context;
use crate::dsl::SlidingWindows;
use crate::error::ProcessError;
use crate::push::{Flush, Process, Record};

/// The node of [`SlidingWindowedKStream::count`](crate::dsl::SlidingWindowedKStream::count), `reduce` and `aggregate`.
pub(crate) struct SlidingAggregate<K, V, A, S> {
    settings: Arc<AggregateSettings<K, V, A, S>>,
    windows: SlidingWindows,
    /// Where the node's stream time is kept.
    time_slot: usize,
    table: WindowTable<K, A>,
}

/// A window that was found: its start, and its result with the time of its last record.
type Found<A> = (i64, Stamped<A>);

/// What the windows around a record say about the three it may make.
struct Around<A> {
    /// Where the windows found start.
    starts: Vec<i64>,
    /// The result of the records before, for the window that ends with the record.
    left: Option<A>,
    left_exists: bool,
    /// The result of the records after, for the window that begins after the record; only if there are any.
    right: Option<Stamped<A>>,
    right_exists: bool,
    /// The time of the record before.
    previous: Option<i64>,
}

impl<A> Around<A> {
    fn new() -> Self {
        Self { starts: Vec::new(), left: None, left_exists: false, right: None, right_exists: false, previous: None }
    }
}

impl<K: 'static, V, A: 'static, S> SlidingAggregate<K, V, A, S>
where
    A: Clone,
    S: Fn(&K, &V, Option<A>) -> Option<A>,
{
    /// Aggregates into `table`.
    pub(crate) fn new(
        settings: Arc<AggregateSettings<K, V, A, S>>,
        windows: SlidingWindows,
        time_slot: usize,
        table: WindowTable<K, A>,
    ) -> Self {
        Self { settings, windows, time_slot, table }
    }

    /// The windows of a key that start between two times, until `done` has seen enough.
    fn find(
        &self,
        cx: &mut Context,
        key: &K,
        (from, to, direction): (i64, i64, Direction),
        done: impl Fn(i64) -> bool,
    ) -> Result<Vec<Found<A>>, StateError> {
        let times = (Timestamp::from_millis(from), Timestamp::from_millis(to));
        let mut store = self.table.store.borrow_mut();
        let mut found = Vec::new();
        for entry in store.fetch(cx, key, times, direction)? {
            let (key, result) = entry?;
            let start = key.window.start.millis();
            found.push((start, result));
            if done(start) {
                break;
            }
        }
        Ok(found)
    }

    /// Adds the record to a window, unless it is closed.
    fn add(
        &mut self,
        cx: &mut Context,
        record: Record<'_, K, V>,
        closed: Timestamp,
        (start, old): (i64, Option<Stamped<A>>),
    ) -> Result<(), ProcessError> {
        if start.saturating_add(self.windows.difference()) < closed.millis() {
            cx.dropped.late += 1;
            return Ok(());
        }
        let time = old.as_ref().map_or(record.timestamp, |old| old.timestamp.max(record.timestamp));
        let old = old.map(|old| old.value);
        if self.table.tells_old() {
            let settings = &self.settings;
            self.table.tell(settings.or_initial(old.clone()));
        }
        let settings = &*self.settings;
        let new = (settings.step)(record.key, record.value, old).filter(|new| !settings.result.is_null(new));
        self.table.update(cx, (record.key, Timestamp::from_millis(start)), new, time)
    }

    /// Makes the window that begins right after the record; its records are there already.
    fn add_right(&mut self, cx: &mut Context, record: Record<'_, K, V>, right: Stamped<A>) -> Result<(), ProcessError> {
        if self.table.tells_old() {
            self.table.tell(None);
        }
        let start = Timestamp::from_millis(record.timestamp.millis() + 1);
        self.table.update(cx, (record.key, start), Some(right.value), right.timestamp)
    }

    /// A record from the time on at which windows can lie before it whole.
    fn add_whole(&mut self, cx: &mut Context, record: Record<'_, K, V>, closed: Timestamp) -> Result<(), ProcessError> {
        let (time, difference) = (record.timestamp.millis(), self.windows.difference());
        let from = time.saturating_sub(difference.saturating_mul(2)).max(0);
        let before = |start: i64| start.saturating_add(difference) < time;
        let found = self.find(cx, record.key, (from, time.saturating_add(1), Direction::Backward), before);
        let mut around = Around::new();
        let mut covering = false;
        for (start, result) in found.map_err(stored::failed(&self.settings.node))? {
            around.starts.push(start);
            let (end, last) = (start.saturating_add(difference), result.timestamp.millis());
            if start == time + 1 {
                around.right_exists = true;
            } else if end > time {
                if !covering && last > time && !around.right_exists {
                    around.right = Some(result.clone());
                }
                covering = true;
                self.add(cx, record, closed, (start, Some(result)))?;
            } else if end == time {
                around.left_exists = true;
                self.add(cx, record, closed, (start, Some(result)))?;
                if last >= time {
                    // A record of this time was there before: all windows are.
                    return Ok(());
                }
                around.previous = Some(last);
            } else {
                around.previous = Some(last);
                around.left = Some(result.value);
            }
        }
        self.make(cx, record, closed, around)
    }

    /// Makes the windows that are not there yet.
    fn make(
        &mut self,
        cx: &mut Context,
        record: Record<'_, K, V>,
        closed: Timestamp,
        around: Around<A>,
    ) -> Result<(), ProcessError> {
        let (time, difference) = (record.timestamp.millis(), self.windows.difference());
        if let Some(after) = around.previous.map(|previous| previous + 1)
            && !around.starts.contains(&after)
            && after.saturating_add(difference) >= time
        {
            self.add(cx, record, closed, (after, None))?;
        }
        if !around.left_exists {
            let reaches = around.previous.is_some_and(|previous| time - difference <= previous);
            let left = around.left.filter(|_| reaches).map(|left| Stamped::new(left, record.timestamp));
            self.add(cx, record, closed, (time - difference, left))?;
        }
        match around.right {
            Some(right) => self.add_right(cx, record, right),
            None => Ok(()),
        }
    }

    /// A record that is so early that the window before it would begin before the epoch: all such records share the
    /// window that begins there.
    fn add_early(&mut self, cx: &mut Context, record: Record<'_, K, V>, closed: Timestamp) -> Result<(), ProcessError> {
        let time = record.timestamp.millis();
        let found = self.find(cx, record.key, (0, time.saturating_add(1), Direction::Forward), |_| false);
        let mut around = Around::new();
        let mut shared: Option<Stamped<A>> = None;
        for (start, result) in found.map_err(stored::failed(&self.settings.node))? {
            around.starts.push(start);
            if start == 0 {
                let last = result.timestamp.millis();
                around.previous = (last < time).then_some(last);
                shared = Some(result);
            } else if start <= time {
                around.right = Some(result.clone());
                self.add(cx, record, closed, (start, Some(result)))?;
            } else {
                around.right_exists = true;
            }
        }
        let right = around.right.or_else(|| shared.clone()).filter(|right| right.timestamp > record.timestamp);
        if let Some(right) = right.filter(|_| !around.right_exists) {
            self.add_right(cx, record, right)?;
        }
        if let Some(after) = around.previous.map(|previous| previous + 1)
            && !around.starts.contains(&after)
        {
            self.add(cx, record, closed, (after, None))?;
        }
        self.add(cx, record, closed, (0, shared))
    }
}

impl<K: 'static, V, A: 'static, S> Process<K, V> for SlidingAggregate<K, V, A, S>
where
    A: Clone,
    S: Fn(&K, &V, Option<A>) -> Option<A>,
{
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        if self.settings.key.is_null(record.key) || self.settings.value.is_null(record.value) {
            cx.dropped.null += 1;
            return Ok(());
        }
        self.table.begin(cx)?;
        let closed = self.windows.closed_before(stored::observe(cx, self.time_slot, record.timestamp));
        let (time, difference) = (record.timestamp.millis(), self.windows.difference());
        if time.saturating_add(difference) < closed.millis() {
            cx.dropped.late += 1;
            return Ok(());
        }
        if time < difference {
            // Kafka Streams does not look for closed windows after such a record; stream time closes none then.
            return self.add_early(cx, record, closed);
        }
        self.add_whole(cx, record, closed)?;
        self.table.emit_closed(cx, closed, record.headers)
    }
}

impl<K: 'static, V, A: 'static, S> Flush for SlidingAggregate<K, V, A, S> {
    fn flush(&mut self, cx: &mut Context) -> Result<(), ProcessError> {
        self.table.flush(cx)
    }
}
