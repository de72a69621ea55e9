//! What librdkafka's consumers call back: logs, errors, rebalances.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;

use super::membership::Membership;
use super::native::WakeSlot;

/// The context of a consumer.
pub(super) struct Consuming {
    // Who to wake, per partition that was ever assigned. An entry stays until the client is destroyed, because librdkafka
    // holds its address. A lock because the membership thread adds and the workers look up.
    slots: Mutex<HashMap<(String, i32), Arc<WakeSlot>>>,
    membership: Option<Membership>,
    doubts: AtomicUsize,
}

impl Consuming {
    pub(super) fn without_group() -> Self {
        Self { slots: Mutex::default(), membership: None, doubts: AtomicUsize::new(0) }
    }

    pub(super) fn member(membership: Membership) -> Self {
        Self { slots: Mutex::default(), membership: Some(membership), doubts: AtomicUsize::new(0) }
    }

    pub(super) fn membership(&self) -> Option<&Membership> {
        self.membership.as_ref()
    }

    /// How often there was reason to doubt that the client knows its leaders.
    pub(super) fn doubts(&self) -> usize {
        self.doubts.load(Ordering::Acquire)
    }

    /// A leader has not answered: librdkafka may have forgotten who leads that topic.
    pub(super) fn doubt_leaders(&self) {
        self.doubts.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn slot(&self, topic: &str, partition: i32) -> Arc<WakeSlot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry((topic.to_owned(), partition)).or_insert_with(|| Arc::new(WakeSlot::new())).clone()
    }
}

impl ClientContext for Consuming {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, log_message: &str) {
        log(level, fac, log_message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the Kafka client reports an error");
    }
}

impl ConsumerContext for Consuming {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, tpl: &mut TopicPartitionList) {
        if let Some(membership) = &self.membership {
            let assign = err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
            membership.rebalance(consumer, assign, tpl);
        }
    }
}

/// librdkafka's words into our log.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, "librdkafka: {message}");
        }
        // Brokers that cannot be reached are told at this level, over and over.
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => tracing::warn!(facility, "librdkafka: {message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(facility, "librdkafka: {message}"),
        RDKafkaLogLevel::Debug => tracing::debug!(facility, "librdkafka: {message}"),
    }
}
