//! Bugs on purpose: a simulation that does not find them would not find those that are not on purpose.
//!
//! Some are inside the runtime, behind its feature `deliberate-bugs`. The others are made here, between the runtime and
//! its broker or disk, where a protocol can be broken without touching the code that keeps it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use millstream::broker::embedded::EmbeddedBroker;
use millstream::broker::{
    Admin, Broker, BrokerError, Committed, ErrorClass, Fetcher, Isolation, Member, MemberEvent, MemberSettings,
    NewTopic, OffsetCommit, OutRecord, Ownership, Producer, ProducerSettings, Ticket, TopicDescription, TopicOutcome,
    Wake,
};
use millstream::deliberate;
use millstream::state::model::{Position, TopicPartition};

use super::{APP, Scenario};

/// A bug on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// Stores are written before their transaction has committed.
    AppliesBeforeCommit,
    /// What the record caches hold back is not part of the commit.
    CommitsWithoutFlush,
    /// After an abort the stores still show what was aborted.
    KeepsUncommittedLayer,
    /// Under at-least-once a store goes back behind what its changelog has.
    GoesBackBehindChangelog,
    /// A store claims one changelog record more than it has.
    MarksTooFar,
    /// Stores are restored to the last stable offset, which a transaction without its markers holds back.
    RestoresToStableOffset,
    /// The end of the changelogs is asked for before the offsets are stable: what the last owner wrote last is missing.
    AsksForEndsTooEarly,
    /// Stores are restored from records that were never committed.
    RestoresUncommitted,
    /// Input offsets are committed outside of the transaction.
    CommitsOffsetsOutside,
    /// The committed position is one too far.
    CommitsOneTooFar,
    /// The group's metadata is read at the commit, so that a stale owner's commit is accepted.
    ReadsGroupAfresh,
    /// A commit whose answer did not come is taken for one that has failed.
    TakesTimeoutForAbort,
    /// A batch of the database is not atomic.
    TornWrites,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::AppliesBeforeCommit,
        Self::CommitsWithoutFlush,
        Self::KeepsUncommittedLayer,
        Self::GoesBackBehindChangelog,
        Self::MarksTooFar,
        Self::RestoresToStableOffset,
        Self::AsksForEndsTooEarly,
        Self::RestoresUncommitted,
        Self::CommitsOffsetsOutside,
        Self::CommitsOneTooFar,
        Self::ReadsGroupAfresh,
        Self::TakesTimeoutForAbort,
        Self::TornWrites,
    ];

    /// Whether a life of this kind can show it: some bugs need a record cache, or commits without transactions.
    pub fn can_show_in(self, scenario: &Scenario) -> bool {
        match self {
            // What is deleted in the same commit in which it was made leaves no trace, and has to.
            Self::GoesBackBehindChangelog => {
                !scenario.exactly_once && scenario.cached && scenario.workload.name() == "lists"
            }
            _ => true,
        }
    }

    /// Switches those on that are inside the runtime, for as long as the answer lives.
    pub(super) fn switch_on(self) -> SwitchedOn {
        deliberate::set(match self {
            Self::AppliesBeforeCommit => Some(deliberate::Bug::AppliesBeforeCommit),
            Self::CommitsWithoutFlush => Some(deliberate::Bug::CommitsWithoutFlush),
            Self::KeepsUncommittedLayer => Some(deliberate::Bug::KeepsUncommittedLayer),
            Self::GoesBackBehindChangelog => Some(deliberate::Bug::GoesBackBehindChangelog),
            Self::MarksTooFar => Some(deliberate::Bug::MarksTooFar),
            _ => None,
        });
        SwitchedOn
    }

    /// The broker as a process with this bug sees it; `bare` is the same cluster without faults.
    pub(super) fn broker(bug: Option<Self>, inner: EmbeddedBroker, bare: &EmbeddedBroker) -> Arc<dyn Broker> {
        match bug {
            Some(bug) => Arc::new(Buggy { bug, inner, bare: bare.clone(), ends: Ends::default() }),
            None => Arc::new(inner),
        }
    }
}

/// Ends the bug when it goes.
pub(super) struct SwitchedOn;

impl Drop for SwitchedOn {
    fn drop(&mut self) {
        deliberate::set(None);
    }
}

// A lock because the traits want `Sync`; a life has one thread.
type Ends = Arc<Mutex<BTreeMap<TopicPartition, Position>>>;

struct Buggy {
    bug: Bug,
    inner: EmbeddedBroker,
    bare: EmbeddedBroker,
    /// The ends of all changelogs, as they were too early.
    ends: Ends,
}

impl Broker for Buggy {
    fn admin(&self) -> Arc<dyn Admin> {
        let inner = self.inner.admin();
        match self.bug {
            Bug::RestoresToStableOffset | Bug::AsksForEndsTooEarly => {
                Arc::new(BuggyAdmin { bug: self.bug, inner, ends: self.ends.clone() })
            }
            _ => inner,
        }
    }

    fn producer(&self, settings: ProducerSettings, wake: Wake) -> Result<Box<dyn Producer>, BrokerError> {
        let inner = self.inner.producer(settings, wake)?;
        match self.bug {
            Bug::CommitsOffsetsOutside | Bug::CommitsOneTooFar | Bug::ReadsGroupAfresh | Bug::TakesTimeoutForAbort => {
                Ok(Box::new(BuggyProducer { bug: self.bug, inner, bare: self.bare.clone() }))
            }
            _ => Ok(inner),
        }
    }

    fn fetcher(&self, isolation: Isolation, wake: Wake) -> Result<Box<dyn Fetcher>, BrokerError> {
        let isolation = if self.bug == Bug::RestoresUncommitted { Isolation::ReadUncommitted } else { isolation };
        self.inner.fetcher(isolation, wake)
    }

    fn member(&self, settings: MemberSettings, wake: Wake) -> Result<Box<dyn Member>, BrokerError> {
        let member = self.inner.member(settings, wake)?;
        if self.bug != Bug::AsksForEndsTooEarly {
            return Ok(member);
        }
        let member = BuggyMember { inner: member, bare: self.bare.clone(), ends: self.ends.clone() };
        member.look();
        Ok(Box::new(member))
    }
}

struct BuggyMember {
    inner: Box<dyn Member>,
    bare: EmbeddedBroker,
    ends: Ends,
}

impl BuggyMember {
    fn look(&self) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        for topic in self.bare.topics().into_iter().filter(|topic| topic.ends_with("-changelog")) {
            for partition in 0.. {
                let Ok(end) = self.bare.end(&topic, partition, Isolation::ReadUncommitted) else { break };
                ends.insert(TopicPartition::new(topic.clone(), partition), end);
            }
        }
    }
}

impl Member for BuggyMember {
    fn poll(&mut self) -> Option<MemberEvent> {
        let event = self.inner.poll();
        // For the next assignment, not for this one.
        if matches!(event, Some(MemberEvent::Revoking | MemberEvent::Lost)) {
            self.look();
        }
        event
    }

    fn acknowledge(&mut self) {
        self.inner.acknowledge();
    }

    fn commit(&mut self, offsets: Vec<OffsetCommit>, ownership: &Ownership) -> Ticket<()> {
        self.inner.commit(offsets, ownership)
    }

    fn leave(&mut self) -> Ticket<()> {
        self.inner.leave()
    }
}

struct BuggyProducer {
    bug: Bug,
    inner: Box<dyn Producer>,
    bare: EmbeddedBroker,
}

impl Producer for BuggyProducer {
    fn init(&mut self) -> Ticket<()> {
        self.inner.init()
    }

    fn begin(&mut self) -> Result<(), BrokerError> {
        self.inner.begin()
    }

    fn produce(&mut self, record: OutRecord<'_>) -> Result<bool, BrokerError> {
        self.inner.produce(record)
    }

    fn flush(&mut self) -> Ticket<()> {
        self.inner.flush()
    }

    fn send_offsets(&mut self, mut offsets: Vec<OffsetCommit>, ownership: &Ownership) -> Ticket<()> {
        match self.bug {
            Bug::CommitsOffsetsOutside => Ticket::ready(self.bare.alter_offsets(APP, offsets)),
            Bug::CommitsOneTooFar => {
                offsets.iter_mut().for_each(|commit| commit.position = commit.position.advance(1));
                self.inner.send_offsets(offsets, ownership)
            }
            Bug::ReadsGroupAfresh => {
                let (generation, members) = self.bare.group_members(APP);
                let member_id = members.into_keys().next().unwrap_or_else(|| ownership.member_id.clone());
                let afresh = Ownership { generation, member_id, handle: ownership.handle.clone() };
                self.inner.send_offsets(offsets, &afresh)
            }
            _ => self.inner.send_offsets(offsets, ownership),
        }
    }

    fn commit(&mut self) -> Ticket<()> {
        let mut ticket = self.inner.commit();
        if self.bug != Bug::TakesTimeoutForAbort {
            return ticket;
        }
        match ticket.poll() {
            Some(Err(error)) if error.class == ErrorClass::Unknown => {
                Ticket::ready(Err(BrokerError { class: ErrorClass::Abortable, ..error }))
            }
            Some(answer) => Ticket::ready(answer),
            None => ticket,
        }
    }

    fn abort(&mut self) -> Ticket<()> {
        self.inner.abort()
    }
}

struct BuggyAdmin {
    bug: Bug,
    inner: Arc<dyn Admin>,
    ends: Ends,
}

impl Admin for BuggyAdmin {
    fn describe_topics(&self, topics: Vec<Arc<str>>) -> Ticket<Vec<Option<TopicDescription>>> {
        self.inner.describe_topics(topics)
    }

    fn create_topics(&self, topics: Vec<NewTopic>) -> Ticket<Vec<TopicOutcome>> {
        self.inner.create_topics(topics)
    }

    fn delete_topics(&self, topics: Vec<Arc<str>>) -> Ticket<()> {
        self.inner.delete_topics(topics)
    }

    fn start_positions(&self, partitions: Vec<TopicPartition>) -> Ticket<Vec<Position>> {
        self.inner.start_positions(partitions)
    }

    fn end_positions(&self, partitions: Vec<TopicPartition>, isolation: Isolation) -> Ticket<Vec<Position>> {
        if self.bug == Bug::RestoresToStableOffset {
            return self.inner.end_positions(partitions, Isolation::ReadCommitted);
        }
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let early: Option<Vec<Position>> = partitions.iter().map(|partition| ends.get(partition).copied()).collect();
        drop(ends);
        match early.filter(|_| isolation == Isolation::ReadUncommitted) {
            Some(early) => Ticket::ready(Ok(early)),
            None => self.inner.end_positions(partitions, isolation),
        }
    }

    fn committed(&self, group: &str, partitions: Vec<TopicPartition>) -> Ticket<Vec<Option<Committed>>> {
        self.inner.committed(group, partitions)
    }

    fn delete_records(&self, before: Vec<(TopicPartition, Position)>) -> Ticket<()> {
        self.inner.delete_records(before)
    }
}
