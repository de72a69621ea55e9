//! Why an instance could not start, or has stopped.

use crate::broker::BrokerError;
use crate::identity::IdentityError;
use crate::topics::ResolveError;
use crate::worker::WorkerError;

/// Why an instance could not start, or has stopped.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum StreamsError {
    /// A setting that cannot work.
    #[error("setting {name} is {value}: {reason}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The state directory could not be taken.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The topology's topics could not be resolved on the cluster.
    #[error(transparent)]
    Topics(#[from] ResolveError),
    /// A worker cannot go on.
    #[error(transparent)]
    Worker {
        /// Why.
        source: WorkerError,
    },
    /// The group membership cannot go on.
    #[error("the membership of group {group} has ended: {source}")]
    Membership {
        /// The group: the application id.
        group: String,
        /// Why.
        source: BrokerError,
    },
    /// A topic has grown while the application ran.
    #[error(
        "topic {topic} has a partition {partition} that was not there at the start: its partition count has changed. \
         Keys would move to other tasks than their state; reset the application to go on with the new count"
    )]
    NewPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// A worker has not come back from a step.
    #[error(
        "worker {worker} has made no progress for {silence:?}, longer than max_poll_interval: an operator blocks, or the \
         interval is too short for it. The instance gives its tasks up so that others can take them"
    )]
    Stuck {
        /// The worker.
        worker: usize,
        /// For how long.
        silence: std::time::Duration,
    },
    /// A thread could not be started.
    #[error("a thread could not be started: {source}")]
    Thread {
        /// Why.
        source: std::io::Error,
    },
}
