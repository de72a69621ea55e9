//! Why a task cannot go on.

use millstream_operators::error::ProcessError;
use millstream_state::error::StateError;
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
    /// The task's stores failed outside of a record.
    #[error("task {task}: {source}")]
    State {
        /// The task.
        task: TaskId,
        /// Why.
        source: Box<StateError>,
    },
}
