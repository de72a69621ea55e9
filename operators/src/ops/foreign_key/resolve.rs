//! Joins an answer with the left row, if the row is still the one that asked.

use std::sync::Arc;

use millstream_state::model::Timestamp;
use millstream_state::serdes::SerdeRef;

use super::refused;
use crate::context::Context;
use crate::error::ProcessError;
use crate::foreign_key::{Response, hash};
use crate::ops::lookup::Lookup;
use crate::push::{Children, Process, Record};

/// The node that takes answers from their topic.
pub(crate) struct Resolve<K, V, W, U> {
    node: Arc<str>,
    value: SerdeRef<V>,
    rows: Box<dyn Lookup<K, V>>,
    join: Join<V, W, U>,
    down: Children<K, Option<U>>,
}

/// The result of a row and the value of its foreign key; decides itself what is none.
pub(crate) type Join<V, W, U> = Arc<dyn Fn(&V, Option<&W>) -> Option<U> + Send + Sync>;

impl<K, V, W, U> Resolve<K, V, W, U> {
    /// Joins with what `rows` shows. `value` makes the bytes that are hashed.
    pub(crate) fn new(
        (node, value): (Arc<str>, SerdeRef<V>),
        rows: Box<dyn Lookup<K, V>>,
        join: Join<V, W, U>,
        down: Children<K, Option<U>>,
    ) -> Self {
        Self { node, value, rows, join, down }
    }
}

impl<K, V, W, U> Process<K, Response<W>> for Resolve<K, V, W, U> {
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, Response<W>>) -> Result<(), ProcessError> {
        let (serde, join, answer) = (&self.value, &self.join, record.value);
        let mut result = Ok(None);
        self.rows.look(cx, record.key, Timestamp::from_millis(i64::MAX), &mut |row| {
            let Some(row) = row else {
                // The row is gone: only its own delete has an answer without a hash.
                result = Ok(answer.hash.is_none().then_some(None));
                return;
            };
            let mut bytes = Vec::new();
            result = serde.encode(row.value, &mut bytes).map(|()| {
                let current = answer.hash == Some(hash(&bytes));
                current.then(|| join(row.value, answer.foreign_value.as_ref()))
            });
        })?;
        match result.map_err(refused(&self.node, "value"))? {
            Some(value) => self.down.forward(cx, record.with_value(&value)),
            None => Ok(()),
        }
    }
}
