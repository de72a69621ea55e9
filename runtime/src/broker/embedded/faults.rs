//! Faults that a simulation injects into calls.

use std::sync::Arc;

use millstream_state::model::TopicPartition;

use super::super::BrokerError;

/// What kind of call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallKind {
    /// [`Admin::describe_topics`](super::super::Admin::describe_topics).
    DescribeTopics,
    /// [`Admin::create_topics`](super::super::Admin::create_topics).
    CreateTopics,
    /// [`Admin::delete_topics`](super::super::Admin::delete_topics).
    DeleteTopics,
    /// [`Admin::start_positions`](super::super::Admin::start_positions).
    StartPositions,
    /// [`Admin::end_positions`](super::super::Admin::end_positions).
    EndPositions,
    /// [`Admin::committed`](super::super::Admin::committed).
    Committed,
    /// [`Admin::delete_records`](super::super::Admin::delete_records).
    DeleteRecords,
    /// [`Producer::init`](super::super::Producer::init).
    Init,
    /// [`Producer::begin`](super::super::Producer::begin); only [`Fault::FailBefore`] has a meaning.
    Begin,
    /// [`Producer::produce`](super::super::Producer::produce). With [`Fault::FailBefore`] it answers the error; with
    /// [`Fault::LoseAnswer`] the record is in the log and the next flush fails. The others have no meaning.
    Produce,
    /// [`Producer::flush`](super::super::Producer::flush).
    Flush,
    /// [`Producer::send_offsets`](super::super::Producer::send_offsets).
    SendOffsets,
    /// [`Producer::commit`](super::super::Producer::commit).
    Commit,
    /// [`Producer::abort`](super::super::Producer::abort).
    Abort,
    /// [`PartitionQueue::drain`](super::super::PartitionQueue::drain); only [`Fault::FailBefore`] has a meaning.
    Drain,
    /// [`Member::commit`](super::super::Member::commit).
    MemberCommit,
    /// [`Member::leave`](super::super::Member::leave).
    Leave,
}

impl CallKind {
    /// All kinds, so that a test can hit each.
    pub const ALL: [Self; 17] = [
        Self::DescribeTopics,
        Self::CreateTopics,
        Self::DeleteTopics,
        Self::StartPositions,
        Self::EndPositions,
        Self::Committed,
        Self::DeleteRecords,
        Self::Init,
        Self::Begin,
        Self::Produce,
        Self::Flush,
        Self::SendOffsets,
        Self::Commit,
        Self::Abort,
        Self::Drain,
        Self::MemberCommit,
        Self::Leave,
    ];
}

/// A call about to be made.
#[derive(Clone, Debug)]
pub struct CallInfo {
    /// Which call it is of all that this cluster was asked through handles with faults, counted from 0.
    pub index: u64,
    /// What it does.
    pub kind: CallKind,
    /// Who calls: the client id of the settings, or of the broker's handle where a call has no settings.
    pub client: Arc<str>,
    /// The partition it is about; the first, if it is about several. A topic as a whole has partition -1.
    pub partition: Option<TopicPartition>,
}

/// What goes wrong with a call.
#[derive(Clone, Debug, Default)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// It fails with this error and has no effect.
    FailBefore(BrokerError),
    /// It has its effect; the answer is [`ErrorClass::Unknown`](super::super::ErrorClass::Unknown).
    LoseAnswer,
    /// It reaches the broker twice, as a request does whose first answer was lost on the way; answered is the second.
    /// Of no meaning for `Init`, `Committed`, `Leave` and those that heed only [`Fault::FailBefore`].
    Twice,
    /// It has its effect at once; the answer comes when it is released.
    Hold,
    /// Effect and answer come when it is released.
    Delay,
}

/// Decides what goes wrong. Asked before each call, with no lock held.
pub trait Faults: Send + Sync {
    /// What is to happen to this call.
    fn decide(&self, call: &CallInfo) -> Fault;
}

impl<F: Fn(&CallInfo) -> Fault + Send + Sync> Faults for F {
    fn decide(&self, call: &CallInfo) -> Fault {
        self(call)
    }
}
