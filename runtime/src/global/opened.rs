//! The database of the global stores, with the positions that it has come to.
//!
//! ```text
//!  store "millstream-positions":  topic | 0 | partition (4) → topic id (16) | position (8) | written at (8)
//! ```

use std::sync::Arc;
use std::time::Duration;

use millstream_operators::context::Context;
use millstream_state::commit::Committed;
use millstream_state::context::StateContext;
use millstream_state::engine::{Direction, Storage};
use millstream_state::error::{EngineError, StateError};
use millstream_state::model::{Position, Timestamp, TopicId, TopicPartition};
use millstream_state::store::{Changelog, Persistence, StoreId, StoreKind, StoreSpec, TaskStores};

use super::GlobalError;
use crate::broker::TopicDescription;

/// The name of the database among those of the tasks.
const DATABASE: &str = "global";
/// The store of the positions; its name is none that a user would choose.
const POSITIONS: &str = "millstream-positions";
const DAY: i64 = 24 * 60 * 60 * 1000;

/// Opens the stores; a corrupted database is thrown away, the topics have it all.
pub(super) fn open(storage: &dyn Storage, specs: &[StoreSpec]) -> Result<Context, GlobalError> {
    let engine = match storage.open(DATABASE) {
        Err(EngineError::Corrupted { path, source }) => {
            tracing::warn!(%path, "the database of the global stores is corrupted and is rebuilt from their topics: {source}");
            storage.destroy(DATABASE).and_then(|()| storage.open(DATABASE))
        }
        other => other,
    };
    let engine = engine.map_err(|source| GlobalError::Storage { source })?;
    let positions = StoreSpec {
        name: POSITIONS.into(),
        kind: StoreKind::KeyValue,
        persistence: Persistence::Durable,
        changelog: Changelog::Off,
        cached: false,
        headers: false,
    };
    let specs: Vec<StoreSpec> = specs.iter().cloned().chain([positions]).collect();
    Ok(Context::new(StateContext::new(TaskStores::open(&specs, engine)?)))
}

fn store(stores: &TaskStores) -> Result<StoreId, StateError> {
    stores.id(POSITIONS).ok_or(StateError::Unusable)
}

fn prefix(topic: &str) -> Vec<u8> {
    // No topic name contains a zero byte.
    [topic.as_bytes(), &[0]].concat()
}

fn key(partition: &TopicPartition) -> Vec<u8> {
    [&prefix(&partition.topic)[..], &partition.partition.to_be_bytes()].concat()
}

/// What is known of a partition.
struct Saved {
    topic: TopicId,
    position: Position,
    written_at: Timestamp,
}

impl Saved {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (topic, rest) = bytes.split_first_chunk::<16>()?;
        let (position, rest) = rest.split_first_chunk::<8>()?;
        let written_at: [u8; 8] = rest.try_into().ok()?;
        Some(Self {
            topic: TopicId(u128::from_be_bytes(*topic)),
            position: Position::new(i64::from_be_bytes(*position)),
            written_at: Timestamp::from_millis(i64::from_be_bytes(written_at)),
        })
    }
}

/// Notes how far a partition has been read, to be written with what was read.
pub(super) fn save(
    stores: &mut TaskStores,
    partition: &TopicPartition,
    (topic, position): (TopicId, Position),
    now: Timestamp,
) -> Result<(), StateError> {
    let mut value = topic.0.to_be_bytes().to_vec();
    value.extend_from_slice(&position.number().to_be_bytes());
    value.extend_from_slice(&now.millis().to_be_bytes());
    let id = store(stores)?;
    stores.put(id, &key(partition), Some(&value))
}

/// Forgets how far a topic has been read.
fn forget(stores: &mut TaskStores, topic: &str) -> Result<(), StateError> {
    let id = store(stores)?;
    let keys = stores.scan_prefix(id, &prefix(topic), Direction::Forward)?;
    let keys: Vec<Box<[u8]>> = keys.map(|entry| entry.map(|(key, _)| key)).collect::<Result<_, _>>()?;
    keys.iter().try_for_each(|key| stores.put(id, key, None))
}

/// A topic with what is in its partitions now.
pub(super) struct Log<'a> {
    pub(super) topic: &'a TopicDescription,
    /// The store it fills.
    pub(super) store: StoreId,
    /// Start and end of each partition.
    pub(super) bounds: &'a [(Position, Position)],
}

/// Where to begin in each partition of a topic. If what the store holds is of no use, it is emptied and all is read.
pub(super) fn begin(stores: &mut TaskStores, log: &Log<'_>, now: Timestamp) -> Result<Vec<Position>, StateError> {
    match usable(stores, log, now)? {
        Ok(positions) => Ok(positions),
        Err(why) => {
            tracing::info!(topic = %log.topic.name, "a global store is read anew: {why}");
            // The positions first: a crash in between must not leave positions without what was read up to them. What
            // is forgotten is not part of any transaction.
            forget(stores, &log.topic.name)?;
            stores.apply(&Committed::testify(0), &[])?;
            stores.reset(log.store)?;
            Ok(log.bounds.iter().map(|(start, _)| *start).collect())
        }
    }
}

fn usable(stores: &TaskStores, log: &Log<'_>, now: Timestamp) -> Result<Result<Vec<Position>, String>, StateError> {
    if stores.specs()[log.store.0 as usize].persistence == Persistence::InMemory {
        return Ok(Err("it is kept in memory".to_owned()));
    }
    let id = store(stores)?;
    let mut positions = Vec::with_capacity(log.bounds.len());
    for (partition, (start, end)) in (0..).zip(log.bounds) {
        let mut bytes = Vec::new();
        let name: Arc<str> = log.topic.name.clone();
        let known = stores.get(id, &key(&TopicPartition::new(name, partition)), &mut bytes)?;
        if !known {
            // Nothing was read of it yet: a position is written with the first record.
            positions.push(*start);
            continue;
        }
        let Some(saved) = Saved::decode(&bytes) else {
            return Ok(Err(format!("the position of partition {partition} cannot be read")));
        };
        let age = now.millis().saturating_sub(saved.written_at.millis());
        let longest = log.topic.config.get("delete.retention.ms").and_then(|limit| limit.parse().ok()).unwrap_or(DAY);
        if saved.topic != log.topic.id {
            return Ok(Err("its topic was deleted and created anew".to_owned()));
        }
        if saved.position < *start || saved.position > *end {
            let at = saved.position;
            return Ok(Err(format!("position {at} of partition {partition} is outside of offsets {start} to {end}")));
        }
        if age > longest {
            let limit = Duration::from_millis(longest.max(0).unsigned_abs());
            return Ok(Err(format!("it was last written too long ago: deletes older than {limit:?} may be gone")));
        }
        positions.push(saved.position);
    }
    Ok(Ok(positions))
}
