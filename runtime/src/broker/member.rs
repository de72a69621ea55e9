//! Membership of a consumer group: events out, acknowledgements in.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use millstream_state::model::TopicPartition;

use super::{BrokerError, Committed, OffsetCommit, PartitionQueue, Ticket};

/// How a member joins.
#[derive(Clone, Debug)]
pub struct MemberSettings {
    /// For logs and quotas.
    pub client_id: String,
    /// The group: the application id.
    pub group: String,
    /// The static member's name: who comes back with it within the session timeout gets its partitions back.
    pub instance_id: Option<String>,
    /// The topics whose partitions are shared out, co-partitioned topics alike (the `range` assignor).
    pub topics: Vec<Arc<str>>,
    /// After this long without a sign of life the broker gives the partitions to others.
    pub session_timeout: Duration,
    /// After this long without progress the member gives up its membership itself. A revocation must be acknowledged
    /// within half of it.
    pub max_poll_interval: Duration,
    /// How many bytes of fetched records may wait per partition.
    pub queued_bytes: usize,
}

/// The right to commit offsets for a set of partitions: the group metadata as captured inside the assignment.
///
/// Never read afresh: what a stale owner reads at commit time would make the broker accept its commit.
#[derive(Clone)]
pub struct Ownership {
    /// The group's generation, never negative.
    pub generation: i32,
    /// The member id, never empty.
    pub member_id: Arc<str>,
    /// The implementation's own form of it.
    pub handle: Arc<dyn Any + Send + Sync>,
}

impl std::fmt::Debug for Ownership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ownership(generation {}, member {})", self.generation, self.member_id)
    }
}

/// One partition that is ours now.
pub struct AssignedPartition {
    /// The partition.
    pub partition: TopicPartition,
    /// What the group has committed for it, fetched after the assignment and stable (no open transaction behind it).
    pub committed: Option<Committed>,
    /// Its records. It starts idle: nothing is fetched until the first [`PartitionQueue::seek`].
    pub queue: Box<dyn PartitionQueue>,
}

/// An assignment: everything this member owns, also what it owned before.
pub struct Assigned {
    /// The right to commit for these partitions.
    pub ownership: Ownership,
    /// The partitions; may be none.
    pub partitions: Vec<AssignedPartition>,
}

/// What happened to the membership.
pub enum MemberEvent {
    /// All partitions are about to be taken away (a rebalance is stop-the-world). Commit, stop using the queues, then
    /// call [`Member::acknowledge`]; the ownership held so far is good for commits until then.
    Revoking,
    /// These partitions are ours from now on.
    Assigned(Assigned),
    /// The partitions are gone already; commits for them will be refused.
    Lost,
    /// The group does not take us in, because its present members share it out in another way: they belong to another
    /// program. The member goes on trying; an assignment follows when they have left.
    Refused(BrokerError),
    /// The membership cannot go on: [`ErrorClass::InstanceFenced`](super::ErrorClass::InstanceFenced) if another live process has this identity.
    Failed(BrokerError),
}

/// A member of a group.
pub trait Member: Send {
    /// What happened next, if anything.
    fn poll(&mut self) -> Option<MemberEvent>;

    /// Lets a revocation go on. Every queue of the old assignment must have been dropped.
    fn acknowledge(&mut self);

    /// Commits offsets outside of a transaction (at-least-once).
    fn commit(&mut self, offsets: Vec<OffsetCommit>, ownership: &Ownership) -> Ticket<()>;

    /// Leaves the group so that others take over at once: [`MemberEvent::Revoking`] comes first if partitions are
    /// held. Completes when the broker knows.
    fn leave(&mut self) -> Ticket<()>;
}
