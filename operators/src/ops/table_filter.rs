//! `filter` and `filter_not` of a table: a value that is not wanted becomes a delete.

use std::sync::Arc;

use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Apply, TableChildren, Update};

/// The node of [`KTable::filter`](crate::dsl::KTable::filter) and `filter_not`.
pub(crate) struct TableFilter<K, V, F> {
    predicate: Arc<F>,
    keep: bool,
    /// Whether old values come from above, so that it is known what the nodes below have seen.
    knows_old: bool,
    down: TableChildren<K, V>,
}

impl<K, V, F: Fn(&K, &V) -> bool> TableFilter<K, V, F> {
    /// Passes on the values for which the predicate answers `keep`.
    pub(crate) fn new(predicate: Arc<F>, keep: bool, knows_old: bool, down: TableChildren<K, V>) -> Self {
        Self { predicate, keep, knows_old, down }
    }

    fn wants(&self, key: &K, value: &Option<V>) -> bool {
        value.as_ref().is_some_and(|value| (self.predicate)(key, value) == self.keep)
    }
}

impl<K, V, F: Fn(&K, &V) -> bool> Apply<K, V> for TableFilter<K, V, F> {
    fn apply(&mut self, cx: &mut Context, update: Update<'_, K, V>) -> Result<(), ProcessError> {
        let new = self.wants(update.key, update.new);
        let old = self.knows_old && self.wants(update.key, update.old);
        if self.knows_old && !new && !old {
            return Ok(());
        }
        let new = if new { update.new } else { &None };
        let old = if old { update.old } else { &None };
        self.down.forward(cx, Update { new, old, ..update })
    }
}
