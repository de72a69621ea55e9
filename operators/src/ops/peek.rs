//! `peek`: looks at each record and passes it on.

use std::sync::Arc;

use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Children, Process, Record};

/// The node of [`KStream::peek`](crate::dsl::KStream::peek).
pub(crate) struct Peek<K, V, F> {
    look: Arc<F>,
    down: Children<K, V>,
}

impl<K, V, F> Peek<K, V, F> {
    /// Looks with `look`.
    pub(crate) fn new(look: Arc<F>, down: Children<K, V>) -> Self {
        Self { look, down }
    }
}

impl<K, V, F: Fn(&K, &V)> Process<K, V> for Peek<K, V, F> {
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        (self.look)(record.key, record.value);
        self.down.forward(cx, record)
    }
}
