//! What a suppression waits for, and what it does when its buffer is full.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use millstream_state::model::{Timestamp, Windowed};

use super::time_windows::millis;
use crate::topology::names::Given;

/// What happens to changes that do not fit: those that have waited longest go down early.
#[derive(Clone, Copy, Debug)]
pub struct EmitEarly;

/// What happens to changes that do not fit: the instance stops with an error.
#[derive(Clone, Copy, Debug)]
pub struct ShutDown;

/// How much a suppression may hold back, and how (Kafka Streams' `Suppressed.BufferConfig`).
///
/// The buffer is in memory; it is rebuilt from its changelog at a start.
#[derive(Clone, Debug)]
pub struct BufferConfig<Full = EmitEarly> {
    pub(crate) max_records: usize,
    pub(crate) max_bytes: usize,
    pub(crate) logged: bool,
    pub(crate) topic_config: BTreeMap<String, String>,
    full: PhantomData<Full>,
}

impl<Full> BufferConfig<Full> {
    fn bounded(max_records: usize, max_bytes: usize) -> Self {
        Self { max_records, max_bytes, logged: true, topic_config: BTreeMap::new(), full: PhantomData }
    }

    fn into<Other>(self) -> BufferConfig<Other> {
        let Self { max_records, max_bytes, logged, topic_config, .. } = self;
        BufferConfig { max_records, max_bytes, logged, topic_config, full: PhantomData }
    }

    /// At most this many keys wait (Kafka Streams: `withMaxRecords`).
    #[must_use]
    pub fn with_max_records(self, max_records: usize) -> Self {
        Self { max_records, ..self }
    }

    /// At most this many bytes wait, by Kafka Streams' count (`withMaxBytes`).
    #[must_use]
    pub fn with_max_bytes(self, max_bytes: usize) -> Self {
        Self { max_bytes, ..self }
    }

    /// No bound (Kafka Streams: `withNoBound`). What waits is held in memory.
    #[must_use]
    pub fn with_no_bound(self) -> BufferConfig<ShutDown> {
        BufferConfig { max_records: usize::MAX, max_bytes: usize::MAX, ..self.into() }
    }

    /// When the buffer is full the instance stops with an error, so that no result comes early (Kafka Streams:
    /// `shutDownWhenFull`).
    #[must_use]
    pub fn shut_down_when_full(self) -> BufferConfig<ShutDown> {
        self.into()
    }

    /// When the buffer is full, what has waited longest goes down early (Kafka Streams: `emitEarlyWhenFull`).
    #[must_use]
    pub fn emit_early_when_full(self) -> BufferConfig<EmitEarly> {
        self.into()
    }

    /// Whether what waits is written to a changelog topic (it is by default). Without one, what waits is lost when the
    /// instance stops or the task moves.
    #[must_use]
    pub fn logging(self, logged: bool) -> Self {
        Self { logged, ..self }
    }

    /// A setting of the changelog topic over the defaults.
    #[must_use]
    pub fn topic_config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.topic_config.insert(name.into(), value.into());
        self
    }
}

impl BufferConfig<EmitEarly> {
    /// At most this many keys wait (Kafka Streams: `maxRecords`).
    pub fn max_records(max_records: usize) -> Self {
        Self::bounded(max_records, usize::MAX)
    }

    /// At most this many bytes wait, by Kafka Streams' count (`maxBytes`).
    pub fn max_bytes(max_bytes: usize) -> Self {
        Self::bounded(usize::MAX, max_bytes)
    }
}

impl BufferConfig<ShutDown> {
    /// No bound (Kafka Streams: `unbounded`). What waits is held in memory.
    pub fn unbounded() -> Self {
        Self::bounded(usize::MAX, usize::MAX)
    }
}

/// What happens when a buffer is full.
pub trait WhenFull: private::Sealed {
    #[doc(hidden)]
    const SHUTS_DOWN: bool;
}

impl WhenFull for EmitEarly {
    const SHUTS_DOWN: bool = false;
}

impl WhenFull for ShutDown {
    const SHUTS_DOWN: bool = true;
}

mod private {
    /// Only the answers of this crate.
    pub trait Sealed {}
    impl Sealed for super::EmitEarly {}
    impl Sealed for super::ShutDown {}
}

/// What a suppression waits for.
pub(crate) enum Until<K> {
    /// The window of the key, whose end this function tells, is closed.
    WindowCloses(fn(&K) -> Timestamp),
    /// This much stream time has passed since the first change that waits.
    TimeLimit(i64),
}

/// What [`KTable::suppress`](super::KTable::suppress) holds back, and until when (Kafka Streams' `Suppressed`).
pub struct Suppressed<K> {
    pub(crate) name: Given,
    pub(crate) until: Until<K>,
    pub(crate) buffer: BufferConfig<()>,
    pub(crate) shuts_down: bool,
}

impl<K> Suppressed<K> {
    /// Holds each change back until this much stream time has passed since the first change of its key that waits; what
    /// goes down then is the last (Kafka Streams: `untilTimeLimit`).
    pub fn until_time_limit<Full: WhenFull>(wait: Duration, buffer: BufferConfig<Full>) -> Self {
        Self { name: None, until: Until::TimeLimit(millis(wait)), buffer: buffer.into(), shuts_down: Full::SHUTS_DOWN }
    }

    /// Sets the name of the node; that of the store, and with it the changelog, is made of it.
    #[must_use]
    pub fn name(self, name: impl Into<Arc<str>>) -> Self {
        Self { name: Some(name.into()), ..self }
    }
}

impl<K> Suppressed<Windowed<K>> {
    /// Holds each change back until the window is closed, so that there is one result per key and window (Kafka Streams:
    /// `untilWindowCloses`). Deletes are dropped: nobody has seen what they delete. A buffer that would let results go
    /// early is not taken.
    pub fn until_window_closes(buffer: BufferConfig<ShutDown>) -> Self {
        Self { name: None, until: Until::WindowCloses(|key| key.window.end), buffer: buffer.into(), shuts_down: true }
    }
}
