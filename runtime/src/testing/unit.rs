//! One sub-topology under test: a production task over partition 0 of its topics, with the driver in place of the
//! worker and the broker.

use std::collections::HashMap;
use std::sync::Arc;

use millstream_operators::context::{Context, Dropped};
use millstream_operators::topology::{OffsetReset, SubTopologySpec, Topology};
use millstream_state::commit::Committed;
use millstream_state::context::StateContext;
use millstream_state::model::{Offset, Position, RawRecord, Timestamp, TopicId};
use millstream_state::store::{CacheBudget, Changelog, StoreId, StoreSpec, TaskStores};

use super::{RawTestRecord, TestConfig, TestError};
use crate::broker::{Batch, BrokerError, OutRecord};
use crate::clock::Monotonic;
use crate::task::metadata::OffsetMetadata;
use crate::task::{
    ChangelogTopic, DeserializationHandler, IdlePolicy, InputTopic, Now, Outbox, OutputTopic, StartPoint, Task, TaskId,
    TaskPlan, TaskRules, TaskState,
};

/// A record and the topic it goes to.
pub(super) type Routed = (Arc<str>, RawTestRecord);

/// One sub-topology with partition 0 of every topic it reads.
pub(super) struct Unit {
    task: Task,
    /// The input of each topic.
    inputs: HashMap<Arc<str>, usize>,
    now: Now,
    commits: u64,
}

impl Unit {
    pub(super) fn open(topology: &Arc<Topology>, index: usize, config: &TestConfig) -> Result<Self, TestError> {
        let plan = Arc::new(plan(topology, index, config));
        let spec = plan.sub_topology().spec();
        let id = TaskId { sub_topology: spec.id, partition: 0 };
        let engine =
            config.storage.open(&id.to_string()).map_err(|source| TestError::Open { sub_topology: spec.id, source })?;
        let stores = TaskStores::open(&spec.stores, engine)?;
        let starts =
            plan.inputs.iter().map(|_| StartPoint { position: Position::START, metadata: OffsetMetadata::default() });
        let starts = starts.collect();
        let rules = TaskRules { undecodable: config.undecodable.clone(), idle: IdlePolicy::Never };
        let state = TaskState { id, cx: Context::new(StateContext::new(stores)), plan };
        let task = state.start(starts, rules, &CacheBudget::new(config.cache_max_bytes));
        let inputs = task.inputs().enumerate().map(|(index, partition)| (partition.topic.clone(), index)).collect();
        let now = Now { monotonic: Monotonic::default(), wall: config.wall_clock };
        Ok(Self { task, inputs, now, commits: 0 })
    }

    fn spec(&self) -> &SubTopologySpec {
        self.task.plan().sub_topology().spec()
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = &str> {
        self.inputs.keys().map(|topic| &**topic)
    }

    pub(super) fn reads(&self, topic: &str) -> bool {
        self.inputs.contains_key(topic)
    }

    pub(super) fn enqueue(&mut self, topic: &str, offset: i64, record: RawTestRecord) {
        if let Some(input) = self.inputs.get(topic) {
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

    /// Processes the record that is next.
    pub(super) fn process_head(&mut self) -> Result<(), TestError> {
        self.task.process(self.now, 1)?;
        Ok(())
    }

    /// Flushes the caches, hands out what was written and makes the stores' changes permanent.
    pub(super) fn commit(&mut self) -> Result<Vec<Routed>, TestError> {
        self.task.flush()?;
        let mut collected = Collected::default();
        self.task.send(&mut collected)?;
        self.commits += 1;
        self.task.committed(&Committed::testify(self.commits), 0)?;
        Ok(collected.0)
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
fn plan(topology: &Arc<Topology>, index: usize, config: &TestConfig) -> TaskPlan {
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
            Some(ChangelogTopic { out, id: TopicId(0), delete_retention: std::time::Duration::MAX })
        }
        Changelog::Off | Changelog::Source(_) => None,
    };
    plan.changelogs = spec.stores.iter().map(changelog).collect();
    if let DeserializationHandler::DeadLetter(topic) = &config.undecodable {
        plan.dead_letters = Some(output(topic.clone()));
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
#[derive(Default)]
struct Collected(Vec<Routed>);

impl Outbox for Collected {
    fn send(&mut self, record: OutRecord<'_>) -> Result<bool, BrokerError> {
        let owned = RawTestRecord {
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            timestamp: record.timestamp,
            headers: record.headers.clone(),
        };
        self.0.push((record.topic.clone(), owned));
        Ok(true)
    }

    fn partitions(&mut self, _topic: &Arc<str>) -> Result<Option<i32>, BrokerError> {
        Ok(Some(1))
    }
}
