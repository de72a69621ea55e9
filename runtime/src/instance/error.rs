//! Why an instance could not start, or has stopped.

use crate::broker::BrokerError;
use crate::global::GlobalError;
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
    /// A topic was deleted while the application ran.
    #[error(
        "{role} {topic} does not exist any more: it was deleted while the application ran. What was in it is lost to the \
         application{}", role.advice()
    )]
    TopicGone {
        /// The topic.
        topic: String,
        /// What it is to the application.
        role: TopicRole,
    },
    /// A topic was deleted and created anew while the application ran.
    #[error(
        "{role} {topic} was deleted and created anew while the application ran: what was in it is lost to the \
         application{}", role.advice()
    )]
    TopicReplaced {
        /// The topic.
        topic: String,
        /// What it is to the application.
        role: TopicRole,
    },
    /// The thread that holds the membership panicked because of a defect.
    #[error(
        "the instance's controller panicked: {message}; what was not committed is processed again by whoever comes next"
    )]
    Controller {
        /// What the panic said.
        message: String,
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
    /// The global stores cannot be kept up to date.
    #[error(transparent)]
    Global(#[from] GlobalError),
    /// A thread could not be started.
    #[error("a thread could not be started: {source}")]
    Thread {
        /// Why.
        source: std::io::Error,
    },
}

/// What a topic is to an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicRole {
    /// It is read.
    Source,
    /// It is written.
    Output,
    /// It is written and read again, by new keys.
    Repartition,
    /// It keeps the changes of a store.
    Changelog,
}

impl TopicRole {
    fn advice(self) -> &'static str {
        match self {
            Self::Source | Self::Output => "; create it again and start the application",
            Self::Repartition => ", records on their way to be processed among it; a new start creates it again",
            Self::Changelog => {
                "; a new start creates it again and begins with an empty store: reset the application to process its input \
                 again from the start"
            }
        }
    }
}

impl std::fmt::Display for TopicRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Source => "source topic",
            Self::Output => "output topic",
            Self::Repartition => "repartition topic",
            Self::Changelog => "changelog",
        })
    }
}
