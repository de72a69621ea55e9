//! The proof that a transaction has committed, and how far a store's changelog has been applied.

use crate::model::{Position, Timestamp, TopicId};

/// The proof that the transaction with the uncommitted changes has committed.
///
/// Only the commit protocol makes one, after the broker has said so; without it state cannot be persisted.
#[derive(Debug)]
pub struct Committed {
    sequence: u64,
}

impl Committed {
    /// Testifies that commit number `sequence` of its worker has succeeded. For the commit protocol and for drivers
    /// that stand in for a broker; anywhere else it breaks exactly-once.
    pub fn testify(sequence: u64) -> Self {
        Self { sequence }
    }

    /// The number of the commit.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// How far the committed state of a store has come along its changelog. Kept with the store, in the same atomic write
/// as its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangelogMark {
    /// The changelog topic's id: positions in another topic of the same name mean nothing.
    pub topic: TopicId,
    /// A lower bound of what the store holds: everything before it is in the store.
    pub position: Position,
    /// Wall-clock time of the write: a store older than the changelog's `delete.retention.ms` may have missed deletes.
    pub applied_at: Timestamp,
}
