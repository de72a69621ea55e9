//! A task alone: a production task over one partition of its topics, with records made up front in place of a broker's,
//! and an outbox that only counts. Nothing but the task takes time or memory.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use millstream::broker::{Batch, BrokerError, OutRecord};
use millstream::clock::Monotonic;
use millstream::operators::context::Context;
use millstream::operators::topology::{OffsetReset, Topology};
use millstream::state::commit::Committed;
use millstream::state::context::StateContext;
use millstream::state::engine::Engine;
use millstream::state::model::{Headers, Offset, Position, RawRecord, Timestamp, TopicId};
use millstream::state::store::{CacheBudget, Changelog, TaskStores};
use millstream::task::metadata::OffsetMetadata;
use millstream::task::{
    ChangelogTopic, InputTopic, Now, Outbox, OutputTopic, StartPoint, Task, TaskId, TaskPlan, TaskRules, TaskState,
};

/// An input record: key, value, and milliseconds since the epoch.
pub type Fed = (Vec<u8>, Vec<u8>, i64);

/// The task, its clock, and what it has sent.
pub struct Alone {
    task: Task,
    now: Now,
    next: i64,
    commits: u64,
    sent: Counter,
}

impl Alone {
    /// The task of the topology's first sub-topology, with its stores in this engine and a record cache of so many bytes.
    ///
    /// # Errors
    /// If the stores cannot be opened.
    pub fn new(topology: Topology, engine: Box<dyn Engine>, cache: usize) -> Result<Self> {
        let plan = plan(topology);
        let spec = plan.sub_topology().spec();
        let stores = TaskStores::open(&spec.stores, engine)?;
        let id = TaskId { sub_topology: spec.id, partition: 0 };
        let start = || StartPoint { position: Position::START, metadata: OffsetMetadata::default() };
        let starts = plan.inputs_of(id).map(|_| start()).collect();
        let state = TaskState { id, cx: Context::new(StateContext::new(stores)), plan: Arc::new(plan) };
        let task = state.start(starts, TaskRules::default(), &CacheBudget::new(cache));
        let now = Now { monotonic: Monotonic::default(), wall: Timestamp::from_millis(1_700_000_000_000) };
        Ok(Self { task, now, next: 0, commits: 0, sent: Counter::default() })
    }

    /// Lets records wait at the first input.
    pub fn feed(&mut self, records: Vec<Fed>) {
        self.feed_to(0, records);
    }

    /// Lets records wait at an input; inputs are numbered as the sub-topology's sources are.
    pub fn feed_to(&mut self, input: usize, records: Vec<Fed>) {
        let batch = Records { first: self.next, records, headers: Headers::new() };
        self.next += batch.records.len() as i64;
        self.task.enqueue(input, Box::new(batch));
    }

    /// Processes all that waits and sends what comes of it; answers how many records it was.
    ///
    /// # Errors
    /// If the task fails.
    pub fn process(&mut self) -> Result<usize> {
        let mut all = 0;
        loop {
            let done = self.task.process(self.now, 1000)?;
            anyhow::ensure!(self.task.send(&mut self.sent)?, "the outbox has room");
            if done == 0 {
                return Ok(all);
            }
            all += done;
        }
    }

    /// Flushes the caches, sends what they held back and makes the stores' changes permanent.
    ///
    /// # Errors
    /// If the task fails.
    pub fn commit(&mut self) -> Result<()> {
        self.task.flush()?;
        anyhow::ensure!(self.task.send(&mut self.sent)?, "the outbox has room");
        self.commits += 1;
        Ok(self.task.committed(&Committed::testify(self.commits), 1)?)
    }

    /// How many records were sent: outputs and changelog.
    pub fn sent(&self) -> u64 {
        self.sent.records
    }
}

/// The plan of the first sub-topology, whose topics all have one partition.
fn plan(topology: Topology) -> TaskPlan {
    const APP: &str = "alone";
    let mut plan = TaskPlan::new(Arc::new(topology), 0);
    let spec = plan.sub_topology().spec().clone();
    let output = |topic: Arc<str>| OutputTopic { topic, partitions: 1, retention: None };
    for (source, node) in spec.sources.iter().enumerate() {
        let input =
            |topic| InputTopic { topic, partitions: 1, source, reset: OffsetReset::Earliest, repartition: false };
        plan.inputs.extend(node.topics.iter().map(|topic| input(topic.full_name(APP))));
    }
    plan.sinks = spec.sinks.iter().map(|sink| Some(output(sink.topic.as_ref()?.full_name(APP)))).collect();
    let stores = spec.stores.iter().map(|store| {
        let out = output(format!("{APP}-{}-changelog", store.name).into());
        let changelog = ChangelogTopic { out, id: TopicId(0), delete_retention: Duration::MAX, source: false };
        matches!(store.changelog, Changelog::Topic(_)).then_some(changelog)
    });
    plan.changelogs = stores.collect();
    plan
}

struct Records {
    first: i64,
    records: Vec<Fed>,
    headers: Headers,
}

impl Batch for Records {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn get(&self, index: usize) -> RawRecord<'_> {
        let (key, value, timestamp) = &self.records[index];
        RawRecord {
            offset: Offset::new(self.first + index as i64),
            timestamp: Timestamp::from_millis(*timestamp),
            key: Some(key),
            value: Some(value),
            headers: &self.headers,
        }
    }
}

/// Takes every record and keeps none.
#[derive(Default)]
struct Counter {
    records: u64,
}

impl Outbox for Counter {
    fn send(&mut self, _record: OutRecord<'_>) -> Result<bool, BrokerError> {
        self.records += 1;
        Ok(true)
    }

    fn partitions(&mut self, _topic: &Arc<str>) -> Result<Option<i32>, BrokerError> {
        Ok(Some(1))
    }
}

#[cfg(test)]
mod tests {
    use millstream::prelude::*;
    use millstream::state::engine::MemoryEngine;

    use super::*;

    /// A turn that went by input records alone let them all wait at once, and a commit was late by what they took.
    #[test]
    fn a_turn_ends_when_there_is_much_to_be_sent() {
        let builder = StreamsBuilder::new();
        let hundredfold = |value: &i64| vec![*value; 100];
        builder.stream::<i64, i64>("in").flat_map_values(hundredfold).to("out");
        let mut alone = Alone::new(builder.build().unwrap(), Box::new(MemoryEngine::new()), 0).unwrap();
        let number = |n: i64| n.to_be_bytes().to_vec();
        alone.feed((0..1000).map(|n| (number(n), number(n), n)).collect());

        assert_eq!(alone.task.process(alone.now, 1000).unwrap(), 20);
        assert_eq!(alone.process().unwrap(), 980);
        assert_eq!(alone.sent(), 100_000);
    }
}
