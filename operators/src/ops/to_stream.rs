//! `to_stream`: the changes of a table as records.

use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Apply, Children, Record, Update};

/// The node of [`KTable::to_stream`](crate::dsl::KTable::to_stream).
pub(crate) struct ToStream<K, V> {
    down: Children<K, Option<V>>,
}

impl<K, V> ToStream<K, V> {
    /// Hands records to `down`.
    pub(crate) fn new(down: Children<K, Option<V>>) -> Self {
        Self { down }
    }
}

impl<K, V> Apply<K, V> for ToStream<K, V> {
    fn apply(&mut self, cx: &mut Context, update: Update<'_, K, V>) -> Result<(), ProcessError> {
        let Update { key, new, timestamp, headers, .. } = update;
        self.down.forward(cx, Record { key, value: new, timestamp, headers })
    }
}
