//! Tells when an application has processed all there is.
//!
//! ```text
//!   input ──▶ repartition ──▶ … ──▶ outputs
//!     no open transaction, nothing behind the group's committed offsets      no open transaction
//! ```
//! The order of the questions carries the proof. What an application writes downstream is committed with the offsets of
//! what it read upstream; so once nothing is left upstream, all that will ever arrive downstream is there or in a
//! transaction still being completed, which the end offsets tell.

use std::sync::Arc;

use millstream::broker::{Admin, Broker, BrokerError, Committed, Isolation};
use millstream::state::model::{Position, TopicPartition};
use tokio::time::{Duration, Instant};

use crate::calls::{ask, notifying, progress};

/// How long a partition may take to tell whether there is data behind its committed offset. Without an answer it counts
/// as data: the question is asked again anyway.
const PATIENCE: Duration = Duration::from_secs(5);

/// The topics of an application, and its consumer group.
pub struct Drained {
    /// The consumer group: the application id.
    pub group: String,
    /// The topics it reads, upstream first: what feeds a topic stands before it.
    pub inputs: Vec<Arc<str>>,
    /// The topics it only writes.
    pub outputs: Vec<Arc<str>>,
}

/// How far an application is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Something is left to be done.
    Behind {
        /// Offsets of the first topic that are processed and committed.
        done: i64,
        /// Offsets in the first topic.
        of: i64,
    },
    /// Nothing is left.
    Drained,
}

impl Drained {
    /// Looks at all topics, upstream first.
    ///
    /// # Errors
    /// If the broker doesn't answer.
    pub async fn check(&self, broker: &dyn Broker) -> Result<Status, BrokerError> {
        let admin = broker.admin();
        let mut first = None;
        for topic in &self.inputs {
            let Some(state) = self.look(&*admin, topic).await? else { return Ok(behind(first)) };
            let progress = *first.get_or_insert(state.progress());
            if state.open_transaction || data_behind(broker, state.lagging).await? {
                return Ok(Status::Behind { done: progress.0, of: progress.1 });
            }
        }
        for topic in &self.outputs {
            match self.look(&*admin, topic).await? {
                Some(state) if !state.open_transaction => {}
                _ => return Ok(behind(first)),
            }
        }
        Ok(Status::Drained)
    }

    /// One topic's ends and committed offsets; `None` while the topic does not exist.
    async fn look(&self, admin: &dyn Admin, topic: &Arc<str>) -> Result<Option<TopicState>, BrokerError> {
        let described = ask(|| admin.describe_topics(vec![topic.clone()])).await?;
        let Some(found) = described.into_iter().next().flatten() else { return Ok(None) };
        let partitions: Vec<_> =
            (0..found.partitions).map(|number| TopicPartition::new(topic.clone(), number)).collect();
        // The end is read first: what is stable or committed later than that covers all that lay before it.
        let ends = ask(|| admin.end_positions(partitions.clone(), Isolation::ReadUncommitted)).await?;
        let stable = ask(|| admin.end_positions(partitions.clone(), Isolation::ReadCommitted)).await?;
        let starts = ask(|| admin.start_positions(partitions.clone())).await?;
        let committed = ask(|| admin.committed(&self.group, partitions.clone())).await?;
        Ok(Some(TopicState::new(partitions, &starts, &ends, &stable, committed)))
    }
}

fn behind(first: Option<(i64, i64)>) -> Status {
    let (done, of) = first.unwrap_or_default();
    Status::Behind { done, of }
}

struct TopicState {
    open_transaction: bool,
    done: i64,
    of: i64,
    /// Partitions whose committed position is before the end, which may still be control records only.
    lagging: Vec<(TopicPartition, Position, Position)>,
}

impl TopicState {
    fn new(
        partitions: Vec<TopicPartition>,
        starts: &[Position],
        ends: &[Position],
        stable: &[Position],
        committed: Vec<Option<Committed>>,
    ) -> Self {
        let mut state = Self { open_transaction: false, done: 0, of: 0, lagging: Vec::new() };
        for (index, (partition, committed)) in partitions.into_iter().zip(committed).enumerate() {
            // Records below the start have been deleted because they were processed.
            let done = committed.map_or(starts[index], |committed| committed.position.max(starts[index]));
            state.open_transaction |= stable[index] < ends[index];
            state.done += done.number();
            state.of += ends[index].number();
            if done < ends[index] {
                state.lagging.push((partition, done, ends[index]));
            }
        }
        state
    }

    fn progress(&self) -> (i64, i64) {
        (self.done, self.of)
    }
}

/// Whether there is a committed record in any of these spans; markers of transactions and aborted records are not data.
async fn data_behind(
    broker: &dyn Broker,
    spans: Vec<(TopicPartition, Position, Position)>,
) -> Result<bool, BrokerError> {
    if spans.is_empty() {
        return Ok(false);
    }
    let (wake, notify) = notifying();
    let mut fetcher = broker.fetcher(Isolation::ReadCommitted, wake)?;
    let mut open = Vec::new();
    for (partition, from, end) in spans {
        open.push((fetcher.assign(&partition, from)?, end));
    }
    let deadline = Instant::now() + PATIENCE;
    while !open.is_empty() {
        for (queue, _) in &mut open {
            if queue.drain(1)?.is_some() {
                return Ok(true);
            }
        }
        open.retain(|(queue, end)| queue.position() < *end);
        if Instant::now() > deadline {
            return Ok(true);
        }
        if !open.is_empty() {
            progress(&notify).await;
        }
    }
    Ok(false)
}
