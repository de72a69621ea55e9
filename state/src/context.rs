//! What a store needs of the task it belongs to.

use crate::model::{RecordBuffer, RecordContext};
use crate::store::TaskStores;

/// The state of one task, together with the changelog records that its changes give rise to.
pub struct StateContext {
    /// The stores' bytes.
    pub stores: TaskStores,
    /// Changelog records in the order of the changes; the target is the [`StoreId`](crate::store::StoreId).
    pub changes: RecordBuffer,
    /// The record being processed.
    pub record: RecordContext,
}

impl StateContext {
    /// A context over the stores of a task.
    pub fn new(stores: TaskStores) -> Self {
        Self { stores, changes: RecordBuffer::default(), record: RecordContext::default() }
    }
}

/// A context that a typed store can be used with.
pub trait HasState {
    /// The task's state.
    fn state(&mut self) -> &mut StateContext;
}

impl HasState for StateContext {
    fn state(&mut self) -> &mut StateContext {
        self
    }
}
