//! What can go wrong in a store or a serde.

use crate::model::TopicId;

/// Any error as a cause.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A value could not be encoded or decoded.
#[derive(Debug, thiserror::Error)]
#[error("{expected}: {reason}")]
pub struct SerdeError {
    /// What the bytes were expected to be, e.g. `i64 (8 bytes big-endian)`.
    pub expected: &'static str,
    /// What was found instead.
    pub reason: String,
}

impl SerdeError {
    /// An error that says what was expected and what was found.
    pub fn new(expected: &'static str, reason: impl Into<String>) -> Self {
        Self { expected, reason: reason.into() }
    }
}

/// The storage engine refused.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The directory belongs to another process.
    #[error("state directory {path} is locked by another process; give this one a directory of its own")]
    Locked {
        /// The directory.
        path: String,
    },
    /// Reading or writing failed: disk full, read-only, removed, corrupted.
    #[error("{action} in {path} failed: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The database's directory.
        path: String,
        /// What the engine said.
        source: BoxError,
    },
    /// The data read do not match their checksum or their format.
    #[error("{path} is corrupted: {source}; it will be rebuilt from the changelog")]
    Corrupted {
        /// The database's directory.
        path: String,
        /// What the engine said.
        source: BoxError,
    },
}

/// A store could not be read or written.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The engine below failed.
    #[error("store {store}: {source}")]
    Engine {
        /// The store's name.
        store: String,
        /// Why.
        source: EngineError,
    },
    /// A key or value of the store could not be encoded or decoded.
    #[error("store {store}: {what} is not {source}")]
    Serde {
        /// The store's name.
        store: String,
        /// `key` or `value`.
        what: &'static str,
        /// Why.
        source: SerdeError,
    },
    /// The store's bytes are not what this version writes.
    #[error("store {store}: {reason}")]
    Format {
        /// The store's name.
        store: String,
        /// What is wrong.
        reason: String,
    },
    /// The changelog is another topic than the one the store was built from.
    #[error("store {store} was built from topic id {was:?}, its changelog now has id {is:?}")]
    ForeignChangelog {
        /// The store's name.
        store: String,
        /// The id remembered with the store.
        was: TopicId,
        /// The id the broker reports.
        is: TopicId,
    },
    /// A write of committed data has failed before, so that it is not known what the disk holds.
    #[error("the stores of this task cannot be used after a failed write; close the task and open it again")]
    Unusable,
}
