//! `to_table`: the records of a stream as the changes of a table, which is kept in a store where somebody needs it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::serdes::SerdeRef;

use super::table_source::Kept;
use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Process, Record, TableChildren, Update};

/// What such a node needs to know; shared by the chains of all tasks.
pub(crate) struct ToTableSettings<K, V, F> {
    /// Recognises null keys.
    pub(crate) key: SerdeRef<K>,
    /// Recognises null values.
    pub(crate) value: SerdeRef<V>,
    /// The table's value for a record's.
    pub(crate) of: F,
}

/// The node of [`KStream::to_table`](crate::dsl::KStream::to_table) and its relatives.
pub(crate) struct ToTable<K, V, F> {
    settings: Arc<ToTableSettings<K, V, F>>,
    kept: Option<Rc<RefCell<Kept<K, V>>>>,
    down: Rc<TableChildren<K, V>>,
}

impl<K, V, F> ToTable<K, V, F> {
    /// Hands changes to `kept`, or without one to `down`.
    pub(crate) fn new(
        settings: Arc<ToTableSettings<K, V, F>>,
        kept: Option<Rc<RefCell<Kept<K, V>>>>,
        down: Rc<TableChildren<K, V>>,
    ) -> Self {
        Self { settings, kept, down }
    }
}

impl<K, R, V, F: Fn(&R) -> Option<V>> Process<K, R> for ToTable<K, V, F> {
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, R>) -> Result<(), ProcessError> {
        let ToTableSettings { key, value, of } = &*self.settings;
        if key.is_null(record.key) {
            cx.dropped.null += 1;
            return Ok(());
        }
        let new = of(record.value).filter(|new| !value.is_null(new));
        if let Some(kept) = &self.kept {
            return kept.borrow_mut().update(cx, record.key, new, record.timestamp);
        }
        let Record { key, timestamp, headers, .. } = record;
        self.down.forward(cx, Update { key, new: &new, old: &None, timestamp, headers, latest: true })
    }
}
