//! Ordered key-value storage with atomic batches: one database per task, one family per store or window segment.
//!
//! An engine holds committed data only. What a transaction has not committed yet lives in the uncommitted layer above.

#[cfg(feature = "rocksdb")]
mod exit;
mod memory;
#[cfg(feature = "rocksdb")]
mod rocks;
#[cfg(feature = "rocksdb")]
mod rocks_options;
#[cfg(test)]
mod tests;

use std::ops::Bound;

pub use self::memory::{Fault, MemoryEngine, MemoryStorage};
#[cfg(feature = "rocksdb")]
pub use self::rocks::{RocksSettings, RocksStorage};

use crate::error::EngineError;

/// The family that marks and the like are kept in. No store can have this name: a topic name has no `@`.
pub const META_FAMILY: &str = "@meta";

/// A family (RocksDB: column family) that is open in an engine. Valid until the family is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FamilyId(pub u32);

/// A range of keys.
pub type KeyRange<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the smallest key up.
    Forward,
    /// From the largest key down.
    Backward,
}

/// A key and its value, as a scan gives them.
pub type Entry = (Box<[u8]>, Box<[u8]>);

/// A running scan.
pub type Scan<'a> = Box<dyn Iterator<Item = Result<Entry, EngineError>> + 'a>;

/// One change of a batch.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// Sets a key.
    Put(FamilyId, &'a [u8], &'a [u8]),
    /// Removes a key.
    Delete(FamilyId, &'a [u8]),
}

/// A key with its value, or without one if it is deleted.
pub type FilledRow<'a> = (&'a [u8], Option<&'a [u8]>);

/// Ordered key-value storage.
pub trait Engine: Send + Sync {
    /// The names of the families that exist.
    fn families(&self) -> Vec<String>;

    /// Opens a family, creating it if it does not exist.
    ///
    /// # Errors
    /// If the engine cannot write.
    fn open_family(&mut self, name: &str) -> Result<FamilyId, EngineError>;

    /// Drops a family with all that is in it; cheap whatever its size.
    ///
    /// # Errors
    /// If the engine cannot write.
    fn drop_family(&mut self, family: FamilyId) -> Result<(), EngineError>;

    /// Appends the value of `key` to `out` and answers whether there is one.
    ///
    /// # Errors
    /// If the engine cannot read.
    fn get(&self, family: FamilyId, key: &[u8], out: &mut Vec<u8>) -> Result<bool, EngineError>;

    /// The entries of a range in key order. The scan sees the state at the time of the call.
    ///
    /// # Errors
    /// If the engine cannot read.
    fn scan(&self, family: FamilyId, range: KeyRange<'_>, direction: Direction) -> Result<Scan<'_>, EngineError>;

    /// About how many entries a family has; counted by default.
    ///
    /// # Errors
    /// If the engine cannot read.
    fn approximate_len(&self, family: FamilyId) -> Result<u64, EngineError> {
        let mut count = 0;
        for entry in self.scan(family, (Bound::Unbounded, Bound::Unbounded), Direction::Forward)? {
            entry?;
            count += 1;
        }
        Ok(count)
    }

    /// Applies all changes in one atomic write: after a crash either all of them are there or none.
    ///
    /// # Errors
    /// If the engine cannot write; then nothing is changed.
    fn write(&mut self, changes: &mut dyn Iterator<Item = Change<'_>>) -> Result<(), EngineError>;

    /// [`Engine::write`] of much that will not be read soon: a restore.
    ///
    /// # Errors
    /// As [`Engine::write`].
    fn load(&mut self, changes: &mut dyn Iterator<Item = Change<'_>>) -> Result<(), EngineError> {
        self.write(changes)
    }

    /// How many bytes of rows [`Engine::fill`] is best given at once.
    fn fill_size(&self) -> usize {
        0
    }

    /// Adds rows to a family that is filled from its changelog, in the order of their keys, each once: newer ones than all that it
    /// has. They survive the end of the process, and of the machine if nothing else was written.
    ///
    /// # Errors
    /// If the engine cannot write; then nothing is changed.
    fn fill(&mut self, family: FamilyId, rows: &mut dyn Iterator<Item = FilledRow<'_>>) -> Result<(), EngineError> {
        self.write(&mut rows.map(|(key, value)| match value {
            Some(value) => Change::Put(family, key, value),
            None => Change::Delete(family, key),
        }))
    }

    /// The family is filled: reads and other writes follow.
    ///
    /// # Errors
    /// If the engine cannot write.
    fn filled(&mut self, family: FamilyId) -> Result<(), EngineError> {
        let _ = family;
        Ok(())
    }

    /// Makes everything written so far survive the loss of the machine.
    ///
    /// # Errors
    /// If the engine cannot write.
    fn sync(&mut self) -> Result<(), EngineError>;
}

/// Where the databases of an instance live. Cloned handles share caches and budgets.
pub trait Storage: Send + Sync {
    /// Opens the database of a task, creating it if it does not exist.
    ///
    /// # Errors
    /// If it is locked, corrupted, or cannot be written.
    fn open(&self, task: &str) -> Result<Box<dyn Engine>, EngineError>;

    /// Removes the database of a task.
    ///
    /// # Errors
    /// If it cannot be removed.
    fn destroy(&self, task: &str) -> Result<(), EngineError>;

    /// The tasks that have a database here.
    ///
    /// # Errors
    /// If the directory cannot be read.
    fn tasks(&self) -> Result<Vec<String>, EngineError>;
}

/// Whether a range holds nothing whatever the keys; `BTreeMap` panics on some of these.
pub(crate) fn is_empty(range: &KeyRange<'_>) -> bool {
    match range {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to) | Bound::Included(to)) => from >= to,
        _ => false,
    }
}
