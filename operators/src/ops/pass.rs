//! A node that passes everything on: what `merge` and each branch of `split` are.

use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Children, Process, Record};

/// The node of [`KStream::merge`](crate::dsl::KStream::merge) and of a branch.
pub(crate) struct Pass<K, V> {
    down: Children<K, V>,
}

impl<K, V> Pass<K, V> {
    /// Passes on to `down`.
    pub(crate) fn new(down: Children<K, V>) -> Self {
        Self { down }
    }
}

impl<K, V> Process<K, V> for Pass<K, V> {
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        self.down.forward(cx, record)
    }
}
