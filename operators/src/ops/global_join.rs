//! A stream's records joined with what a global table has for a key made of them.
//!
//! ```text
//!  record → null value? drop : key of the table → look it up, if there is one → joiner → record with the result
//! ```

use std::sync::Arc;

use millstream_state::serdes::SerdeRef;

use super::stored;
use crate::context::Context;
use crate::error::ProcessError;
use crate::global::GlobalReader;
use crate::push::{Children, Process, Record};

/// What such a join needs to know; shared by the chains of all tasks.
pub(crate) struct GlobalJoinSettings<V, M, J> {
    /// The node's name.
    pub(crate) node: Arc<str>,
    /// Recognises null values, if known.
    pub(crate) value: Option<SerdeRef<V>>,
    /// Whether records without a partner have a result.
    pub(crate) left: bool,
    /// The table's key, or `None`.
    pub(crate) mapper: M,
    /// The result from the key, the record's value and the table's; `None` is no result.
    pub(crate) joiner: J,
}

/// The node of [`KStream::join_global_table`](crate::dsl::KStream::join_global_table) and `left_join_global_table`.
pub(crate) struct GlobalJoin<K, V, G, W, R, M, J> {
    pub(crate) settings: Arc<GlobalJoinSettings<V, M, J>>,
    pub(crate) table: GlobalReader<G, W>,
    pub(crate) down: Children<K, R>,
}

impl<K, V, G, W, R, M, J> Process<K, V> for GlobalJoin<K, V, G, W, R, M, J>
where
    M: Fn(&K, &V) -> Option<G>,
    J: Fn(&K, &V, Option<&W>) -> Option<R>,
{
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        let settings = &*self.settings;
        let null_value = settings.value.as_ref().is_some_and(|value| value.is_null(record.value));
        let mapped = if null_value { None } else { (settings.mapper)(record.key, record.value) };
        if null_value || (mapped.is_none() && !settings.left) {
            cx.dropped.null += 1;
            return Ok(());
        }
        let found = match &mapped {
            Some(key) => self.table.get(cx, key).map_err(stored::failed(&settings.node))?,
            None => None,
        };
        match (settings.joiner)(record.key, record.value, found.as_ref().map(|found| &found.value)) {
            Some(joined) => self.down.forward(cx, record.with_value(&joined)),
            None => Ok(()),
        }
    }
}
