//! What a group has committed, and what open transactions are about to commit for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_state::model::TopicPartition;

use super::super::{BrokerError, Committed, Completer, ErrorClass, OffsetCommit};
use super::cluster::{Cluster, Topics};

/// The broker's `offset.metadata.max.bytes`.
const MAX_METADATA_BYTES: usize = 4096;

/// The offsets of one group.
#[derive(Debug, Default)]
pub(super) struct GroupOffsets {
    pub(super) committed: BTreeMap<TopicPartition, Committed>,
    /// By producer; they count once its transaction commits.
    pending: BTreeMap<u32, BTreeMap<TopicPartition, Committed>>,
}

impl GroupOffsets {
    /// Whether an open transaction holds an offset for one of the partitions.
    pub(super) fn is_pending<'a>(&self, mut partitions: impl Iterator<Item = &'a TopicPartition>) -> bool {
        !self.pending.is_empty() && partitions.any(|p| self.pending.values().any(|pending| pending.contains_key(p)))
    }

    /// Commits at once, or with a producer when its transaction does.
    pub(super) fn commit(&mut self, producer: Option<u32>, offsets: Vec<OffsetCommit>) {
        let target = match producer {
            Some(producer) => self.pending.entry(producer).or_default(),
            None => &mut self.committed,
        };
        target.extend(
            offsets
                .into_iter()
                .map(|commit| (commit.partition, Committed { position: commit.position, metadata: commit.metadata })),
        );
    }

    /// Ends what a producer's transaction holds.
    pub(super) fn end_transaction(&mut self, producer: u32, committed: bool) {
        let pending = self.pending.remove(&producer).unwrap_or_default();
        if committed {
            self.committed.extend(pending);
        }
    }

    pub(super) fn forget_topic(&mut self, topic: &str) {
        self.committed.retain(|partition, _| &*partition.topic != topic);
    }
}

/// Whether the broker takes these offsets.
pub(super) fn check(offsets: &[OffsetCommit], topics: &Topics) -> Result<(), BrokerError> {
    for commit in offsets {
        topics.log(&commit.partition)?;
        let call = || format!("commit of offset {} for {}", commit.position, commit.partition);
        if commit.position.number() < 0 {
            return Err(BrokerError::new(ErrorClass::Fatal, call(), "the offset is negative"));
        }
        let bytes = commit.metadata.len();
        if bytes > MAX_METADATA_BYTES {
            let reason = format!("the metadata has {bytes} bytes; the broker takes {MAX_METADATA_BYTES}");
            return Err(BrokerError::new(ErrorClass::Fatal, call(), reason));
        }
    }
    Ok(())
}

/// A fetch of committed offsets that waits for transactions to end.
pub(super) struct WaitingFetch {
    group: Arc<str>,
    partitions: Vec<TopicPartition>,
    completer: Completer<Vec<Option<Committed>>>,
}

impl Cluster {
    /// Answers with the stable offsets of a group, at once or when the transactions that hold them have ended.
    pub(super) fn fetch_offsets(
        &mut self,
        group: &str,
        partitions: Vec<TopicPartition>,
        completer: Completer<Vec<Option<Committed>>>,
    ) {
        self.fetches.push(WaitingFetch { group: group.into(), partitions, completer });
        self.answer_fetches();
    }

    /// Commits offsets for a group past its members.
    pub(super) fn alter_offsets(&mut self, group: &str, offsets: Vec<OffsetCommit>) -> Result<(), BrokerError> {
        check(&offsets, &self.topics)?;
        if let Some(group) = self.groups.get_mut(group) {
            group.offsets.commit(None, offsets);
        }
        Ok(())
    }

    /// Answers the fetches whose offsets are stable now.
    pub(super) fn answer_fetches(&mut self) {
        for fetch in std::mem::take(&mut self.fetches) {
            let offsets = self.groups.get(&fetch.group).map(|group| &group.offsets);
            if offsets.is_some_and(|offsets| offsets.is_pending(fetch.partitions.iter())) {
                self.fetches.push(fetch);
                continue;
            }
            let committed = |partition| offsets.and_then(|offsets| offsets.committed.get(partition)).cloned();
            let answer = fetch.partitions.iter().map(committed).collect();
            self.outbox.answer(fetch.completer, Ok(answer));
        }
    }
}
