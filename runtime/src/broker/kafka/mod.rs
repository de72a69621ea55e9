//! The log of a real Kafka cluster, through librdkafka.
//!
//! ```text
//!  KafkaBroker ─┬─ admin     a thread per call, a few at most
//!               ├─ producer  one client; a thread for blocking calls, a thread for delivery reports
//!               ├─ fetcher   one client without a group; one queue per partition
//!               └─ member    one client; a thread for the group; one queue per partition
//! ```
//! All C calls are in `native`. Records are borrowed from librdkafka's fetch buffers and freed batch by batch.
//!
//! Things to know about librdkafka that show here:
//! - Any poll of any queue of a client counts as progress for `max.poll.interval.ms`. The membership thread polls all the
//!   time, so librdkafka's own check never strikes: who wants to notice a stuck worker needs a watchdog of their own.
//! - A record with the timestamp 0 is sent with the timestamp 1: librdkafka takes 0 for «now».
//! - Some calls write references on the client's partitions into the list that they are given. A client that is destroyed
//!   waits for them to go, for ever: such a list is dropped before what may be the last to hold the client.
//! - Every queue of a partition holds up to its bound in bytes, and one fetch response more.

mod admin;
mod caller;
mod config;
mod consuming;
mod end;
mod errors;
mod fetcher;
mod leaders;
mod member;
mod membership;
mod native;
mod offsets;
mod patience;
mod producer;
mod producing;
mod queue;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use consuming::Consuming;
use producing::Producing;

use super::{Admin, Broker, BrokerError, Fetcher, Isolation, Member, MemberSettings, Producer, ProducerSettings, Wake};

/// How to reach a Kafka cluster.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// Where to begin: `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// The beginning of every client's `client.id`.
    pub client_id: String,
    /// How many bytes of fetched records may wait per partition of a [`Fetcher`].
    pub fetcher_queued_bytes: usize,
    /// How long an admin call may take. Reading committed offsets waits four times as long, for open transactions.
    pub request_timeout: Duration,
    /// Further properties for all of librdkafka's clients, such as `security.protocol` or `ssl.ca.location`. What this
    /// crate relies on is refused; see [`KafkaBroker::new`].
    pub properties: BTreeMap<String, String>,
}

impl KafkaSettings {
    /// Settings for a cluster, with defaults for the rest.
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            client_id: "millstream".to_owned(),
            fetcher_queued_bytes: 8 << 20,
            request_timeout: Duration::from_secs(30),
            properties: BTreeMap::new(),
        }
    }
}

/// A real Kafka cluster. When it and all handles on its [`Admin`] are dropped, admin calls under way are no longer waited for.
pub struct KafkaBroker {
    settings: KafkaSettings,
    admin: Arc<admin::KafkaAdmin>,
}

impl KafkaBroker {
    /// A cluster to talk to. No connection is made yet.
    ///
    /// # Errors
    /// If `properties` has a key that this crate sets itself, or that librdkafka refuses; the error names the key.
    pub fn new(settings: KafkaSettings) -> Result<Self, BrokerError> {
        config::check(&settings)?;
        let admin = Arc::new(admin::KafkaAdmin::new(&settings)?);
        Ok(Self { settings, admin })
    }
}

impl std::fmt::Debug for KafkaBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KafkaBroker({})", self.settings.bootstrap_servers)
    }
}

impl Broker for KafkaBroker {
    fn admin(&self) -> Arc<dyn Admin> {
        self.admin.clone()
    }

    fn producer(&self, settings: ProducerSettings, wake: Wake) -> Result<Box<dyn Producer>, BrokerError> {
        Ok(Box::new(producer::KafkaProducer::new(&self.settings, settings, wake)?))
    }

    fn fetcher(&self, isolation: Isolation, wake: Wake) -> Result<Box<dyn Fetcher>, BrokerError> {
        Ok(Box::new(fetcher::KafkaFetcher::new(&self.settings, isolation, wake)?))
    }

    fn member(&self, settings: MemberSettings, wake: Wake) -> Result<Box<dyn Member>, BrokerError> {
        Ok(Box::new(member::KafkaMember::new(&self.settings, settings, wake)?))
    }
}
