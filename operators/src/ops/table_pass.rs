//! The node below the aggregations of a cogroup: hands on what any of them did to their common table.

use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Apply, TableChildren, Update};

/// The node that the aggregations of a [`CogroupedKStream`](crate::dsl::CogroupedKStream) have in common.
pub(crate) struct TablePass<K, V> {
    down: TableChildren<K, V>,
}

impl<K, V> TablePass<K, V> {
    /// Hands changes to `down`.
    pub(crate) fn new(down: TableChildren<K, V>) -> Self {
        Self { down }
    }
}

impl<K, V> Apply<K, V> for TablePass<K, V> {
    fn apply(&mut self, cx: &mut Context, update: Update<'_, K, V>) -> Result<(), ProcessError> {
        self.down.forward(cx, update)
    }
}
