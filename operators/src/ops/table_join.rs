//! `join`, `left_join` and `outer_join` of two tables with the same key.
//!
//! ```text
//!  change of the left table  → [this]  looks into the right table ─┐
//!                                                                  ├→ [merge] (keeps the result, if wanted) → nodes below
//!  change of the right table → [other] looks into the left table  ─┘
//! ```
//! The result is as old as the younger of the two values. A side forwards a delete whenever its value goes away and the
//! other side has the key, whether or not there was a result before.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::model::Timestamp;
use millstream_state::store::{KeyValue, Stamped};

use super::lookup::{Lookup, Seen};
use super::stored;
use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Apply, Flush, TableChildren, Update};

/// Which values a result needs, as one side sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Its own.
    pub(crate) own: bool,
    /// That of the other side.
    pub(crate) other: bool,
}

/// What a side hands down.
#[derive(Clone, Copy)]
pub(crate) struct SideShows {
    pub(crate) needs: Needs,
    /// Whether old results go along.
    pub(crate) old: bool,
    /// Whether its table keeps versions: then changes to the past are none of the join.
    pub(crate) versions: bool,
}

/// The node of one side of a table–table join; `W` is the value of the other side.
pub(crate) struct TableJoinSide<K, W, U, F> {
    other: Box<dyn Lookup<K, W>>,
    join: F,
    shows: SideShows,
    merge: Rc<RefCell<TableMerge<K, U>>>,
}

impl<K, W, U, F> TableJoinSide<K, W, U, F> {
    /// Joins with what `other` shows and hands the result to `merge`.
    pub(crate) fn new(
        other: Box<dyn Lookup<K, W>>,
        join: F,
        shows: SideShows,
        merge: Rc<RefCell<TableMerge<K, U>>>,
    ) -> Self {
        Self { other, join, shows, merge }
    }
}

impl<K, V, W, U, F> Apply<K, V> for TableJoinSide<K, W, U, F>
where
    F: Fn(Option<&V>, Option<&W>) -> Option<U>,
{
    fn apply(&mut self, cx: &mut Context, update: Update<'_, K, V>) -> Result<(), ProcessError> {
        let SideShows { needs, old: send_old, versions } = self.shows;
        if versions && !update.latest {
            cx.dropped.late += 1;
            return Ok(());
        }
        let join = &self.join;
        let mut result = None;
        self.other.look(cx, update.key, Timestamp::from_millis(i64::MAX), &mut |found| {
            let nothing = update.new.is_none() && update.old.is_none();
            if found.is_none() && (needs.other || nothing) {
                return;
            }
            let value = found.as_ref().map(|found| found.value);
            let of = |own: &Option<V>| match own {
                None if needs.own || value.is_none() => None,
                own => join(own.as_ref(), value),
            };
            let (new, old) = (of(update.new), if send_old { of(update.old) } else { None });
            let timestamp = found.map_or(update.timestamp, |found| found.timestamp.max(update.timestamp));
            result = Some((new, old, timestamp));
        })?;
        let Some((new, old, timestamp)) = result else { return Ok(()) };
        let Update { key, headers, latest, .. } = update;
        let update = Update { key, new: &None, old: &old, timestamp, headers, latest };
        stored::at(cx, timestamp, |cx| self.merge.borrow_mut().take(cx, update, new))
    }
}

/// The node below both sides.
pub(crate) struct TableMerge<K, U> {
    node: Arc<str>,
    store: Option<Rc<RefCell<KeyValue<K, U>>>>,
    send_old: bool,
    down: TableChildren<K, U>,
}

impl<K, U> TableMerge<K, U> {
    /// Keeps results in `store`, or hands them to `down` at once.
    pub(crate) fn new(
        node: Arc<str>,
        store: Option<Rc<RefCell<KeyValue<K, U>>>>,
        send_old: bool,
        down: TableChildren<K, U>,
    ) -> Self {
        Self { node, store, send_old, down }
    }

    /// Takes a change whose new value comes by itself, because a store may keep it.
    fn take(&mut self, cx: &mut Context, update: Update<'_, K, U>, new: Option<U>) -> Result<(), ProcessError> {
        let Some(store) = &self.store else {
            return self.down.forward(cx, Update { new: &new, ..update });
        };
        let mut store = store.borrow_mut();
        store.update(cx, update.key, new, update.timestamp).map_err(stored::failed(&self.node))?;
        let full = store.must_flush();
        drop(store);
        if full { self.flush(cx) } else { Ok(()) }
    }
}

impl<K, U> Flush for TableMerge<K, U> {
    fn flush(&mut self, cx: &mut Context) -> Result<(), ProcessError> {
        let Some(store) = &self.store else { return Ok(()) };
        // The store is not borrowed while the nodes below run: they may look into it.
        while let Some(mut update) = stored::next(store, cx, self.send_old).map_err(stored::failed(&self.node))? {
            stored::forward(cx, &self.down, &mut update)?;
            store.borrow_mut().put_back(update);
        }
        Ok(())
    }
}

/// The result of a join that is not kept, seen from the side.
pub(crate) struct TableJoinLookup<K, V, W, F> {
    left: Box<dyn Lookup<K, V>>,
    right: Box<dyn Lookup<K, W>>,
    needs: Needs,
    join: Arc<F>,
}

impl<K, V, W, F> TableJoinLookup<K, V, W, F> {
    /// Joins what `left` and `right` show.
    pub(crate) fn new(left: Box<dyn Lookup<K, V>>, right: Box<dyn Lookup<K, W>>, needs: Needs, join: Arc<F>) -> Self {
        Self { left, right, needs, join }
    }
}

impl<K, V, W, U, F> Lookup<K, U> for TableJoinLookup<K, V, W, F>
where
    V: Clone,
    F: Fn(Option<&V>, Option<&W>) -> Option<U>,
{
    fn look(&mut self, cx: &mut Context, key: &K, as_of: Timestamp, seen: Seen<'_, U>) -> Result<(), ProcessError> {
        // Both sides may be in one store, so the left value is not kept borrowed while the right one is looked up.
        let mut left = None;
        self.left.look(cx, key, as_of, &mut |found| {
            left = found.map(|found| Stamped::new(found.value.clone(), found.timestamp));
        })?;
        if self.needs.own && left.is_none() {
            seen(None);
            return Ok(());
        }
        let (needs, join) = (self.needs, &self.join);
        self.right.look(cx, key, as_of, &mut |right| {
            if right.is_none() && (needs.other || left.is_none()) {
                return seen(None);
            }
            let time = |found: Option<Timestamp>| found.unwrap_or(Timestamp::UNKNOWN);
            let timestamp =
                time(left.as_ref().map(|left| left.timestamp)).max(time(right.map(|right| right.timestamp)));
            let value = join(left.as_ref().map(|left| &left.value), right.map(|right| right.value));
            seen(value.as_ref().map(|value| Stamped { value, timestamp }));
        })
    }
}
