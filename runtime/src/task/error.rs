//! Why a task cannot go on.

use millstream_operators::error::ProcessError;
use millstream_state::error::{EngineError, StateError};
use millstream_state::model::{Offset, TopicPartition};

use super::TaskId;

/// Why a task cannot go on. Nothing of what it had not committed stays.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// A record could not be processed.
    #[error("task {task} stopped at topic {}, partition {}, offset {offset}: {source}", partition.topic, partition.partition)]
    Record {
        /// The task.
        task: TaskId,
        /// The partition the record came from.
        partition: TopicPartition,
        /// Where in it.
        offset: Offset,
        /// Why.
        source: Box<ProcessError>,
    },
    /// What the record cache held back could not be written or handed on.
    #[error("task {task} could not flush its stores: {source}")]
    Flush {
        /// The task.
        task: TaskId,
        /// Why.
        source: Box<ProcessError>,
    },
    /// A processor failed while it was initialised, or when one of its timers ran.
    #[error("task {task} stopped outside of a record: {source}")]
    Processor {
        /// The task.
        task: TaskId,
        /// Why.
        source: Box<ProcessError>,
    },
    /// User code panicked.
    #[error("task {task}: user code panicked {}: {message}", where_it_was(at.as_ref()))]
    Panicked {
        /// The task.
        task: TaskId,
        /// The record that was processed; `None` if it was none, as when the record caches are flushed or a timer runs.
        at: Option<(TopicPartition, Offset)>,
        /// What the panic said.
        message: String,
    },
    /// The task's stores failed outside of a record.
    #[error("task {task}: {source}")]
    State {
        /// The task.
        task: TaskId,
        /// Why.
        source: Box<StateError>,
    },
}

fn where_it_was(at: Option<&(TopicPartition, Offset)>) -> String {
    match at {
        Some((from, offset)) => format!("at topic {}, partition {}, offset {offset}", from.topic, from.partition),
        None => "while record caches were flushed or a timer ran".to_owned(),
    }
}

impl TaskError {
    /// What the storage engine said, if this is because of it: the stores are to be opened again then.
    pub fn storage(&self) -> Option<StorageFault> {
        let state = match self {
            Self::Record { source, .. } | Self::Flush { source, .. } | Self::Processor { source, .. } => {
                match &**source {
                    ProcessError::State { source, .. } => source,
                    _ => return None,
                }
            }
            Self::State { source, .. } => source,
            Self::Panicked { .. } => return None,
        };
        match state {
            StateError::Engine { source: EngineError::Corrupted { .. }, .. } => Some(StorageFault::Corrupted),
            StateError::Engine { .. } | StateError::Unusable => Some(StorageFault::Refused),
            _ => None,
        }
    }
}

/// What became of a task's storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageFault {
    /// What was read does not match its checksum: it must never be served, and is made anew from the changelogs.
    Corrupted,
    /// It could not be read or written: what is on disk is committed, and may be used when it is opened again.
    Refused,
}
