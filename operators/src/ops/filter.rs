//! `filter` and `filter_not`: pass on the records that a predicate wants.

use std::sync::Arc;

use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Children, Process, Record};

/// The node of [`KStream::filter`](crate::dsl::KStream::filter) and `filter_not`.
pub(crate) struct Filter<K, V, F> {
    predicate: Arc<F>,
    keep: bool,
    down: Children<K, V>,
}

impl<K, V, F> Filter<K, V, F> {
    /// Passes on the records for which the predicate answers `keep`.
    pub(crate) fn new(predicate: Arc<F>, keep: bool, down: Children<K, V>) -> Self {
        Self { predicate, keep, down }
    }
}

impl<K, V, F: Fn(&K, &V) -> bool> Process<K, V> for Filter<K, V, F> {
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        if (self.predicate)(record.key, record.value) == self.keep {
            self.down.forward(cx, record)?;
        }
        Ok(())
    }
}
