//! Three partitions and two workers: the records of each key in each topic are, step by step, those of the test driver
//! with three partitions, and those of the vector wherever nothing but the key decides.
//!
//! What else decides is the stream time of a task, which other keys move: it says which record is late, which window
//! closes, which version has expired, when a stream-time timer rings. A task with fewer keys sees less of it. Nor does a
//! vector say what stores and processors do that tasks have each for themselves. Such cases are in `beyond::OTHERWISE` and are
//! compared with the test driver only, in which each task has its own stream time and its own stores too. The order of
//! several keys is not compared: tasks run side by side. Records without a key count as one key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use millstream::operators::topology::Topology;
use millstream::partitioner::partition_of;
use millstream::state::engine::MemoryStorage;
use millstream::state::model::Timestamp;
use millstream::testing::{Partitions, RawTestRecord, TestConfig, TopologyTestDriver};

use super::super::cases::{self, Journal};
use super::super::compare::{self, Difference, Order, Played, Shape, Written};
use super::super::play;
use super::super::vector::{Run, Step};
use super::cluster::Cluster;
use super::judge::{Case, blank_times, left, take};
use super::kept::{self, Kept};

const PARTITIONS: i32 = 3;
const WORKERS: usize = 2;

/// Where a record goes: as Kafka's producer decides, but all records without a key go to one place.
pub(super) fn partition(record: &RawTestRecord, partitions: i32) -> i32 {
    record.key.as_ref().map_or(0, |key| partition_of(key, partitions))
}

/// What differs in a run.
pub(super) struct Found {
    pub(super) from_driver: Option<Difference>,
    /// Only sought where nothing differs from the driver.
    pub(super) from_vector: Option<Difference>,
}

impl Found {
    fn from_driver(difference: Difference) -> Self {
        Self { from_driver: Some(difference), from_vector: None }
    }
}

pub(super) fn judge(case: &Case, run: &Run) -> Result<Found> {
    let (mut should, kept_should) = driven(case, run)?;
    let topology = cases::build(&case.file, &Journal::default())?;
    let storage = Arc::new(MemoryStorage::new());
    let mut cluster = Cluster::start(&case.file, topology.clone(), storage, (PARTITIONS, WORKERS))?;
    for step in &run.steps {
        take(case, &mut cluster, step, PARTITIONS)?;
    }
    if let Some(error) = cluster.error() {
        return Ok(Found::from_driver(Difference::new("the instance", "no error", error)));
    }
    cluster.stop()?;
    let mut is = cluster.played();
    let kept = left(case, &topology, &cluster)?;
    let timeless = should.written.iter().filter(|(_, records)| records.iter().any(|record| record.timestamp.is_none()));
    let timeless: BTreeSet<String> = timeless.map(|(topic, _)| topic.clone()).collect();
    blank_times(&mut is, &timeless);
    blank_times(&mut should, &timeless);
    if let Some(difference) = differ(run, &should, &is) {
        return Ok(Found::from_driver(difference));
    }
    if let Some(difference) = kept::differ(&kept_should, &kept) {
        return Ok(Found::from_driver(difference));
    }
    Ok(Found { from_vector: as_with_one_partition(case, run, &is, &kept)?, from_driver: None })
}

/// Compares records with the vector, and the stores of all tasks together with those of one.
fn as_with_one_partition(case: &Case, run: &Run, is: &Played, kept: &Kept) -> Result<Option<Difference>> {
    match compare::records(run, &case.sinks, is, Order::PerKey)? {
        Some(difference) => Ok(Some(difference)),
        None => Ok(kept::differ_together(&super::judge::driven(case, run)?, kept)),
    }
}

/// What the test driver with as many partitions writes and keeps.
fn driven(case: &Case, run: &Run) -> Result<(Played, Kept)> {
    let topology = cases::build(&case.file, &Journal::default())?;
    let storage = MemoryStorage::new();
    let config = TestConfig {
        application_id: case.application_id().to_owned(),
        cache_max_bytes: case.file.cache_max_bytes(),
        wall_clock: Timestamp::from_millis(0),
        storage: Arc::new(storage.clone()),
        partitions: Some(Partitions::of(PARTITIONS)),
        emit_pauses: true,
        ..TestConfig::default()
    };
    let driver = TopologyTestDriver::new(topology.clone(), config)?;
    let mut played = Played::default();
    for step in &run.steps {
        match step {
            Step::Pipe(pipe) => {
                let record = play::raw(&case.file, pipe)?;
                driver.pipe_raw_to(&pipe.topic, partition(&record, PARTITIONS), record)?;
            }
            Step::AdvanceWallClockMs(millis) => {
                driver.advance_wall_clock(Duration::from_millis(u64::try_from(*millis)?))?;
            }
        }
        let counts = driver.written_topics().into_iter().map(|(topic, count)| (topic.to_string(), count));
        played.after.push(counts.collect());
    }
    for (topic, _) in driver.written_topics() {
        let records = driver.written(&topic).into_iter().map(play::written).collect();
        played.written.insert(topic.to_string(), records);
    }
    let kept = kept(case, &topology, driver, &storage)?;
    Ok((played, kept))
}

/// What a test driver leaves in its stores.
pub(super) fn kept(
    case: &Case,
    topology: &Topology,
    driver: TopologyTestDriver,
    storage: &MemoryStorage,
) -> Result<Kept> {
    let mut logs: BTreeMap<(String, i32), Vec<Written>> = BTreeMap::new();
    for (topic, _) in driver.written_topics() {
        for partition in 0..PARTITIONS {
            let records = driver.written_to(&topic, partition).into_iter().map(play::written).collect();
            logs.insert((topic.to_string(), partition), records);
        }
    }
    // The stores are open as long as the driver lives.
    drop(driver);
    let logged = |store: &str, partition| {
        logs.get(&(format!("{}-{store}-changelog", case.application_id()), partition)).cloned().unwrap_or_default()
    };
    kept::stores(topology, storage, &logged)
}

/// The first difference in the records of a key in a topic, step by step or in the end.
fn differ(run: &Run, should: &Played, is: &Played) -> Option<Difference> {
    let topics: BTreeSet<&String> = should.written.keys().chain(is.written.keys()).collect();
    for step in 0..run.steps.len() {
        for topic in &topics {
            let of = |played| {
                let mut records: Vec<&Written> = compare::written_in_step(played, topic, step).iter().collect();
                records.sort_by(|a, b| a.key.cmp(&b.key));
                records
            };
            if let Some(difference) = first(&of(should), &of(is), &format!("step {step}, topic {topic}")) {
                return Some(difference);
            }
        }
    }
    None
}

fn first(should: &[&Written], is: &[&Written], place: &str) -> Option<Difference> {
    let index = (0..should.len().max(is.len())).find(|index| should.get(*index) != is.get(*index))?;
    let show = |record: Option<&&Written>| {
        record.map_or_else(|| "no record".to_owned(), |record| compare::show(record, Shape::Raw).to_string())
    };
    let place = format!("against the test driver with {PARTITIONS} partitions, {place}, by key {index}");
    Some(Difference::new(place, show(should.get(index)), show(is.get(index))))
}
