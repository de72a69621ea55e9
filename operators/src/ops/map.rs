//! `map`: replaces key and value.

use std::sync::Arc;

use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Children, Process, Record};

/// The node of [`KStream::map`](crate::dsl::KStream::map).
pub(crate) struct Map<L, U, F> {
    mapper: Arc<F>,
    down: Children<L, U>,
}

impl<L, U, F> Map<L, U, F> {
    /// Maps with `mapper`.
    pub(crate) fn new(mapper: Arc<F>, down: Children<L, U>) -> Self {
        Self { mapper, down }
    }
}

impl<K, V, L, U, F: Fn(&K, &V) -> (L, U)> Process<K, V> for Map<L, U, F> {
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        let (key, value) = (self.mapper)(record.key, record.value);
        self.down.forward(cx, record.with_key(&key).with_value(&value))
    }
}
