//! A log in the same process: partitions, offsets, transactions, groups; no sockets and no wire format.
//!
//! ```text
//!  EmbeddedBroker ── Connection (faults, life) ── Shared (the lock) ── Cluster ─┬─ Topics ── PartitionLog ── Segment
//!    admin, producer, fetcher, member, queue                                    ├─ Transactions
//!                                                                               └─ Group ── GroupOffsets, range
//! ```
//! It serves the quick start, the tests and the simulation. Nothing in it sleeps and it has no thread: time comes from
//! the [`Clock`] it is given, which each call reads; [`EmbeddedBroker::tick`] does so when there is no other call. So a
//! session times out, or an orphaned transaction is aborted, at the first call after the deadline.
//!
//! What it leaves out of Kafka: bytes-based retention, quotas, authorisation, more than one broker, limits on record
//! timestamps, and the delay before the first rebalance of a new group. A member heartbeats as long as its handle lives
//! (see [`EmbeddedBroker::set_heartbeats`]); `max_poll_interval` only bounds how long a revocation may take.

mod admin;
mod cluster;
mod compaction;
mod connection;
mod faults;
mod fetcher;
mod group;
mod inspect;
mod log;
mod member;
mod offsets;
mod producer;
mod queue;
mod range;
mod segment;
mod topic;
mod transactions;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub use faults::{CallInfo, CallKind, Fault, Faults};
pub use inspect::{LogRecord, OpenTransaction};

use super::{
    Admin, Broker, BrokerError, Fetcher, Isolation, Member, MemberSettings, OffsetCommit, Producer, ProducerSettings,
    Wake,
};
use crate::clock::Clock;
use admin::EmbeddedAdmin;
use cluster::Cluster;
use connection::{Connection, Shared};
use fetcher::EmbeddedFetcher;
use member::EmbeddedMember;
use producer::EmbeddedProducer;

/// How the embedded cluster behaves.
#[derive(Clone, Debug)]
pub struct EmbeddedSettings {
    /// How often retention and compaction pass (Kafka's `log.retention.check.interval.ms`).
    pub housekeeping_interval: Duration,
}

impl Default for EmbeddedSettings {
    fn default() -> Self {
        Self { housekeeping_interval: Duration::from_secs(300) }
    }
}

/// A handle on a cluster in this process. Clones are handles on the same cluster; it lives as long as one of them, or
/// anything made through one.
#[derive(Clone)]
pub struct EmbeddedBroker {
    shared: Arc<Shared>,
    client: Arc<str>,
    faults: Option<Arc<dyn Faults>>,
}

impl EmbeddedBroker {
    /// A new, empty cluster that lives by this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_settings(clock, EmbeddedSettings::default())
    }

    /// A new, empty cluster with other settings.
    pub fn with_settings(clock: Arc<dyn Clock>, settings: EmbeddedSettings) -> Self {
        let cluster = Cluster::new(&*clock, settings.housekeeping_interval);
        Self { shared: Arc::new(Shared::new(clock, cluster)), client: "embedded".into(), faults: None }
    }

    /// A handle on the same cluster whose calls go wrong as `faults` decides.
    #[must_use]
    pub fn with_faults(&self, faults: Arc<dyn Faults>) -> Self {
        Self { faults: Some(faults), ..self.clone() }
    }

    /// A handle on the same cluster for one client: the name its admin and fetcher calls go by, and by which
    /// [`Self::kill_client`] finds all that was made through it.
    #[must_use]
    pub fn for_client(&self, client: impl Into<Arc<str>>) -> Self {
        Self { client: client.into(), ..self.clone() }
    }

    /// Cuts a client off without goodbye, as when its process dies: its members stay until their session times out or
    /// their instance comes back, its transactions stay open until they time out or their id is initialised again.
    /// What was made through its handle, or with this `client_id`, fails from now on; what is made later works.
    pub fn kill_client(&self, client: &str) {
        self.shared.cut(client);
    }

    /// Stops or resumes the heartbeats of the members with this `client_id`, as when a process hangs. One whose session
    /// has timed out learns of it at its next poll.
    pub fn set_heartbeats(&self, client: &str, arrive: bool) {
        self.shared.with(|cluster| cluster.set_heartbeats(&client.into(), arrive));
    }

    /// Does what is due by the clock.
    pub fn tick(&self) {
        self.shared.with(|_| ());
    }

    /// Runs retention and compaction now, whatever the clock says.
    pub fn housekeep(&self) {
        self.shared.with(Cluster::housekeep);
    }

    /// Cuts the members with this `client_id` off from the group, or lets them through again: their heartbeats do not
    /// arrive, they hear of nothing, and what they acknowledge arrives when they are let through. Their other calls are
    /// for [`Faults`] to disturb.
    pub fn set_cut_off(&self, client: &str, cut_off: bool) {
        self.shared.with(|cluster| cluster.set_cut_off(&client.into(), cut_off));
    }

    /// From now on the markers of a transaction are written some time after its end was answered, as in Kafka: `delay`
    /// says for each partition, and for the group's offsets, how long after. Its producer waits for them before its next
    /// transaction.
    pub fn set_late_markers(&self, delay: impl Fn() -> Duration + Send + 'static) {
        self.shared.with(|cluster| cluster.marker_delay = Some(Box::new(delay)));
    }

    /// Commits offsets for a group past its members, as an operator's tool does.
    ///
    /// # Errors
    /// If the broker does not take them.
    pub fn alter_offsets(&self, group: &str, offsets: Vec<OffsetCommit>) -> Result<(), BrokerError> {
        self.shared.with(|cluster| cluster.alter_offsets(group, offsets))
    }

    /// Compacts a topic now, its open segments included and whatever its `cleanup.policy`.
    pub fn compact(&self, topic: &str) {
        self.shared.with(|cluster| cluster.compact(topic));
    }

    /// The calls that are held by a fault, in the order in which they were made.
    pub fn held_calls(&self) -> Vec<CallInfo> {
        self.shared.held()
    }

    /// Releases the held calls that `meant` picks, and tells how many there were.
    pub fn release_calls(&self, meant: impl FnMut(&CallInfo) -> bool) -> usize {
        self.shared.release(meant)
    }

    fn connect(&self, client: &str, wake: Wake) -> Connection {
        Connection::open(&self.shared, &self.client, client, self.faults.clone(), wake)
    }
}

impl Broker for EmbeddedBroker {
    fn admin(&self) -> Arc<dyn Admin> {
        Arc::new(EmbeddedAdmin(self.connect(&self.client, Wake::nobody())))
    }

    fn producer(&self, settings: ProducerSettings, wake: Wake) -> Result<Box<dyn Producer>, BrokerError> {
        Ok(Box::new(EmbeddedProducer::new(self.connect(&settings.client_id, wake), settings)))
    }

    fn fetcher(&self, isolation: Isolation, wake: Wake) -> Result<Box<dyn Fetcher>, BrokerError> {
        Ok(Box::new(EmbeddedFetcher::new(self.connect(&self.client, wake), isolation)))
    }

    fn member(&self, settings: MemberSettings, wake: Wake) -> Result<Box<dyn Member>, BrokerError> {
        Ok(Box::new(EmbeddedMember::join(self.connect(&settings.client_id, wake), settings)))
    }
}

impl std::fmt::Debug for EmbeddedBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EmbeddedBroker(client {})", self.client)
    }
}
