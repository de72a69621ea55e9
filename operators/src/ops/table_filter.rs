//! `filter` and `filter_not` of a table: a value that is not wanted becomes a delete.

use std::sync::Arc;

use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Apply, TableChildren, Update};

/// What such a node hands down.
#[derive(Clone, Copy)]
pub(crate) struct FilterShows {
    /// What the predicate must answer.
    pub(crate) keep: bool,
    /// Whether old values come from above, so that it is known what the nodes below have seen.
    pub(crate) old: bool,
    /// Whether the table above keeps versions: then each of its changes counts, also one between two unwanted values.
    pub(crate) versions: bool,
}

/// The node of [`KTable::filter`](crate::dsl::KTable::filter) and `filter_not`.
pub(crate) struct TableFilter<K, V, F> {
    predicate: Arc<F>,
    shows: FilterShows,
    down: TableChildren<K, V>,
}

impl<K, V, F: Fn(&K, &V) -> bool> TableFilter<K, V, F> {
    /// Passes on the values that the predicate wants.
    pub(crate) fn new(predicate: Arc<F>, shows: FilterShows, down: TableChildren<K, V>) -> Self {
        Self { predicate, shows, down }
    }

    fn wants(&self, key: &K, value: &Option<V>) -> bool {
        value.as_ref().is_some_and(|value| (self.predicate)(key, value) == self.shows.keep)
    }
}

impl<K, V, F: Fn(&K, &V) -> bool> Apply<K, V> for TableFilter<K, V, F> {
    fn apply(&mut self, cx: &mut Context, update: Update<'_, K, V>) -> Result<(), ProcessError> {
        let new = self.wants(update.key, update.new);
        let old = self.shows.old && self.wants(update.key, update.old);
        if self.shows.old && !self.shows.versions && !new && !old {
            return Ok(());
        }
        let new = if new { update.new } else { &None };
        let old = if old { update.old } else { &None };
        self.down.forward(cx, Update { new, old, ..update })
    }
}
