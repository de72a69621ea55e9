//! What a store is, as the topology describes it: shared by the DSL, the task and restore.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A store of a task: its index among the stores of the sub-topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreId(pub u32);

/// The shape of a store's keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// A value per key, as it is (Kafka Streams' `KeyValueStore`).
    KeyValue,
    /// A value and its timestamp per key (`TimestampedKeyValueStore`; the value's bytes are timestamp (8), value).
    TimestampedKeyValue,
    /// A value per key and window start (`WindowStore`).
    Window(WindowShape),
    /// A value and its timestamp per key and window start (`TimestampedWindowStore`).
    TimestampedWindow(WindowShape),
    /// A value per key and session (`SessionStore`).
    Session(SessionShape),
    /// Values that wait for their time, in memory, with the changelog of Kafka Streams' suppression buffers.
    TimeOrderedBuffer,
    /// The values of a key by the time from which they were valid (`VersionedKeyValueStore`). Never cached.
    VersionedKeyValue(VersionedShape),
}

impl StoreKind {
    /// Whether each value has a time of its own.
    pub fn is_timestamped(self) -> bool {
        matches!(self, Self::TimestampedKeyValue | Self::TimestampedWindow(_) | Self::VersionedKeyValue(_))
    }

    /// How long what is in the store is kept, where it is kept by time.
    pub fn retention(self) -> Option<i64> {
        match self {
            Self::Window(shape) | Self::TimestampedWindow(shape) => Some(shape.retention),
            Self::Session(shape) => Some(shape.retention),
            Self::KeyValue | Self::TimestampedKeyValue | Self::TimeOrderedBuffer | Self::VersionedKeyValue(_) => None,
        }
    }
}

/// The times of a versioned store, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionedShape {
    /// How far back from the highest time seen one can look; older puts are refused.
    pub history_retention: i64,
    /// The span of one segment of the history.
    pub segment_interval: i64,
}

impl VersionedShape {
    /// A history of this length, with Kafka Streams' segment interval.
    pub fn new(history_retention: i64) -> Self {
        let segment_interval = match history_retention {
            ..60_001 => (history_retention / 3).max(2_000),
            60_001..300_001 => (history_retention / 5).max(20_000),
            300_001..3_600_001 => (history_retention / 12).max(60_000),
            3_600_001.. => (history_retention / 24).max(300_000),
        };
        Self { history_retention, segment_interval }
    }
}

/// How windows and sessions are laid out within a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SegmentOrder {
    /// By key, then time.
    #[default]
    ByKey,
    /// By time, then key, so that those that close can be read without the others (Kafka Streams' stores for emission
    /// on window close). What has expired is kept until [`TaskStores::hold`](super::TaskStores::hold) lets it go.
    ByTime {
        /// Whether there is an index by key, without which the windows of a key are found by their times only.
        indexed: bool,
    },
}

/// The times of a window store, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowShape {
    /// The length of a window.
    pub size: i64,
    /// How long a window is kept after stream time has passed its start.
    pub retention: i64,
    /// The span of one segment: `max(retention / 2, 60_000)` unless given.
    pub segment_interval: i64,
    /// Whether several values with the same key and time are kept.
    pub retain_duplicates: bool,
    /// How windows are laid out.
    pub order: SegmentOrder,
}

/// Kafka Streams' segment interval for a retention.
fn segment_interval(retention: i64) -> i64 {
    (retention / 2).max(60_000)
}

/// The times of a session store, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionShape {
    /// How long a session is kept after stream time has passed its end.
    pub retention: i64,
    /// The span of one segment: `max(retention / 2, 60_000)` unless given.
    pub segment_interval: i64,
    /// How sessions are laid out.
    pub order: SegmentOrder,
}

impl SessionShape {
    /// Sessions kept for `retention`, with Kafka Streams' segment interval.
    pub fn new(retention: i64) -> Self {
        Self { retention, segment_interval: segment_interval(retention), order: SegmentOrder::ByKey }
    }
}

impl WindowShape {
    /// Windows of `size` kept for `retention`, with Kafka Streams' segment interval.
    pub fn new(size: i64, retention: i64) -> Self {
        let segment_interval = segment_interval(retention);
        Self { size, retention, segment_interval, retain_duplicates: false, order: SegmentOrder::ByKey }
    }
}

/// Where a store's committed data live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// In the task's database on disk.
    Durable,
    /// In memory; restored from the changelog at every start.
    InMemory,
}

/// How a store's changes reach its changelog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changelog {
    /// None: the store is lost with its disk.
    Off,
    /// A topic `<application>-<store>-changelog` with these settings over the defaults.
    Topic(BTreeMap<String, String>),
    /// The source topic it is read from serves as changelog (only with topology optimisation).
    Source(Arc<str>),
}

impl StoreSpec {
    /// Whether values begin with headers. As in Kafka Streams, those of stores in memory and of versioned ones never do.
    pub fn has_headers(&self) -> bool {
        let has_room = matches!(self.kind, StoreKind::TimestampedKeyValue | StoreKind::TimestampedWindow(_));
        self.headers && has_room && self.persistence == Persistence::Durable
    }
}

/// A store as the topology describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSpec {
    /// The store's name.
    pub name: Arc<str>,
    /// Its shape.
    pub kind: StoreKind,
    /// Where it lives.
    pub persistence: Persistence,
    /// Its changelog.
    pub changelog: Changelog,
    /// Whether the record cache may hold back its updates.
    pub cached: bool,
    /// Whether values have headers before their timestamps (Kafka Streams' header-aware stores); only of effect in
    /// stores on disk with timestamps.
    pub headers: bool,
}
