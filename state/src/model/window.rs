//! Windows and windowed keys.

use super::Timestamp;

/// A span of event time. The end of a time window is exclusive; that of a session is inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Where the window begins (inclusive).
    pub start: Timestamp,
    /// Where the window ends.
    pub end: Timestamp,
}

/// A key together with the window it was aggregated in (Kafka Streams' `Windowed`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Windowed<K> {
    /// The record's key.
    pub key: K,
    /// The window.
    pub window: Window,
}
