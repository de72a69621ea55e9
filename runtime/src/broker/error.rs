//! Errors of the broker seam, classed by what to do next.

/// What an error means for whoever made the call.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Nothing happened; the same call may succeed later.
    Retriable,
    /// The transaction must be aborted; the producer can then go on.
    Abortable,
    /// This producer is of no use any more, because another one uses its transactional id now or because it has failed for
    /// good; a new one can go on.
    ProducerFenced,
    /// The group has moved on: the member id or generation is not current. The tasks are gone; rejoin.
    MemberFenced,
    /// Another live process has this `group.instance.id`.
    InstanceFenced,
    /// The call may or may not have had its effect.
    Unknown,
    /// The position asked for is not in the log.
    OffsetOutOfRange,
    /// The topic or partition does not exist.
    UnknownTopic,
    /// The broker does not allow it.
    NotAuthorized,
    /// No use in trying again.
    Fatal,
}

/// The broker refused, or could not be reached.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{call}: {reason}")]
pub struct BrokerError {
    /// What to do next.
    pub class: ErrorClass,
    /// The call, with the topic, partition, group or transactional id it was about.
    pub call: String,
    /// What the broker or the client said.
    pub reason: String,
}

impl BrokerError {
    /// An error of this class.
    pub fn new(class: ErrorClass, call: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { class, call: call.into(), reason: reason.into() }
    }

    /// An error after which nobody knows whether the call had its effect.
    pub fn unknown(call: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(ErrorClass::Unknown, call, reason)
    }
}
