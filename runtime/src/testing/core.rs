//! The driver's loop: which record goes next, and where what it gave rise to goes.
//!
//! ```text
//!  pipe → topic log ──┬→ head with the smallest time → unit processes it → commit → records written ─┐
//!                     └──────────────── topics that the topology reads itself ←──────────────────────┘
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_operators::context::Dropped;
use millstream_operators::topology::Topology;
use millstream_state::context::StateContext;
use millstream_state::model::Timestamp;
use millstream_state::store::{StoreId, StoreKind, StoreSpec};

use super::unit::Unit;
use super::{RawTestRecord, TestConfig, TestError};
use crate::clock::Monotonic;
use crate::task::Now;

/// Everything a test driver and its handles share.
pub(super) struct Core {
    topology: Arc<Topology>,
    units: Vec<Unit>,
    topics: BTreeMap<Arc<str>, TopicLog>,
    now: Now,
}

/// What was written to a topic, by the test or by the topology.
#[derive(Default)]
struct TopicLog {
    /// Records the topology has written.
    written: Vec<RawTestRecord>,
    /// How many of them the test has read.
    read: usize,
    /// Where the next record goes.
    next_offset: i64,
}

impl Core {
    pub(super) fn new(topology: Topology, config: &TestConfig) -> Result<Self, TestError> {
        let topology = Arc::new(topology);
        let parts = 0..topology.sub_topologies().len();
        let units = parts.map(|index| Unit::open(&topology, index, config)).collect::<Result<_, _>>()?;
        Ok(Self {
            topology,
            units,
            topics: BTreeMap::new(),
            now: Now { monotonic: Monotonic::default(), wall: config.wall_clock },
        })
    }

    pub(super) fn topology(&self) -> &Topology {
        &self.topology
    }

    pub(super) fn wall_clock(&self) -> Timestamp {
        self.now.wall
    }

    pub(super) fn pipe(&mut self, topic: &str, record: RawTestRecord) -> Result<(), TestError> {
        if !self.units.iter().any(|unit| unit.reads(topic)) {
            let known: Vec<&str> = self.units.iter().flat_map(Unit::topics).collect();
            return Err(TestError::UnknownTopic { topic: topic.to_owned(), known: known.join(", ") });
        }
        self.deliver(&Arc::from(topic), record);
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
            self.commit(index)?;
        }
        self.run()
    }

    /// Processes until nothing waits, committing after every record.
    fn run(&mut self) -> Result<(), TestError> {
        while let Some(index) = self.unit_with_smallest_head()? {
            self.units[index].process_head()?;
            self.commit(index)?;
        }
        Ok(())
    }

    fn unit_with_smallest_head(&mut self) -> Result<Option<usize>, TestError> {
        let mut smallest: Option<(Timestamp, usize)> = None;
        for (index, unit) in self.units.iter_mut().enumerate() {
            if let Some(time) = unit.head_time()?
                && smallest.is_none_or(|(least, _)| time < least)
            {
                smallest = Some((time, index));
            }
        }
        Ok(smallest.map(|(_, index)| index))
    }

    fn commit(&mut self, index: usize) -> Result<(), TestError> {
        for (topic, record) in self.units[index].commit()? {
            self.topics.entry(topic.clone()).or_default().written.push(record.clone());
            self.deliver(&topic, record);
        }
        Ok(())
    }

    /// Gives the record its offset and hands it to whoever reads the topic.
    fn deliver(&mut self, topic: &Arc<str>, record: RawTestRecord) {
        let log = self.topics.entry(topic.clone()).or_default();
        let offset = log.next_offset;
        log.next_offset += 1;
        for unit in self.units.iter_mut().filter(|unit| unit.reads(topic)) {
            unit.enqueue(topic, offset, record.clone());
        }
    }

    pub(super) fn read(&mut self, topic: &str) -> Option<RawTestRecord> {
        let log = self.topics.get_mut(topic)?;
        let record = log.written.get(log.read)?.clone();
        log.read += 1;
        Some(record)
    }

    pub(super) fn unread(&self, topic: &str) -> usize {
        self.topics.get(topic).map_or(0, |log| log.written.len() - log.read)
    }

    /// The topics the topology has written to, with all their records.
    pub(super) fn written(&self) -> impl Iterator<Item = (&Arc<str>, &[RawTestRecord])> {
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

    /// A store and the state it belongs to.
    pub(super) fn store(&mut self, name: &str, shape: &'static str) -> Result<(StoreId, &mut StateContext), TestError> {
        let error = self.unknown_store(name, shape);
        self.units.iter_mut().find_map(|unit| unit.store(name)).ok_or(error)
    }

    pub(super) fn store_kind(&self, name: &str, shape: &'static str) -> Result<StoreKind, TestError> {
        let found = self.store_specs().find(|spec| &*spec.name == name).map(|spec| spec.kind);
        found.ok_or_else(|| self.unknown_store(name, shape))
    }

    /// All stores of all sub-topologies.
    pub(super) fn store_specs(&self) -> impl Iterator<Item = &StoreSpec> {
        self.units.iter().flat_map(Unit::store_specs)
    }

    pub(super) fn unknown_store(&self, name: &str, shape: &'static str) -> TestError {
        let known: Vec<&str> = self.store_specs().map(|spec| &*spec.name).collect();
        TestError::UnknownStore { store: name.to_owned(), shape, known: known.join(", ") }
    }
}
