//! `flat_map`: makes any number of records of each.

use std::sync::Arc;

use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Children, Process, Record};

/// The node of [`KStream::flat_map`](crate::dsl::KStream::flat_map).
pub(crate) struct FlatMap<L, U, F> {
    mapper: Arc<F>,
    down: Children<L, U>,
}

impl<L, U, F> FlatMap<L, U, F> {
    /// Maps with `mapper`.
    pub(crate) fn new(mapper: Arc<F>, down: Children<L, U>) -> Self {
        Self { mapper, down }
    }
}

impl<K, V, L, U, I, F> Process<K, V> for FlatMap<L, U, F>
where
    I: IntoIterator<Item = (L, U)>,
    F: Fn(&K, &V) -> I,
{
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        for (key, value) in (self.mapper)(record.key, record.value) {
            self.down.forward(cx, record.with_key(&key).with_value(&value))?;
        }
        Ok(())
    }
}
