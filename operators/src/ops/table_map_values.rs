//! `map_values` of a table: maps what is there and passes deletes on.

use std::sync::Arc;

use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Apply, TableChildren, Update};

/// The node of [`KTable::map_values`](crate::dsl::KTable::map_values) and its relatives.
pub(crate) struct TableMapValues<K, U, F> {
    mapper: Arc<F>,
    send_old: bool,
    down: TableChildren<K, U>,
}

impl<K, U, F> TableMapValues<K, U, F> {
    /// Maps with `mapper`, old values too if somebody below needs them.
    pub(crate) fn new(mapper: Arc<F>, send_old: bool, down: TableChildren<K, U>) -> Self {
        Self { mapper, send_old, down }
    }
}

impl<K, V, U, F: Fn(&K, &V) -> Option<U>> Apply<K, V> for TableMapValues<K, U, F> {
    fn apply(&mut self, cx: &mut Context, update: Update<'_, K, V>) -> Result<(), ProcessError> {
        let map = |value: &Option<V>| value.as_ref().and_then(|value| (self.mapper)(update.key, value));
        let new = map(update.new);
        let old = if self.send_old { map(update.old) } else { None };
        let Update { key, timestamp, headers, latest, .. } = update;
        self.down.forward(cx, Update { key, new: &new, old: &old, timestamp, headers, latest })
    }
}
