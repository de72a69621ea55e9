//! The stores of one task as bytes: an uncommitted layer over the engines that hold what is committed.

use crate::commit::{ChangelogMark, Committed};
use crate::engine::Engine;
use crate::error::StateError;
use crate::model::RawRecord;

use super::{StoreId, StoreSpec};

/// The stores of one task.
pub struct TaskStores {
    specs: Vec<StoreSpec>,
}

impl TaskStores {
    /// Opens the stores of a task; those in memory get an engine of their own.
    ///
    /// # Errors
    /// If the engine cannot be read or written, or its format is another.
    pub fn open(specs: &[StoreSpec], durable: Box<dyn Engine>) -> Result<Self, StateError> {
        todo!()
    }

    /// What the stores are, by [`StoreId`].
    pub fn specs(&self) -> &[StoreSpec] {
        &self.specs
    }

    /// How far the store's committed content has come along its changelog; `None` for an empty store.
    pub fn mark(&self, store: StoreId) -> Option<ChangelogMark> {
        todo!()
    }

    /// Drops a store's content and its mark: it is to be rebuilt.
    ///
    /// # Errors
    /// If the engine cannot write.
    pub fn reset(&mut self, store: StoreId) -> Result<(), StateError> {
        todo!()
    }

    /// Writes committed changelog records straight to the engine, in one atomic write with the mark. Answers how many.
    ///
    /// # Errors
    /// If the engine cannot write; nothing is changed then.
    pub fn restore(
        &mut self,
        store: StoreId,
        records: &mut dyn Iterator<Item = RawRecord<'_>>,
        mark: ChangelogMark,
    ) -> Result<usize, StateError> {
        todo!()
    }

    /// How many bytes the uncommitted layer holds.
    pub fn uncommitted_bytes(&self) -> usize {
        todo!()
    }

    /// Writes the uncommitted layer and the marks in one atomic write per engine, then drops expired segments.
    ///
    /// # Errors
    /// If an engine cannot write; the stores then refuse everything until they are opened again.
    pub fn apply(&mut self, proof: &Committed, marks: &[(StoreId, ChangelogMark)]) -> Result<(), StateError> {
        todo!()
    }

    /// Forgets the uncommitted layer.
    pub fn rollback(&mut self) {
        todo!()
    }

    /// Makes what was applied survive the loss of the machine.
    ///
    /// # Errors
    /// If an engine cannot write.
    pub fn sync(&mut self) -> Result<(), StateError> {
        todo!()
    }
}
