//! A member of a group of the embedded cluster.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::{
    Assigned, AssignedPartition, BrokerError, ErrorClass, Isolation, Member, MemberEvent, MemberSettings, OffsetCommit,
    Ownership, Ticket,
};
use super::cluster::Cluster;
use super::connection::Connection;
use super::faults::CallKind;
use super::group::{Group, Joiner, News};
use super::queue::EmbeddedQueue;

/// What an [`Ownership`] carries for this implementation.
#[derive(Clone, Debug)]
pub(super) struct EmbeddedOwnership {
    pub(super) group: Arc<str>,
}

impl EmbeddedOwnership {
    /// The embedded form of an ownership that names a member and a generation.
    pub(super) fn of(ownership: &Ownership) -> Result<&Self, BrokerError> {
        let refuse = |reason| {
            let call = format!("commit by member {:?}, generation {}", ownership.member_id, ownership.generation);
            BrokerError::new(ErrorClass::MemberFenced, call, reason)
        };
        // A broker would take it for a commit from outside of any group, and let it pass.
        if ownership.generation < 0 || ownership.member_id.is_empty() {
            return Err(refuse("no member of the group has this ownership"));
        }
        ownership.handle.downcast_ref().ok_or_else(|| refuse("the ownership is of another broker"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Joined,
    /// The group dropped it; it joins again at the next poll.
    Out,
    Ended,
}

pub(super) struct EmbeddedMember {
    connection: Connection,
    settings: MemberSettings,
    id: Arc<str>,
    standing: Standing,
    holds: bool,
    leaving: bool,
    /// An acknowledgement that could not be sent yet.
    unsent: bool,
}

impl EmbeddedMember {
    pub(super) fn join(connection: Connection, settings: MemberSettings) -> Self {
        let standing = Standing::Out;
        let (holds, leaving, unsent) = (false, false, false);
        let mut member = Self { connection, settings, id: "".into(), standing, holds, leaving, unsent };
        if !member.is_cut_off() {
            member.rejoin();
        }
        member
    }

    fn rejoin(&mut self) {
        let name: Arc<str> = self.settings.group.as_str().into();
        self.id = self.connection.shared().with(|cluster| {
            let Cluster { groups, topics, outbox, time, muted, .. } = cluster;
            let group = groups.entry(name.clone()).or_insert_with(|| Group::new(name));
            let joiner = Joiner {
                settings: &self.settings,
                wake: self.connection.wake().clone(),
                alive: self.connection.alive().clone(),
                muted: muted.contains(self.connection.client()),
            };
            group.join(joiner, time.now, topics, outbox)
        });
        self.standing = Standing::Joined;
    }

    fn is_cut_off(&self) -> bool {
        self.connection.shared().with(|cluster| cluster.cut_off.contains(self.connection.client()))
    }

    fn send_acknowledgement(&mut self) {
        if !self.connection.is_alive() {
            return;
        }
        let in_time = self.connection.shared().with(|cluster| {
            let Cluster { groups, topics, outbox, time, .. } = cluster;
            let group = groups.get_mut(self.settings.group.as_str());
            group.is_some_and(|group| group.acknowledge(&self.id, time.now, topics, outbox))
        });
        // Too late: the next poll tells of the loss.
        self.holds &= !in_time;
    }

    fn news(&self) -> News {
        self.connection.shared().with(|cluster| match cluster.groups.get_mut(self.settings.group.as_str()) {
            Some(group) => group.poll(&self.id),
            None => News::Unknown,
        })
    }

    fn assigned(
        &self,
        generation: i32,
        partitions: Vec<(millstream_state::model::TopicPartition, Option<super::super::Committed>)>,
    ) -> Assigned {
        let group: Arc<str> = self.settings.group.as_str().into();
        let handle = Arc::new(EmbeddedOwnership { group });
        let with_queue = |(partition, committed)| {
            let queue = Box::new(EmbeddedQueue::new(self.connection.clone(), &partition, Isolation::ReadCommitted));
            AssignedPartition { partition, committed, queue }
        };
        Assigned {
            ownership: Ownership { generation, member_id: self.id.clone(), handle },
            partitions: partitions.into_iter().map(with_queue).collect(),
        }
    }
}

impl Member for EmbeddedMember {
    fn poll(&mut self) -> Option<MemberEvent> {
        if !self.connection.is_alive() || self.is_cut_off() {
            return None;
        }
        if std::mem::take(&mut self.unsent) {
            self.send_acknowledgement();
        }
        match self.standing {
            Standing::Ended => return None,
            Standing::Out => self.rejoin(),
            Standing::Joined => {}
        }
        match self.news() {
            News::None => None,
            News::Revoking => Some(MemberEvent::Revoking),
            News::Assigned { generation, partitions } => {
                self.holds = !partitions.is_empty();
                Some(MemberEvent::Assigned(self.assigned(generation, partitions)))
            }
            News::InstanceFenced => {
                self.standing = Standing::Ended;
                let call = format!("membership of {} in group {}", self.id, self.settings.group);
                let reason = "another process has joined with this member's group.instance.id";
                Some(MemberEvent::Failed(BrokerError::new(ErrorClass::InstanceFenced, call, reason)))
            }
            News::Unknown => {
                self.standing = if self.leaving { Standing::Ended } else { Standing::Out };
                let held = std::mem::replace(&mut self.holds, false);
                if held { Some(MemberEvent::Lost) } else { self.poll() }
            }
        }
    }

    fn acknowledge(&mut self) {
        if self.is_cut_off() {
            self.unsent = true;
        } else {
            self.send_acknowledgement();
        }
    }

    fn commit(&mut self, offsets: Vec<OffsetCommit>, ownership: &Ownership) -> Ticket<()> {
        let group = match EmbeddedOwnership::of(ownership) {
            Ok(owner) => owner.group.clone(),
            Err(refusal) => return Ticket::ready(Err(refusal)),
        };
        let about = offsets.first().map(|commit| (commit.partition.topic.clone(), commit.partition.partition));
        let ownership = ownership.clone();
        self.connection.call(CallKind::MemberCommit, about.as_ref().map(|(t, p)| (t, *p)), move |cluster| {
            cluster.check_commit(&group, &offsets, &ownership)?;
            if let Some(group) = cluster.groups.get_mut(&group) {
                group.offsets.commit(None, offsets.clone());
            }
            Ok(())
        })
    }

    fn leave(&mut self) -> Ticket<()> {
        // Polled on for the revocation; once the group does not know it any more, it stays away.
        self.leaving = true;
        let (group, id) = (self.settings.group.clone(), self.id.clone());
        if self.standing != Standing::Joined {
            self.standing = Standing::Ended;
            return Ticket::ready(Ok(()));
        }
        self.connection.call_later(CallKind::Leave, None, move |cluster: &mut Cluster, completer| {
            let Cluster { groups, topics, outbox, time, .. } = cluster;
            match groups.get_mut(group.as_str()) {
                Some(group) => group.leave(&id, completer, time.now, (topics, outbox)),
                None => outbox.answer(completer, Ok(())),
            }
        })
    }
}

impl Drop for EmbeddedMember {
    fn drop(&mut self) {
        // No goodbye: the session timeout begins.
        self.connection.alive().store(false, Ordering::SeqCst);
        self.connection.shared().with(Cluster::note_dead_members);
    }
}
