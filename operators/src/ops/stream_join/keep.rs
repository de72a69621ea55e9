//! Keeps the records of one side for the other.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::serdes::SerdeRef;
use millstream_state::store::WindowStore;

use crate::context::Context;
use crate::error::ProcessError;
use crate::ops::moment;
use crate::ops::stored;
use crate::push::{Children, Process, Record};

/// What such a node needs to know; shared by the chains of all tasks.
pub(crate) struct KeepSettings<K, V> {
    /// The node's name.
    pub(crate) node: Arc<str>,
    /// Recognises null keys.
    pub(crate) key: SerdeRef<K>,
    /// Recognises null values.
    pub(crate) value: SerdeRef<V>,
}

/// The node that puts one side's records into its window store, after they were joined.
pub(crate) struct Keep<K, V> {
    settings: Arc<KeepSettings<K, V>>,
    store: Rc<RefCell<WindowStore<K, V>>>,
    down: Children<K, V>,
}

impl<K, V> Keep<K, V> {
    /// Keeps records in `store`.
    pub(crate) fn new(
        settings: Arc<KeepSettings<K, V>>,
        store: Rc<RefCell<WindowStore<K, V>>>,
        down: Children<K, V>,
    ) -> Self {
        Self { settings, store, down }
    }
}

impl<K, V> Process<K, V> for Keep<K, V> {
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        self.down.forward(cx, record)?;
        let KeepSettings { node, key, value } = &*self.settings;
        if key.is_null(record.key) {
            return Ok(());
        }
        // A null is not kept, but counts as a duplicate in the changelog, as Kafka Streams has it.
        let value = Some(record.value).filter(|kept| !value.is_null(kept));
        let mut store = self.store.borrow_mut();
        let Record { key, timestamp, headers, .. } = record;
        moment::at(cx, timestamp, |cx| store.append(cx, key, (timestamp, headers), value)).map_err(stored::failed(node))
    }
}
