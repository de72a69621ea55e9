//! One sub-topology under test: a production task over partition 0 of its topics, with the driver in place of the
//! worker and the broker.

use std::collections::HashMap;
use std::sync::Arc;

use millstream_operators::context::{Context, Dropped};
use millstream_operators::global::Globals;
use millstream_operators::topology::{OffsetReset, SubTopologySpec, Topology};
use millstream_state::commit::Committed;
use millstream_state::context::StateContext;
use millstream_state::model::{Offset, Position, RawRecord, Timestamp, TopicId, TopicPartition};
use millstream_state::store::{CacheBudget, Changelog, StoreId, StoreSpec, TaskStores};

use super::{RawTestRecord, TestConfig, TestError};
use crate::broker::{Batch, BrokerError, OutRecord};
use crate::clock::Monotonic;
use crate::task::metadata::OffsetMetadata;
use crate::task::{
    ChangelogTopic, DeserializationHandler, IdlePolicy, InputTopic, Now, Outbox, OutputTopic, ProcessingHandler,
    StartPoint, Task, TaskId, TaskPlan, TaskRules, TaskState,
};

/// A record and the partition it goes to.
pub(super) type Routed = (TopicPartition, RawTestRecord);

/// One sub-topology with one partition of every topic it reads.
pub(super) struct Unit {
    task: Task,
    /// The input of each partition.
    inputs: HashMap<TopicPartition, usize>,
    now: Now,
    commits: u64,
}

impl Unit {
    pub(super) fn open(
        plan: Arc<TaskPlan>,
        partition: i32,
        config: &TestConfig,
        globals: &Globals,
    ) -> Result<Self, TestError> {
        let spec = plan.sub_topology().spec();
        let id = TaskId { sub_topology: spec.id, partition };
        let engine =
            config.storage.open(&id.to_string()).map_err(|source| TestError::Open { sub_topology: spec.id, source })?;
        let stores = TaskStores::open(&spec.stores, engine)?;
        let starts =
            plan.inputs_of(id).map(|_| StartPoint { position: Position::START, metadata: OffsetMetadata::default() });
        let starts = starts.collect();
        let rules = TaskRules {
            undecodable: config.undecodable.clone(),
            refused: config.refused.clone(),
            idle: IdlePolicy::Never,
            ..TaskRules::default()
        };
        let mut cx = Context::new(StateContext::new(stores));
        cx.globals = globals.clone();
        cx.emit_pauses = config.emit_pauses;
        let state = TaskState { id, cx, plan };
        let task = state.start(starts, rules, &CacheBudget::new(config.cache_max_bytes));
        let inputs = task.inputs().enumerate().map(|(index, partition)| (partition.clone(), index)).collect();
        let now = Now { monotonic: Monotonic::default(), wall: config.wall_clock };
        Ok(Self { task, inputs, now, commits: 0 })
    }

    fn spec(&self) -> &SubTopologySpec {
        self.task.plan().sub_topology().spec()
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = &str> {
        self.inputs.keys().map(|partition| &*partition.topic)
    }

    pub(super) fn reads(&self, partition: &TopicPartition) -> bool {
        self.inputs.contains_key(partition)
    }

    /// The partition of the task.
    pub(super) fn partition(&self) -> i32 {
        self.task.id().partition
    }

    /// Whether a commit would change anything.
    pub(super) fn needs_commit(&self) -> bool {
        self.task.needs_commit() || self.task.has_unsent()
    }

    pub(super) fn enqueue(&mut self, partition: &TopicPartition, offset: i64, record: RawTestRecord) {
        if let Some(input) = self.inputs.get(partition) {
            self.task.enqueue(*input, Box::new(Single { offset, record }));
        }
    }

    pub(super) fn set_now(&mut self, now: Now) {
        self.now = now;
    }

    /// The time of the record that is next; `None` if nothing waits.
    pub(super) fn head_time(&mut self) -> Result<Option<Timestamp>, TestError> {
        Ok(self.task.next_timestamp(self.now.monotonic)?)
    }

    /// Initialises the processors.
    pub(super) fn prepare(&mut self) -> Result<(), TestError> {
        Ok(self.task.prepare(self.now)?)
    }

    /// Runs the wall-clock timers that are due.
    pub(super) fn punctuate(&mut self) -> Result<(), TestError> {
        self.task.punctuate(self.now)?;
        Ok(())
    }

    /// The highest timestamp processed so far.
    pub(super) fn stream_time(&self) -> Timestamp {
        self.task.context().stream_time
    }

    /// Takes the stream time of another sub-topology; answers whether a timer ran.
    pub(super) fn advance_stream_time(&mut self, time: Timestamp) -> Result<bool, TestError> {
        Ok(self.task.advance_stream_time(time)?)
    }

    /// Processes the record that is next.
    pub(super) fn process_head(&mut self) -> Result<(), TestError> {
        self.task.process(self.now, 1)?;
        Ok(())
    }

    /// Flushes the caches, hands out what was written and makes the stores' changes permanent.
    pub(super) fn commit(&mut self, count: &dyn Fn(&str) -> i32) -> Result<Vec<Routed>, TestError> {
        self.task.flush()?;
        let mut collected = Collected { written: Vec::new(), count };
        self.task.send(&mut collected)?;
        self.commits += 1;
        self.task.committed(&Committed::testify(self.commits), 0)?;
        Ok(collected.written)
    }

    pub(super) fn dropped(&self) -> Dropped {
        self.task.context().dropped
    }

    pub(super) fn store_specs(&self) -> &[StoreSpec] {
        &self.spec().stores
    }

    pub(super) fn store(&mut self, name: &str) -> Option<(StoreId, &mut StateContext)> {
        let index = self.store_specs().iter().position(|store| &*store.name == name)?;
        Some((StoreId(index as u32), &mut self.task.context_mut().state))
    }
}

/// The plan of a sub-topology whose topics all have one partition.
pub(super) fn plan(topology: &Arc<Topology>, index: usize, config: &TestConfig) -> TaskPlan {
    let mut plan = TaskPlan::new(topology.clone(), index);
    let spec = plan.sub_topology().spec().clone();
    let output = |topic: Arc<str>| OutputTopic { topic, partitions: 1, retention: None };
    for (source, node) in spec.sources.iter().enumerate() {
        for topic in &node.topics {
            let topic = topic.full_name(&config.application_id);
            let reset = node.offset_reset.unwrap_or(OffsetReset::Earliest);
            plan.inputs.push(InputTopic { topic, partitions: 1, source, reset, repartition: false });
        }
    }
    let sinks = spec.sinks.iter();
    plan.sinks =
        sinks.map(|sink| sink.topic.as_ref().map(|topic| output(topic.full_name(&config.application_id)))).collect();
    let changelog = |store: &StoreSpec| match &store.changelog {
        Changelog::Topic(_) => {
            let out = output(format!("{}-{}-changelog", config.application_id, store.name).into());
            Some(ChangelogTopic { out, id: TopicId(0), delete_retention: std::time::Duration::MAX, source: false })
        }
        Changelog::Off | Changelog::Source(_) => None,
    };
    plan.changelogs = spec.stores.iter().map(changelog).collect();
    if let DeserializationHandler::DeadLetter(topic) = &config.undecodable {
        plan.dead_letters = Some(output(topic.clone()));
    }
    if let ProcessingHandler::DeadLetter(topic) = &config.refused {
        plan.refused = Some(output(topic.clone()));
    }
    plan
}

/// A fetched record.
struct Single {
    offset: i64,
    record: RawTestRecord,
}

impl Batch for Single {
    fn len(&self) -> usize {
        1
    }

    fn get(&self, _index: usize) -> RawRecord<'_> {
        RawRecord {
            offset: Offset::new(self.offset),
            timestamp: self.record.timestamp.unwrap_or(Timestamp::UNKNOWN),
            key: self.record.key.as_deref(),
            value: self.record.value.as_deref(),
            headers: &self.record.headers,
        }
    }
}

/// Takes what a task writes, in order.
struct Collected<'a> {
    written: Vec<Routed>,
    /// The partition count of a topic that was chosen per record.
    count: &'a dyn Fn(&str) -> i32,
}

impl Outbox for Collected<'_> {
    fn send(&mut self, record: OutRecord<'_>) -> Result<bool, BrokerError> {
        let owned = RawTestRecord {
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            timestamp: record.timestamp,
            headers: record.headers.clone(),
        };
        self.written.push((TopicPartition { topic: record.topic.clone(), partition: record.partition }, owned));
        Ok(true)
    }

    fn partitions(&mut self, topic: &Arc<str>) -> Result<Option<i32>, BrokerError> {
        Ok(Some((self.count)(topic)))
    }
}
