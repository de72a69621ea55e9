//! Members of groups as the checks use them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use millstream::broker::{
    Assigned, BrokerError, Committed, Member, MemberEvent, MemberSettings, OffsetCommit, Ownership, Ticket,
};
use millstream::state::model::{Position, TopicPartition};

use super::scene::{Outcome, Scene};

/// What happened to a member, without what cannot be compared.
#[derive(Debug)]
pub enum Event {
    /// See [`MemberEvent::Revoking`].
    Revoking,
    /// See [`MemberEvent::Assigned`].
    Assigned,
    /// See [`MemberEvent::Lost`].
    Lost,
    /// See [`MemberEvent::Failed`].
    Failed(BrokerError),
}

/// A member in a scene, with what it was given last.
pub struct TestMember<'a> {
    scene: &'a Scene<'a>,
    /// Its last assignment; the queues are dropped before a revocation is acknowledged.
    pub assigned: Option<Assigned>,
    /// The member itself.
    pub inner: Box<dyn Member>,
    /// How often it was given an assignment.
    pub assignments: usize,
}

impl<'a> TestMember<'a> {
    /// Takes the next event, if there is one; a revocation is acknowledged at once.
    pub fn step(&mut self) -> Option<Event> {
        let event = self.step_unacknowledged()?;
        if matches!(event, Event::Revoking) {
            self.acknowledge();
        }
        Some(event)
    }

    /// Takes the next event, if there is one.
    pub fn step_unacknowledged(&mut self) -> Option<Event> {
        Some(match self.inner.poll()? {
            MemberEvent::Revoking => Event::Revoking,
            MemberEvent::Assigned(assigned) => {
                self.assigned = Some(assigned);
                self.assignments += 1;
                Event::Assigned
            }
            MemberEvent::Lost => {
                self.assigned = None;
                Event::Lost
            }
            // No scene has a member of another program, so this is as unexpected.
            MemberEvent::Refused(error) | MemberEvent::Failed(error) => Event::Failed(error),
        })
    }

    /// Lets a revocation go on.
    pub fn acknowledge(&mut self) {
        self.assigned = None;
        self.inner.acknowledge();
    }

    /// What it holds, sorted.
    pub fn holds(&self) -> Vec<TopicPartition> {
        let partitions = self.assigned.iter().flat_map(|assigned| &assigned.partitions);
        let mut held: Vec<_> = partitions.map(|assigned| assigned.partition.clone()).collect();
        held.sort();
        held
    }

    /// The right it holds.
    ///
    /// # Errors
    /// If it has no assignment.
    pub fn ownership(&self) -> anyhow::Result<Ownership> {
        Ok(self.assigned.as_ref().context("the member has no assignment")?.ownership.clone())
    }

    /// What the group had committed for a partition when it was assigned.
    ///
    /// # Errors
    /// If the partition is not held.
    pub fn committed_for(&self, partition: &TopicPartition) -> anyhow::Result<Option<Committed>> {
        let mut partitions = self.assigned.iter().flat_map(|assigned| &assigned.partitions);
        let assigned = partitions.find(|assigned| assigned.partition == *partition);
        Ok(assigned.with_context(|| format!("{partition} is not held"))?.committed.clone())
    }

    /// Waits for an assignment of this many partitions.
    ///
    /// # Errors
    /// If the member fails or the assignment does not come.
    pub fn until_holds(&mut self, count: usize) -> Outcome {
        let scene = self.scene;
        scene.until(&format!("an assignment of {count} partitions"), || {
            if let Some(Event::Failed(error)) = self.step() {
                bail!(error);
            }
            Ok((self.assigned.is_some() && self.holds().len() == count).then_some(()))
        })
    }

    /// Commits one position, outside of a transaction.
    pub fn commit(&mut self, partition: &TopicPartition, position: i64, ownership: &Ownership) -> Ticket<()> {
        self.inner.commit(vec![commit_of(partition, position, "")], ownership)
    }

    /// Leaves, acknowledging what has to be.
    ///
    /// # Errors
    /// If the leave fails.
    pub fn leave(&mut self) -> Outcome {
        let (scene, mut ticket) = (self.scene, self.inner.leave());
        scene.until("the member to leave", || {
            self.step();
            Ok(ticket.poll().transpose()?)
        })
    }
}

/// One position to commit.
pub(super) fn commit_of(partition: &TopicPartition, position: i64, metadata: &str) -> OffsetCommit {
    let (position, metadata) = (Position::new(position), metadata.to_owned());
    OffsetCommit { partition: partition.clone(), position, metadata }
}

impl<'a> Scene<'a> {
    /// A member of a group of this scene; static if it has an instance.
    ///
    /// # Errors
    /// If the broker refuses.
    pub fn member(
        &'a self,
        group: &str,
        instance: Option<&str>,
        topics: &[&Arc<str>],
    ) -> anyhow::Result<TestMember<'a>> {
        ensure!(!topics.is_empty(), "a member without topics");
        let settings = MemberSettings {
            client_id: self.name(instance.unwrap_or("member")),
            group: self.name(group),
            instance_id: instance.map(str::to_owned),
            topics: topics.iter().map(|topic| (*topic).clone()).collect(),
            // Longer than any check waits: whatever is handed over is handed over without it.
            session_timeout: Duration::from_secs(120),
            max_poll_interval: Duration::from_secs(300),
            queued_bytes: 1 << 20,
        };
        let inner = self.broker.member(settings, self.wake())?;
        Ok(TestMember { scene: self, assigned: None, inner, assignments: 0 })
    }

    /// Waits until each member holds as many partitions as it should.
    ///
    /// # Errors
    /// If a member fails or the assignments do not come.
    pub fn until_shared(&self, members: &mut [(&mut TestMember<'_>, usize)]) -> Outcome {
        self.until("the partitions to be shared out", || {
            for (member, _) in members.iter_mut() {
                if let Some(Event::Failed(error)) = member.step() {
                    bail!(error);
                }
            }
            let settled = |(member, count): &(&mut TestMember<'_>, usize)| {
                member.assigned.is_some() && member.holds().len() == *count
            };
            Ok(members.iter().all(settled).then_some(()))
        })
    }
}
