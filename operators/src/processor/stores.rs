//! Descriptions of stores that processors use: what [`StreamsBuilder::add_state_store`](crate::dsl::StreamsBuilder::add_state_store) takes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_state::serdes::{DefaultSerde, SerdeRef};
use millstream_state::store::{
    Changelog, Persistence, SessionShape, StoreKind, StoreSpec, VersionedShape, WindowShape,
};

use super::handle::StoreType;
use super::key_value::{KeyValueStore, TimestampedKeyValueStore};
use super::session::SessionStore;
use super::versioned::VersionedKeyValueStore;
use super::window::{TimestampedWindowStore, WindowStore};

/// Makes descriptions of stores (Kafka Streams' `Stores`).
///
/// ```
/// # use millstream_operators::processor::Stores;
/// let counts = Stores::key_value::<String, i64>("counts").in_memory().caching(true);
/// assert_eq!(counts.name(), "counts");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Stores;

impl Stores {
    /// A value per key (`keyValueStoreBuilder`), with the serdes of the types.
    pub fn key_value<K, V>(name: impl Into<Arc<str>>) -> StoreBuilder<KeyValueStore<K, V>>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        Self::key_value_with(name, K::serde(), V::serde())
    }

    /// A value per key (`keyValueStoreBuilder`), with these serdes.
    pub fn key_value_with<K: 'static, V: 'static>(
        name: impl Into<Arc<str>>,
        key: SerdeRef<K>,
        value: SerdeRef<V>,
    ) -> StoreBuilder<KeyValueStore<K, V>> {
        StoreBuilder::new(name.into(), StoreKind::KeyValue, (key, value))
    }

    /// A value and its time per key (`timestampedKeyValueStoreBuilder`), with the serdes of the types.
    pub fn timestamped_key_value<K, V>(name: impl Into<Arc<str>>) -> StoreBuilder<TimestampedKeyValueStore<K, V>>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        Self::timestamped_key_value_with(name, K::serde(), V::serde())
    }

    /// A value and its time per key (`timestampedKeyValueStoreBuilder`), with these serdes.
    pub fn timestamped_key_value_with<K: 'static, V: 'static>(
        name: impl Into<Arc<str>>,
        key: SerdeRef<K>,
        value: SerdeRef<V>,
    ) -> StoreBuilder<TimestampedKeyValueStore<K, V>> {
        StoreBuilder::new(name.into(), StoreKind::TimestampedKeyValue, (key, value))
    }

    /// A value per key and window start (`windowStoreBuilder`), with the serdes of the types. Windows of `size` can be read
    /// until the largest start that was put has passed their own by `retention`; then they are dropped.
    pub fn window<K, V>(
        name: impl Into<Arc<str>>,
        size: Duration,
        retention: Duration,
    ) -> StoreBuilder<WindowStore<K, V>>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        Self::window_with(name, (size, retention), K::serde(), V::serde())
    }

    /// As [`Stores::window`], with size and retention in one value and these serdes.
    pub fn window_with<K: 'static, V: 'static>(
        name: impl Into<Arc<str>>,
        (size, retention): (Duration, Duration),
        key: SerdeRef<K>,
        value: SerdeRef<V>,
    ) -> StoreBuilder<WindowStore<K, V>> {
        StoreBuilder::new(name.into(), StoreKind::Window(shape(size, retention)), (key, value))
    }

    /// A value and its time per key and window start (`timestampedWindowStoreBuilder`), with the serdes of the types;
    /// otherwise as [`Stores::window`].
    pub fn timestamped_window<K, V>(
        name: impl Into<Arc<str>>,
        size: Duration,
        retention: Duration,
    ) -> StoreBuilder<TimestampedWindowStore<K, V>>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        Self::timestamped_window_with(name, (size, retention), K::serde(), V::serde())
    }

    /// As [`Stores::timestamped_window`], with size and retention in one value and these serdes.
    pub fn timestamped_window_with<K: 'static, V: 'static>(
        name: impl Into<Arc<str>>,
        (size, retention): (Duration, Duration),
        key: SerdeRef<K>,
        value: SerdeRef<V>,
    ) -> StoreBuilder<TimestampedWindowStore<K, V>> {
        StoreBuilder::new(name.into(), StoreKind::TimestampedWindow(shape(size, retention)), (key, value))
    }

    /// A value per key and session (`sessionStoreBuilder`), with the serdes of the types. A session can be read until the
    /// largest end that was put has passed its own by `retention`; then it is dropped.
    pub fn session<K, V>(name: impl Into<Arc<str>>, retention: Duration) -> StoreBuilder<SessionStore<K, V>>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        Self::session_with(name, retention, K::serde(), V::serde())
    }

    /// As [`Stores::session`], with these serdes.
    pub fn session_with<K: 'static, V: 'static>(
        name: impl Into<Arc<str>>,
        retention: Duration,
        key: SerdeRef<K>,
        value: SerdeRef<V>,
    ) -> StoreBuilder<SessionStore<K, V>> {
        let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        StoreBuilder::new(name.into(), StoreKind::Session(SessionShape::new(retention)), (key, value))
    }

    /// The values of each key by the time from which they were valid, as far back as `history`
    /// (`versionedKeyValueStoreBuilder`), with the serdes of the types.
    pub fn versioned<K, V>(name: impl Into<Arc<str>>, history: Duration) -> StoreBuilder<VersionedKeyValueStore<K, V>>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        Self::versioned_with(name, history, K::serde(), V::serde())
    }

    /// As [`Stores::versioned`], with these serdes.
    pub fn versioned_with<K: 'static, V: 'static>(
        name: impl Into<Arc<str>>,
        history: Duration,
        key: SerdeRef<K>,
        value: SerdeRef<V>,
    ) -> StoreBuilder<VersionedKeyValueStore<K, V>> {
        let history = i64::try_from(history.as_millis()).unwrap_or(i64::MAX);
        StoreBuilder::new(name.into(), StoreKind::VersionedKeyValue(VersionedShape::new(history)), (key, value))
    }
}

fn shape(size: Duration, retention: Duration) -> WindowShape {
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    WindowShape::new(millis(size), millis(retention))
}

impl<K: 'static, V: 'static> StoreBuilder<VersionedKeyValueStore<K, V>> {
    /// The span of one segment of the history, which is dropped as a whole (`persistentVersionedKeyValueStore` with a
    /// segment interval); by default as in Kafka Streams.
    #[must_use]
    pub fn segment_interval(mut self, interval: Duration) -> Self {
        if let StoreKind::VersionedKeyValue(shape) = &mut self.spec.kind {
            shape.segment_interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
        }
        self
    }
}

impl<K: 'static, V: 'static> StoreBuilder<WindowStore<K, V>> {
    /// Keeps all values with equal key and window start instead of the last one (`retainDuplicates`). Puts of null are
    /// ignored then, and the store is not cached.
    #[must_use]
    pub fn retain_duplicates(mut self) -> Self {
        if let StoreKind::Window(shape) = &mut self.spec.kind {
            shape.retain_duplicates = true;
        }
        self
    }
}

/// The description of a store (Kafka Streams' `StoreBuilder`): on disk, with a changelog and without a cache unless set
/// otherwise. `S` is what processors that are connected to it get.
pub struct StoreBuilder<S: StoreType> {
    spec: StoreSpec,
    serdes: S::Serdes,
}

impl<S: StoreType> StoreBuilder<S> {
    pub(super) fn new(name: Arc<str>, kind: StoreKind, serdes: S::Serdes) -> Self {
        let spec = StoreSpec {
            name,
            kind,
            persistence: Persistence::Durable,
            changelog: Changelog::Topic(BTreeMap::new()),
            cached: false,
            headers: false,
        };
        Self { spec, serdes }
    }

    /// The store's name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Keeps the store in memory (`inMemoryKeyValueStore` and its relatives); it is restored from its changelog at every
    /// start.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.spec.persistence = Persistence::InMemory;
        self
    }

    /// Whether the record cache may hold writes back until the next commit, so that the changelog gets one record per
    /// key and commit (`withCachingEnabled`). Off by default.
    #[must_use]
    pub fn caching(mut self, cached: bool) -> Self {
        self.spec.cached = cached;
        self
    }

    /// Whether changes are written to a changelog topic (`withLoggingDisabled`). On by default; without it the store is
    /// lost with its disk, or when its task moves.
    #[must_use]
    pub fn logging(mut self, logged: bool) -> Self {
        self.spec.changelog = if logged { Changelog::Topic(BTreeMap::new()) } else { Changelog::Off };
        self
    }

    /// A setting of the changelog topic over the defaults (`withLoggingEnabled` with a configuration).
    #[must_use]
    pub fn topic_config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let Changelog::Topic(config) = &mut self.spec.changelog {
            config.insert(name.into(), value.into());
        }
        self
    }

    pub(crate) fn into_parts(mut self) -> (StoreSpec, S::Serdes) {
        if let StoreKind::Window(WindowShape { retain_duplicates: true, .. }) = self.spec.kind {
            // Each put is a value of its own: there is nothing that a cache could save.
            self.spec.cached = false;
        }
        (self.spec, self.serdes)
    }
}
