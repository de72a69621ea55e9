//! What librdkafka's producers call back: logs, errors, and records that were not delivered.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::ProducerContext;

use super::consuming::log;
use super::errors::Failure;
use super::native::WakeSlot;
use crate::broker::Wake;

/// A record that was not delivered.
#[derive(Clone, Debug)]
pub(super) struct Undelivered {
    pub(super) partition: String,
    pub(super) failure: Failure,
}

/// The context of a producer.
pub(super) struct Producing {
    // A lock because it is written by whoever takes delivery reports, and a flush takes it on another thread.
    first: Mutex<Option<Undelivered>>,
    /// Takes reports while a call is under way.
    taker: WakeSlot,
    under_way: AtomicBool,
}

impl Default for Producing {
    fn default() -> Self {
        Self { first: Mutex::default(), taker: WakeSlot::new(), under_way: AtomicBool::new(false) }
    }
}

impl Producing {
    pub(super) fn take_first(&self) -> Option<Undelivered> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whom to wake for reports that arrive while a call is under way.
    pub(super) fn set_taker(&self, taker: Wake) {
        self.taker.set(taker);
    }

    /// Whether a call is under way, which may wait for reports.
    pub(super) fn set_under_way(&self, under_way: bool) {
        self.under_way.store(under_way, Ordering::SeqCst);
        if under_way {
            self.wake_taker();
        }
    }

    pub(super) fn wake_taker(&self) {
        self.taker.wake();
    }

    /// Remembers the first record that was not delivered.
    pub(super) fn not_delivered(&self, partition: impl FnOnce() -> String, failure: Failure) {
        // Dropped on purpose, by an abort.
        if matches!(failure.code, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) {
            return;
        }
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| Undelivered { partition: partition(), failure });
    }

    /// Called by a thread of librdkafka's when the queue of reports has been empty.
    pub(super) fn report_arrived(&self) {
        if self.under_way.load(Ordering::SeqCst) {
            self.wake_taker();
        }
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
        self.not_delivered(|| format!("{}-{}", message.topic(), message.partition()), error.clone().into());
    }
}
