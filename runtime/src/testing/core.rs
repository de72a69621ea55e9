//! The driver's loop: which record goes next, and where what it gave rise to goes.
//!
//! ```text
//!  pipe → topic log ──┬→ head with the smallest time → unit processes it → commit → records written ─┐
//!                     └──────────────── topics that the topology reads itself ←──────────────────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use millstream_operators::context::Dropped;
use millstream_operators::topology::Topology;
use millstream_state::error::StateError;
use millstream_state::model::{Timestamp, TopicPartition};
use millstream_state::store::{StoreId, StoreKind, StoreSpec, TaskStores};

use super::global::GlobalUnit;
use super::layout::{Chance, Partitions};
use super::unit::{self, Unit};
use super::{RawTestRecord, TestConfig, TestError};
use crate::clock::Monotonic;
use crate::partitioner::partition_of;
use crate::task::{Now, TaskPlan};

/// Everything a test driver and its handles share.
pub(super) struct Core {
    topology: Arc<Topology>,
    units: Vec<Unit>,
    global: Option<GlobalUnit>,
    topics: BTreeMap<Arc<str>, TopicLog>,
    now: Now,
    /// The partition counts of topics; one each without them.
    counts: Option<BTreeMap<Arc<str>, i32>>,
    commit_each_record: bool,
    chance: Option<Chance>,
}

/// What was written to a topic, by the test or by the topology.
#[derive(Default)]
struct TopicLog {
    /// Records the topology has written, each with its partition.
    written: Vec<(i32, RawTestRecord)>,
    /// How many of them the test has read.
    read: usize,
    /// Where the next record of each partition goes.
    next_offsets: BTreeMap<i32, i64>,
    /// Where the next record without a key goes.
    round: usize,
}

impl Core {
    pub(super) fn new(topology: Topology, config: &TestConfig) -> Result<Self, TestError> {
        let topology = Arc::new(topology);
        let global = GlobalUnit::open(&topology, config)?;
        let globals = global.as_ref().map(|global| global.globals().clone()).unwrap_or_default();
        let (plans, counts) = match &config.partitions {
            None => {
                let parts = 0..topology.sub_topologies().len();
                (parts.map(|index| Arc::new(unit::plan(&topology, index, config))).collect(), None)
            }
            Some(partitions) => {
                let plans = partitions.plans(&topology, config)?;
                let counts = counts(&plans, partitions, global.as_ref());
                (plans, Some(counts))
            }
        };
        let ids =
            plans.iter().flat_map(|plan: &Arc<TaskPlan>| (0..plan.tasks()).map(move |partition| (plan, partition)));
        let units = ids.map(|(plan, partition)| Unit::open(plan.clone(), partition, config, &globals));
        let units = units.collect::<Result<_, _>>()?;
        let now = Now { monotonic: Monotonic::default(), wall: config.wall_clock };
        let (commit_each_record, chance) = (config.commit_each_record, config.interleave.map(Chance::seeded));
        let topics = BTreeMap::new();
        let mut core = Self { topology, units, global, topics, now, counts, commit_each_record, chance };
        for index in 0..core.units.len() {
            core.units[index].prepare()?;
            core.commit_if_due(index)?;
        }
        core.run()?;
        Ok(core)
    }

    pub(super) fn topology(&self) -> &Topology {
        &self.topology
    }

    pub(super) fn wall_clock(&self) -> Timestamp {
        self.now.wall
    }

    fn count(&self, topic: &str) -> i32 {
        self.counts.as_ref().and_then(|counts| counts.get(topic).copied()).unwrap_or(1)
    }

    /// Hands a record in to the partition given, or to the one that its key says.
    pub(super) fn pipe(&mut self, topic: &str, partition: Option<i32>, record: RawTestRecord) -> Result<(), TestError> {
        let global = self.global.iter().flat_map(GlobalUnit::topics);
        let known: BTreeSet<&str> = self.units.iter().flat_map(Unit::topics).chain(global).collect();
        if !known.contains(&topic) {
            let known: Vec<&str> = known.into_iter().collect();
            return Err(TestError::UnknownTopic { topic: topic.to_owned(), known: known.join(", ") });
        }
        let (topic, count): (Arc<str>, _) = (Arc::from(topic), self.count(topic));
        let log = self.topics.entry(topic.clone()).or_default();
        let partition = match (partition, &record.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_of(key, count),
            (None, None) => {
                log.round += 1;
                ((log.round - 1) % count.max(1) as usize) as i32
            }
        };
        self.deliver(&TopicPartition { topic, partition }, record)?;
        self.run()
    }

    pub(super) fn advance_wall_clock(&mut self, by: Duration) -> Result<(), TestError> {
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.now = Now {
            monotonic: self.now.monotonic.after(by),
            wall: Timestamp::from_millis(self.now.wall.millis().saturating_add(millis)),
        };
        for index in 0..self.units.len() {
            self.units[index].set_now(self.now);
            self.units[index].punctuate()?;
            self.commit_if_due(index)?;
        }
        self.run()
    }

    /// Processes until nothing waits.
    fn run(&mut self) -> Result<(), TestError> {
        while let Some(index) = self.next_unit()? {
            self.units[index].process_head()?;
            let time = self.units[index].stream_time();
            self.commit_if_due(index)?;
            if self.counts.is_none() {
                self.share_stream_time(index, time)?;
            }
        }
        Ok(())
    }

    /// As in Kafka Streams' driver all sub-topologies are one task with one stream time.
    fn share_stream_time(&mut self, from: usize, time: Timestamp) -> Result<(), TestError> {
        for index in (0..self.units.len()).filter(|index| *index != from) {
            if self.units[index].advance_stream_time(time)? {
                self.commit_if_due(index)?;
            }
        }
        Ok(())
    }

    /// The unit with the smallest head, or one that chance picks from those that have any.
    fn next_unit(&mut self) -> Result<Option<usize>, TestError> {
        let mut waiting: Vec<(Timestamp, usize)> = Vec::new();
        for (index, unit) in self.units.iter_mut().enumerate() {
            waiting.extend(unit.head_time()?.map(|time| (time, index)));
        }
        Ok(match &mut self.chance {
            Some(chance) if !waiting.is_empty() => Some(waiting[chance.below(waiting.len())].1),
            _ => waiting.into_iter().min().map(|(_, index)| index),
        })
    }

    /// Commits all tasks, and processes and commits what comes of that, until nothing is left.
    pub(super) fn commit(&mut self) -> Result<(), TestError> {
        while self.units.iter().any(Unit::needs_commit) {
            for index in 0..self.units.len() {
                self.commit_unit(index)?;
            }
            self.run()?;
        }
        Ok(())
    }

    fn commit_if_due(&mut self, index: usize) -> Result<(), TestError> {
        if self.commit_each_record { self.commit_unit(index) } else { Ok(()) }
    }

    fn commit_unit(&mut self, index: usize) -> Result<(), TestError> {
        let counts = &self.counts;
        let count = |topic: &str| counts.as_ref().and_then(|counts| counts.get(topic).copied()).unwrap_or(1);
        for (to, record) in self.units[index].commit(&count)? {
            self.topics.entry(to.topic.clone()).or_default().written.push((to.partition, record.clone()));
            self.deliver(&to, record)?;
        }
        Ok(())
    }

    /// Gives the record its offset and hands it to whoever reads the partition.
    fn deliver(&mut self, to: &TopicPartition, record: RawTestRecord) -> Result<(), TestError> {
        let log = self.topics.entry(to.topic.clone()).or_default();
        let next = log.next_offsets.entry(to.partition).or_default();
        let offset = *next;
        *next += 1;
        for unit in self.units.iter_mut().filter(|unit| unit.reads(to)) {
            unit.enqueue(to, offset, record.clone());
        }
        match &mut self.global {
            Some(global) => global.apply(to, offset, &record),
            None => Ok(()),
        }
    }

    pub(super) fn read(&mut self, topic: &str) -> Option<RawTestRecord> {
        let log = self.topics.get_mut(topic)?;
        let (_, record) = log.written.get(log.read)?.clone();
        log.read += 1;
        Some(record)
    }

    pub(super) fn unread(&self, topic: &str) -> usize {
        self.topics.get(topic).map_or(0, |log| log.written.len() - log.read)
    }

    /// The topics the topology has written to, with all their records and the partition of each.
    pub(super) fn written(&self) -> impl Iterator<Item = (&Arc<str>, &[(i32, RawTestRecord)])> {
        self.topics.iter().filter(|(_, log)| !log.written.is_empty()).map(|(topic, log)| (topic, &*log.written))
    }

    pub(super) fn dropped(&self) -> Dropped {
        self.units.iter().fold(Dropped::default(), |sum, unit| {
            let dropped = unit.dropped();
            Dropped {
                null: sum.null + dropped.null,
                late: sum.late + dropped.late,
                timestamp: sum.timestamp + dropped.timestamp,
            }
        })
    }

    /// Looks into a store.
    pub(super) fn with_store<T>(
        &mut self,
        (name, partition): (&str, i32),
        shape: &'static str,
        look: impl FnOnce(&mut TaskStores, StoreId) -> Result<T, StateError>,
    ) -> Result<T, TestError> {
        let error = self.unknown_store(name, shape);
        if let Some((id, state)) =
            self.units.iter_mut().filter(|unit| unit.partition() == partition).find_map(|unit| unit.store(name))
        {
            return Ok(look(&mut state.stores, id)?);
        }
        let looked = self.global.as_ref().and_then(|global| {
            global.globals().write(|cx| {
                let id = cx.state.stores.id(name)?;
                Some(look(&mut cx.state.stores, id))
            })?
        });
        Ok(looked.ok_or(error)??)
    }

    pub(super) fn store_kind(&self, name: &str, shape: &'static str) -> Result<StoreKind, TestError> {
        let found = self.store_specs().find(|spec| &*spec.name == name).map(|spec| spec.kind);
        found.ok_or_else(|| self.unknown_store(name, shape))
    }

    /// Whether the values of a store begin with headers.
    pub(super) fn has_headers(&self, name: &str) -> bool {
        self.store_specs().any(|spec| &*spec.name == name && spec.has_headers())
    }

    /// All stores of all sub-topologies.
    pub(super) fn store_specs(&self) -> impl Iterator<Item = &StoreSpec> {
        self.units
            .iter()
            .filter(|unit| unit.partition() == 0)
            .flat_map(Unit::store_specs)
            .chain(self.global.iter().flat_map(GlobalUnit::specs))
    }

    pub(super) fn unknown_store(&self, name: &str, shape: &'static str) -> TestError {
        let known: Vec<&str> = self.store_specs().map(|spec| &*spec.name).collect();
        TestError::UnknownStore { store: name.to_owned(), shape, known: known.join(", ") }
    }
}

/// The partition counts of all topics that are read or written.
fn counts(plans: &[Arc<TaskPlan>], partitions: &Partitions, global: Option<&GlobalUnit>) -> BTreeMap<Arc<str>, i32> {
    let inputs = plans.iter().flat_map(|plan| &plan.inputs).map(|input| (input.topic.clone(), input.partitions));
    let sinks =
        plans.iter().flat_map(|plan| plan.sinks.iter().flatten()).map(|sink| (sink.topic.clone(), sink.partitions));
    let global = global.into_iter().flat_map(GlobalUnit::topics);
    let global = global.map(|topic| (Arc::from(topic), partitions.count(topic)));
    inputs.chain(sinks).chain(global).collect()
}
