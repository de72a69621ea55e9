//! What librdkafka's producers call back: logs, errors, and records that were not delivered.

use std::sync::{Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::ProducerContext;

use super::consuming::log;
use super::errors::Failure;

/// A record that was not delivered.
#[derive(Clone, Debug)]
pub(super) struct Undelivered {
    pub(super) partition: String,
    pub(super) failure: Failure,
}

/// The context of a producer.
#[derive(Default)]
pub(super) struct Producing {
    // A lock because its single writer is the thread of delivery reports, and a flush takes it on another.
    first: Mutex<Option<Undelivered>>,
}

impl Producing {
    pub(super) fn take_first(&self) -> Option<Undelivered> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Producing {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, log_message: &str) {
        log(level, fac, log_message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the Kafka client reports an error");
    }
}

impl ProducerContext for Producing {
    type DeliveryOpaque = ();

    fn delivery(&self, delivery_result: &DeliveryResult<'_>, (): ()) {
        let Err((error, message)) = delivery_result else { return };
        let failure = Failure::from(error.clone());
        // Dropped on purpose, by an abort.
        if matches!(failure.code, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) {
            return;
        }
        let partition = format!("{}-{}", message.topic(), message.partition());
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(Undelivered { partition, failure });
    }
}
