//! `flat_map_values`: makes any number of records of each, all with its key.

use std::sync::Arc;

use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Children, Process, Record};

/// The node of [`KStream::flat_map_values`](crate::dsl::KStream::flat_map_values) and `flat_map_values_with_key`.
pub(crate) struct FlatMapValues<K, U, F> {
    mapper: Arc<F>,
    down: Children<K, U>,
}

impl<K, U, F> FlatMapValues<K, U, F> {
    /// Maps with `mapper`.
    pub(crate) fn new(mapper: Arc<F>, down: Children<K, U>) -> Self {
        Self { mapper, down }
    }
}

impl<K, V, U, I, F> Process<K, V> for FlatMapValues<K, U, F>
where
    I: IntoIterator<Item = U>,
    F: Fn(&K, &V) -> I,
{
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        for value in (self.mapper)(record.key, record.value) {
            self.down.forward(cx, record.with_value(&value))?;
        }
        Ok(())
    }
}
