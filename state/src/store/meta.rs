//! What is kept beside the data, in the meta family: format, marks, observed times, shapes of stores.
//!
//! ```text
//!  "format"      version (1)
//!  "m/<store>"   topic id (16) | position (8) | applied at (8)
//!  "t/<store>"   observed stream time (8) | last sequence number (4)
//!  "k/<store>"   kind (1) | segment interval (8), for windows and sessions | order (1), unless by key
//! ```

use crate::commit::ChangelogMark;
use crate::engine::{Engine, FamilyId};
use crate::error::{EngineError, StateError};
use crate::model::{Position, Timestamp, TopicId};

use super::{SegmentOrder, StoreKind, StoreSpec};

pub(super) const FORMAT_KEY: &[u8] = b"format";
pub(super) const FORMAT: [u8; 1] = [1];

/// What a window store has to remember besides its windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// The largest window start that was ever put.
    pub(super) observed: i64,
    /// The last sequence number given out, in stores that keep duplicates.
    pub(super) sequence: u32,
}

impl Times {
    pub(super) const NONE: Self = Self { observed: -1, sequence: 0 };
}

pub(super) fn mark_key(store: &str) -> Vec<u8> {
    [b"m/", store.as_bytes()].concat()
}

pub(super) fn times_key(store: &str) -> Vec<u8> {
    [b"t/", store.as_bytes()].concat()
}

pub(super) fn shape_key(store: &str) -> Vec<u8> {
    [b"k/", store.as_bytes()].concat()
}

pub(super) fn encode_mark(mark: &ChangelogMark) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&mark.topic.0.to_be_bytes());
    bytes[16..24].copy_from_slice(&mark.position.number().to_be_bytes());
    bytes[24..].copy_from_slice(&mark.applied_at.millis().to_be_bytes());
    bytes
}

pub(super) fn decode_mark(bytes: &[u8]) -> Option<ChangelogMark> {
    let (topic, rest) = bytes.split_first_chunk::<16>()?;
    let (position, rest) = rest.split_first_chunk::<8>()?;
    let applied_at: [u8; 8] = rest.try_into().ok()?;
    Some(ChangelogMark {
        topic: TopicId(u128::from_be_bytes(*topic)),
        position: Position::new(i64::from_be_bytes(*position)),
        applied_at: Timestamp::from_millis(i64::from_be_bytes(applied_at)),
    })
}

pub(super) fn encode_times(times: Times) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&times.observed.to_be_bytes());
    bytes[8..].copy_from_slice(&times.sequence.to_be_bytes());
    bytes
}

pub(super) fn decode_times(bytes: &[u8]) -> Option<Times> {
    let (observed, rest) = bytes.split_first_chunk::<8>()?;
    let sequence: [u8; 4] = rest.try_into().ok()?;
    Some(Times { observed: i64::from_be_bytes(*observed), sequence: u32::from_be_bytes(sequence) })
}

/// The bit of a store's tag that says that its values have headers.
const HEADERS: u8 = 0x40;

/// What must not change under a store's data: another layout would be read as nonsense.
pub(super) fn encode_shape(spec: &StoreSpec) -> Vec<u8> {
    let (tag, segments) = match spec.kind {
        StoreKind::KeyValue => (0, None),
        StoreKind::TimestampedKeyValue => (1, None),
        StoreKind::Window(shape) => (2, Some((shape.segment_interval, shape.order))),
        StoreKind::TimestampedWindow(shape) => (3, Some((shape.segment_interval, shape.order))),
        StoreKind::Session(shape) => (4, Some((shape.segment_interval, shape.order))),
        StoreKind::TimeOrderedBuffer => (5, None),
        StoreKind::VersionedKeyValue(shape) => (10, Some((shape.segment_interval, SegmentOrder::ByKey))),
    };
    let mut bytes = vec![if spec.has_headers() { tag | HEADERS } else { tag }];
    if let Some((interval, order)) = segments {
        bytes.extend(interval.to_be_bytes());
        bytes.extend(match order {
            SegmentOrder::ByKey => None,
            SegmentOrder::ByTime { indexed } => Some(1 + u8::from(indexed)),
        });
    }
    bytes
}

/// What an engine remembers of one store.
pub(super) struct Remembered {
    pub(super) mark: Option<ChangelogMark>,
    pub(super) times: Times,
    pub(super) shape: Option<Vec<u8>>,
}

/// Reads what the engine remembers of a store.
pub(super) fn read(engine: &dyn Engine, meta: FamilyId, spec: &StoreSpec) -> Result<Remembered, StateError> {
    let bad = |what: &str| StateError::Format {
        store: spec.name.to_string(),
        reason: format!("its {what} cannot be read; remove the task's state directory to rebuild it"),
    };
    let fetch = |key: Vec<u8>| -> Result<Option<Vec<u8>>, StateError> {
        let mut out = Vec::new();
        let found = engine.get(meta, &key, &mut out).map_err(|source| engine_error(&spec.name, source))?;
        Ok(found.then_some(out))
    };
    let mark = match fetch(mark_key(&spec.name))? {
        Some(bytes) => Some(decode_mark(&bytes).ok_or_else(|| bad("changelog mark"))?),
        None => None,
    };
    let times = match fetch(times_key(&spec.name))? {
        Some(bytes) => decode_times(&bytes).ok_or_else(|| bad("observed time"))?,
        None => Times::NONE,
    };
    Ok(Remembered { mark, times, shape: fetch(shape_key(&spec.name))? })
}

pub(super) fn engine_error(store: &str, source: EngineError) -> StateError {
    StateError::Engine { store: store.to_owned(), source }
}
