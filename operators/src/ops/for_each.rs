//! `for_each`: looks at each record, and ends there.

use std::sync::Arc;

use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Process, Record};

/// The node of [`KStream::for_each`](crate::dsl::KStream::for_each).
pub(crate) struct ForEach<F> {
    action: Arc<F>,
}

impl<F> ForEach<F> {
    /// Does `action`.
    pub(crate) fn new(action: Arc<F>) -> Self {
        Self { action }
    }
}

impl<K, V, F: Fn(&K, &V)> Process<K, V> for ForEach<F> {
    fn process(&mut self, _cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        (self.action)(record.key, record.value);
        Ok(())
    }
}
