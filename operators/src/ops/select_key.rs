//! `select_key`: replaces the key and keeps the value; also the first half of `group_by`.

use std::sync::Arc;

use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Children, Process, Record};

/// The node of [`KStream::select_key`](crate::dsl::KStream::select_key) and [`KStream::group_by`](crate::dsl::KStream::group_by).
pub(crate) struct SelectKey<L, V, F> {
    selector: Arc<F>,
    down: Children<L, V>,
}

impl<L, V, F> SelectKey<L, V, F> {
    /// Selects with `selector`.
    pub(crate) fn new(selector: Arc<F>, down: Children<L, V>) -> Self {
        Self { selector, down }
    }
}

impl<K, V, L, F: Fn(&K, &V) -> L> Process<K, V> for SelectKey<L, V, F> {
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        let key = (self.selector)(record.key, record.value);
        self.down.forward(cx, record.with_key(&key))
    }
}
