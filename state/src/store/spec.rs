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
}

impl WindowShape {
    /// Windows of `size` kept for `retention`, with Kafka Streams' segment interval.
    pub fn new(size: i64, retention: i64) -> Self {
        Self { size, retention, segment_interval: (retention / 2).max(60_000), retain_duplicates: false }
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
}
