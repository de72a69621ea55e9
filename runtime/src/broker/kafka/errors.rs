//! What librdkafka's errors mean for whoever made the call.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::broker::{BrokerError, ErrorClass};

/// An error of librdkafka's, with what it says about itself.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) code: Code,
    pub(super) reason: String,
    pub(super) fatal: bool,
    pub(super) retriable: bool,
    pub(super) abortable: bool,
}

impl Failure {
    /// An error of which only the code is known.
    pub(super) fn of(code: Code) -> Self {
        Self { code, reason: code.to_string(), fatal: false, retriable: false, abortable: false }
    }

    pub(super) fn is_timeout(&self) -> bool {
        matches!(
            self.code,
            Code::OperationTimedOut | Code::RequestTimedOut | Code::TimedOutQueue | Code::MessageTimedOut
        )
    }

    /// The class of an error that tells for certain that the call had no effect.
    pub(super) fn class(&self) -> ErrorClass {
        class_of_code(self.code).unwrap_or_else(|| {
            if self.fatal {
                ErrorClass::Fatal
            } else if self.abortable {
                ErrorClass::Abortable
            } else if self.retriable || self.is_timeout() {
                ErrorClass::Retriable
            } else {
                class_of_condition(self.code)
            }
        })
    }

    pub(super) fn error(self, call: impl Into<String>) -> BrokerError {
        BrokerError::new(self.class(), call, self.words())
    }

    /// For a call that changes the log: if it timed out, or may be going on in the background, nobody knows.
    pub(super) fn error_of_effect(self, call: impl Into<String>) -> BrokerError {
        match self.class() {
            ErrorClass::Retriable => BrokerError::unknown(call, self.words()),
            class => BrokerError::new(class, call, self.words()),
        }
    }

    fn words(&self) -> String {
        format!("{} ({:?})", self.reason, self.code)
    }
}

impl From<KafkaError> for Failure {
    fn from(error: KafkaError) -> Self {
        let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
        let code = match &error {
            // rdkafka does not count it among those with a code.
            KafkaError::AdminOp(code) => Some(*code),
            _ => error.rdkafka_error_code(),
        };
        match code {
            Some(code) => Self { fatal, ..Self::of(code) },
            None => Self { reason: error.to_string(), ..Self::of(Code::Fail) },
        }
    }
}

/// Codes that mean the same whatever the flags say.
///
/// `FENCED_INSTANCE_ID` in the answer to a commit tells that the member id is a former one of this instance: the member is
/// stale, nothing more. That another process has the identity is told by the member itself, which maps it.
fn class_of_code(code: Code) -> Option<ErrorClass> {
    Some(match code {
        Code::Fenced | Code::InvalidProducerEpoch | Code::ProducerFenced => ErrorClass::ProducerFenced,
        // Broker and client no longer agree on what this producer has sent. A new one begins anew.
        Code::OutOfOrderSequenceNumber
        | Code::UnknownProducerId
        | Code::InvalidProducerIdMapping
        | Code::InvalidTransactionalState
        | Code::Inconsistent => ErrorClass::ProducerFenced,
        Code::IllegalGeneration | Code::UnknownMemberId | Code::FencedInstanceId | Code::AssignmentLost => {
            ErrorClass::MemberFenced
        }
        Code::OffsetOutOfRange | Code::AutoOffsetReset => ErrorClass::OffsetOutOfRange,
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::Authentication
        | Code::SaslAuthenticationFailed => ErrorClass::NotAuthorized,
        _ => return None,
    })
}

/// Codes whose errors carry no flags.
fn class_of_condition(code: Code) -> ErrorClass {
    match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicId => {
            ErrorClass::UnknownTopic
        }
        Code::RebalanceInProgress => ErrorClass::MemberFenced,
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::WaitingForCoordinator
        | Code::InProgress
        | Code::PreviousInProgress
        | Code::Retry
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable
        | Code::NetworkException
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::NotController
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::KafkaStorageError
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::OffsetNotAvailable
        | Code::UnstableOffsetCommit
        | Code::ConcurrentTransactions
        | Code::ThrottlingQuotaExceeded => ErrorClass::Retriable,
        _ => ErrorClass::Fatal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lost once: an instance, whose brokers were out of reach when it looked at its topics' settings.
    #[test]
    fn an_admin_call_that_cannot_reach_the_brokers_may_be_made_again() {
        let failure = Failure::from(KafkaError::AdminOp(Code::BrokerTransportFailure));
        assert_eq!(failure.class(), ErrorClass::Retriable);
    }

    #[test]
    fn a_producer_that_broker_and_client_disagree_about_is_spent_whatever_the_flags_say() {
        for code in [Code::OutOfOrderSequenceNumber, Code::UnknownProducerId, Code::InvalidTransactionalState] {
            let failure = Failure { fatal: true, abortable: true, ..Failure::of(code) };
            assert_eq!(failure.class(), ErrorClass::ProducerFenced, "{code:?}");
        }
    }
}
