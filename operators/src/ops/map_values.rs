//! `map_values`: replaces the value and keeps the key.

use std::sync::Arc;

use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Children, Process, Record};

/// The node of [`KStream::map_values`](crate::dsl::KStream::map_values) and `map_values_with_key`.
pub(crate) struct MapValues<K, U, F> {
    mapper: Arc<F>,
    down: Children<K, U>,
}

impl<K, U, F> MapValues<K, U, F> {
    /// Maps with `mapper`.
    pub(crate) fn new(mapper: Arc<F>, down: Children<K, U>) -> Self {
        Self { mapper, down }
    }
}

impl<K, V, U, F: Fn(&K, &V) -> U> Process<K, V> for MapValues<K, U, F> {
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        let value = (self.mapper)(record.key, record.value);
        self.down.forward(cx, record.with_value(&value))
    }
}
