//! A stream's records joined with the table's value of their key, at once.
//!
//! ```text
//!  record → null key or value? drop : look the key up in the table → joiner → record with the result
//! ```

use std::sync::Arc;

use millstream_state::serdes::SerdeRef;

use super::lookup::Lookup;
use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Children, Process, Record};

/// What a join with a table needs to know; shared by the chains of all tasks.
pub(crate) struct StreamTableSettings<K, V, J> {
    /// The node's name.
    pub(crate) node: Arc<str>,
    /// Recognises null keys, if known.
    pub(crate) key: Option<SerdeRef<K>>,
    /// Recognises null values, if known.
    pub(crate) value: Option<SerdeRef<V>>,
    /// Whether records without a partner have a result; those with a null key are then such.
    pub(crate) left: bool,
    /// The result from the key, the record's value and the table's; `None` is no result.
    pub(crate) joiner: J,
}

/// What becomes of a record before the table is asked.
pub(crate) enum Admitted {
    /// It has nothing to be joined by.
    Dropped,
    /// It has a key.
    Keyed,
    /// It has none, but has a result all the same.
    Unkeyed,
}

impl<K, V, J> StreamTableSettings<K, V, J> {
    fn admit(&self, cx: &mut Context, record: &Record<'_, K, V>) -> Admitted {
        let null_key = self.key.as_ref().is_some_and(|key| key.is_null(record.key));
        let null_value = self.value.as_ref().is_some_and(|value| value.is_null(record.value));
        if null_value || (null_key && !self.left) {
            cx.dropped.null += 1;
            Admitted::Dropped
        } else if null_key {
            Admitted::Unkeyed
        } else {
            Admitted::Keyed
        }
    }
}

/// The node of [`KStream::join_table`](crate::dsl::KStream::join_table) and `left_join_table`.
pub(crate) struct StreamTableJoin<K, V, W, R, J> {
    settings: Arc<StreamTableSettings<K, V, J>>,
    table: Box<dyn Lookup<K, W>>,
    down: Children<K, R>,
}

impl<K, V, W, R, J> StreamTableJoin<K, V, W, R, J>
where
    J: Fn(&K, &V, Option<&W>) -> Option<R>,
{
    /// Joins with `table`.
    pub(crate) fn new(
        settings: Arc<StreamTableSettings<K, V, J>>,
        table: Box<dyn Lookup<K, W>>,
        down: Children<K, R>,
    ) -> Self {
        Self { settings, table, down }
    }

    /// Decides by nulls what becomes of a record.
    pub(crate) fn admit(&self, cx: &mut Context, record: &Record<'_, K, V>) -> Admitted {
        self.settings.admit(cx, record)
    }

    /// Joins a record with a key. A table that keeps versions gives the one of the record's time.
    pub(crate) fn join(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        let joiner = &self.settings.joiner;
        let mut joined = None;
        self.table.look(cx, record.key, record.timestamp, &mut |found| {
            joined = joiner(record.key, record.value, found.map(|found| found.value));
        })?;
        self.forward(cx, record, joined)
    }

    fn forward(&self, cx: &mut Context, record: Record<'_, K, V>, joined: Option<R>) -> Result<(), ProcessError> {
        match &joined {
            Some(joined) => self.down.forward(cx, record.with_value(joined)),
            None => Ok(()),
        }
    }
}

impl<K, V, W, R, J> Process<K, V> for StreamTableJoin<K, V, W, R, J>
where
    J: Fn(&K, &V, Option<&W>) -> Option<R>,
{
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        match self.settings.admit(cx, &record) {
            Admitted::Dropped => Ok(()),
            Admitted::Keyed => self.join(cx, record),
            Admitted::Unkeyed => {
                let joined = (self.settings.joiner)(record.key, record.value, None);
                self.forward(cx, record, joined)
            }
        }
    }
}
