//! One consumer group of the classic kind: members, generations, eager rebalances.
//!
//! ```text
//!            join, leave, expiry, topic change
//!   Stable ───────────────────────────────────▶ Preparing ── every member has let go ──▶ Stable, generation + 1
//!     ▲  a static member comes back: new          │ asks each owner to revoke,
//!     └─ member id, same partitions               └ waits for the acknowledgements
//! ```
//! A member counts as alive while its handle lives; when that dies, the session timeout begins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use millstream_state::model::TopicPartition;

use super::super::{BrokerError, Committed, Completer, ErrorClass, MemberSettings, Wake};
use super::cluster::{Outbox, Topics};
use super::offsets::GroupOffsets;
use super::range::{self, Subscriber};
use crate::clock::Monotonic;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Holds nothing and waits for an assignment.
    Joined,
    /// Has an assignment.
    Owning { told: bool },
    /// Is to let go of its assignment.
    Revoking { told: bool },
}

/// Who joins.
pub(super) struct Joiner<'a> {
    pub(super) settings: &'a MemberSettings,
    pub(super) wake: Wake,
    pub(super) alive: Arc<AtomicBool>,
    pub(super) muted: bool,
}

struct GroupMember {
    client: String,
    instance: Option<Arc<str>>,
    topics: Vec<Arc<str>>,
    session_timeout: Duration,
    revoke_timeout: Duration,
    wake: Wake,
    alive: Arc<AtomicBool>,
    silent_since: Option<Monotonic>,
    phase: Phase,
    assigned: Vec<TopicPartition>,
    leaving: Option<Completer<()>>,
}

/// What a member is to know next.
pub(super) enum News {
    /// Nothing.
    None,
    /// It must let go.
    Revoking,
    /// It owns these, under this generation.
    Assigned { generation: i32, partitions: Vec<(TopicPartition, Option<Committed>)> },
    /// Another process has its instance id.
    InstanceFenced,
    /// The group does not know it.
    Unknown,
}

/// A consumer group.
pub(super) struct Group {
    name: Arc<str>,
    pub(super) generation: i32,
    pub(super) offsets: GroupOffsets,
    preparing: Option<Monotonic>,
    members: BTreeMap<Arc<str>, GroupMember>,
    /// Member ids that were replaced by another process with the same instance id.
    fenced: BTreeSet<Arc<str>>,
    joined: u64,
}

impl Group {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            generation: 0,
            offsets: GroupOffsets::default(),
            preparing: None,
            members: BTreeMap::new(),
            fenced: BTreeSet::new(),
            joined: 0,
        }
    }

    /// Lets a member in and answers its id.
    pub(super) fn join(
        &mut self,
        joiner: Joiner<'_>,
        now: Monotonic,
        topics: &Topics,
        outbox: &mut Outbox,
    ) -> Arc<str> {
        self.joined += 1;
        let settings = joiner.settings;
        let instance: Option<Arc<str>> = settings.instance_id.as_deref().map(Arc::from);
        let stem = instance.as_deref().unwrap_or(&settings.client_id);
        let id: Arc<str> = format!("{stem}-{:08}", self.joined).into();
        let mut member = GroupMember {
            client: settings.client_id.clone(),
            topics: settings.topics.clone(),
            session_timeout: settings.session_timeout,
            // As the seam says: a revocation is acknowledged within half the interval, or the membership is given up.
            revoke_timeout: settings.max_poll_interval / 2,
            wake: joiner.wake,
            alive: joiner.alive,
            silent_since: joiner.muted.then_some(now),
            phase: Phase::Joined,
            assigned: Vec::new(),
            leaving: None,
            instance,
        };
        let comes_back = match self.take_instance(&member, outbox) {
            // Nobody else needs to move: it gets what it had.
            Some(old) if self.preparing.is_none() && old.topics == member.topics => {
                (member.phase, member.assigned) = (Phase::Owning { told: false }, old.assigned);
                outbox.wakes.push(member.wake.clone());
                true
            }
            _ => false,
        };
        self.members.insert(id.clone(), member);
        if !comes_back {
            self.rebalance(now, topics, outbox);
        }
        id
    }

    fn take_instance(&mut self, joining: &GroupMember, outbox: &mut Outbox) -> Option<GroupMember> {
        let instance = joining.instance.as_ref()?;
        let old = self.members.iter().find(|(_, member)| member.instance.as_ref() == Some(instance))?.0.clone();
        let mut member = self.members.remove(&old)?;
        self.fenced.insert(old);
        outbox.wakes.push(member.wake.clone());
        if let Some(leaving) = member.leaving.take() {
            outbox.answer(leaving, Ok(()));
        }
        Some(member)
    }

    /// What the member is to know; each thing is told once.
    pub(super) fn poll(&mut self, id: &str) -> News {
        let Some(member) = self.members.get_mut(id) else {
            return if self.fenced.contains(id) { News::InstanceFenced } else { News::Unknown };
        };
        match member.phase {
            Phase::Revoking { told: false } => {
                member.phase = Phase::Revoking { told: true };
                News::Revoking
            }
            // Stable offsets only: what an open transaction holds may become the position to go on from.
            Phase::Owning { told: false } if !self.offsets.is_pending(member.assigned.iter()) => {
                member.phase = Phase::Owning { told: true };
                let committed = |p: &TopicPartition| (p.clone(), self.offsets.committed.get(p).cloned());
                let partitions = member.assigned.iter().map(committed).collect();
                News::Assigned { generation: self.generation, partitions }
            }
            _ => News::None,
        }
    }

    /// The member has let go. `false` if that comes too late: the group has dropped it.
    pub(super) fn acknowledge(&mut self, id: &str, now: Monotonic, topics: &Topics, outbox: &mut Outbox) -> bool {
        let Some(member) = self.members.get_mut(id) else { return false };
        if !matches!(member.phase, Phase::Revoking { .. }) {
            return true;
        }
        if member.leaving.is_some() {
            self.remove(id, now, topics, outbox);
        } else {
            member.assigned.clear();
            member.phase = Phase::Joined;
            self.complete(topics, outbox);
        }
        true
    }

    /// Lets the member go, after it has let go of what it holds.
    pub(super) fn leave(
        &mut self,
        id: &str,
        completer: Completer<()>,
        now: Monotonic,
        (topics, outbox): (&Topics, &mut Outbox),
    ) {
        let Some(member) = self.members.get_mut(id) else {
            return outbox.answer(completer, Ok(()));
        };
        let holds = match member.phase {
            Phase::Joined | Phase::Owning { told: false } => false,
            Phase::Owning { told: true } => !member.assigned.is_empty(),
            Phase::Revoking { .. } => true,
        };
        if let Some(earlier) = member.leaving.replace(completer) {
            outbox.answer(earlier, Ok(()));
        }
        if !holds {
            return self.remove(id, now, topics, outbox);
        }
        if member.phase == (Phase::Owning { told: true }) {
            member.phase = Phase::Revoking { told: false };
            outbox.wakes.push(member.wake.clone());
        }
    }

    fn remove(&mut self, id: &str, now: Monotonic, topics: &Topics, outbox: &mut Outbox) {
        let Some(mut member) = self.members.remove(id) else { return };
        outbox.wakes.push(member.wake.clone());
        if let Some(leaving) = member.leaving.take() {
            outbox.answer(leaving, Ok(()));
        }
        self.rebalance(now, topics, outbox);
    }

    /// Asks every owner to let go, so that the partitions can be shared out anew.
    fn rebalance(&mut self, now: Monotonic, topics: &Topics, outbox: &mut Outbox) {
        self.preparing.get_or_insert(now);
        for member in self.members.values_mut() {
            match member.phase {
                Phase::Owning { told: true } if !member.assigned.is_empty() => {
                    member.phase = Phase::Revoking { told: false };
                    outbox.wakes.push(member.wake.clone());
                }
                // It never knew, so there is nothing to revoke.
                Phase::Owning { .. } => {
                    member.assigned.clear();
                    member.phase = Phase::Joined;
                }
                Phase::Joined | Phase::Revoking { .. } => {}
            }
        }
        self.complete(topics, outbox);
    }

    fn complete(&mut self, topics: &Topics, outbox: &mut Outbox) {
        if self.preparing.is_none() || self.members.values().any(|member| member.phase != Phase::Joined) {
            return;
        }
        self.preparing = None;
        self.generation += 1;
        let subscriber = |(id, member): (&Arc<str>, &GroupMember)| Subscriber {
            member: id.clone(),
            instance: member.instance.clone(),
            topics: member.topics.clone(),
        };
        let mut shares =
            range::assign(self.members.iter().map(subscriber).collect(), &|topic| topics.partitions(topic));
        for (id, member) in &mut self.members {
            member.assigned = shares.remove(id).unwrap_or_default();
            member.phase = Phase::Owning { told: false };
            outbox.wakes.push(member.wake.clone());
        }
    }

    /// A topic was created or deleted.
    pub(super) fn topic_changed(&mut self, topic: &str, now: Monotonic, topics: &Topics, outbox: &mut Outbox) {
        if self.members.values().any(|member| member.topics.iter().any(|t| &**t == topic)) {
            self.rebalance(now, topics, outbox);
        }
    }

    /// Drops members that have been silent, or have not let go, for too long.
    pub(super) fn advance(&mut self, now: Monotonic, topics: &Topics, outbox: &mut Outbox) {
        let mut gone = Vec::new();
        for (id, member) in &mut self.members {
            if member.silent_since.is_none() && !member.alive.load(Ordering::SeqCst) {
                member.silent_since = Some(now);
            }
            let silent = member.silent_since.is_some_and(|since| now.since(since) >= member.session_timeout);
            let holding = matches!(member.phase, Phase::Revoking { .. })
                && self.preparing.is_some_and(|since| now.since(since) >= member.revoke_timeout);
            if silent || holding {
                gone.push(id.clone());
            }
        }
        for id in gone {
            self.remove(&id, now, topics, outbox);
        }
    }

    /// Starts or ends the silence of a client's members.
    pub(super) fn mute(&mut self, client: &str, since: Option<Monotonic>) {
        for member in self.members.values_mut().filter(|member| member.client == client) {
            member.silent_since = since;
        }
    }

    /// Wakes a client's members: what they hear has changed.
    pub(super) fn wake_client(&self, client: &str, outbox: &mut Outbox) {
        let theirs = self.members.values().filter(|member| member.client == client);
        outbox.wakes.extend(theirs.map(|member| member.wake.clone()));
    }

    /// Wakes the members whose assignment may have waited for offsets to become stable.
    pub(super) fn offsets_settled(&self, outbox: &mut Outbox) {
        let waiting = self.members.values().filter(|member| member.phase == Phase::Owning { told: false });
        outbox.wakes.extend(waiting.map(|member| member.wake.clone()));
    }

    /// Whether this member may commit under this generation.
    pub(super) fn check_owner(&self, member: &str, generation: i32) -> Result<(), BrokerError> {
        let reason = if self.fenced.contains(member) {
            // The member itself is told that another process has its identity; for a commit it is stale like any other.
            "another process has joined with this member's group.instance.id".to_owned()
        } else if !self.members.contains_key(member) {
            "the group does not know this member".to_owned()
        } else if generation != self.generation {
            format!("the group is at generation {}", self.generation)
        } else {
            return Ok(());
        };
        let call = format!("commit for group {} by member {member}, generation {generation}", self.name);
        Err(BrokerError::new(ErrorClass::MemberFenced, call, reason))
    }

    /// The members and what they hold.
    pub(super) fn assignments(&self) -> impl Iterator<Item = (&Arc<str>, &[TopicPartition])> {
        self.members.iter().map(|(id, member)| (id, &*member.assigned))
    }
}
