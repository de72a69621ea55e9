//! How the result of a stateful operator is kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_state::serdes::SerdeRef;
use millstream_state::store::{Changelog, Persistence, StoreKind, StoreSpec, WindowShape};

use super::serdes::Serdes;
use super::time_windows::{TimeWindows, millis};
use crate::error::BuildError;
use crate::topology::graph::Graph;
use crate::topology::names::{Given, Names};

/// How a table is kept in a store (Kafka Streams' `Materialized`): its name, serdes, changelog, cache, retention.
///
/// [`Materialized::default`] stands for what Kafka Streams does when no `Materialized` is given.
///
/// ```
/// # use millstream_operators::dsl::*;
/// let builder = StreamsBuilder::new();
/// let counts = Materialized::named("counts").topic_config("retention.ms", "-1").caching(false);
/// builder.stream::<String, String>("in").group_by_key().count(counts).to_stream().to("out");
/// assert_eq!(&*builder.build()?.sub_topologies()[0].spec().stores[0].name, "counts");
/// # Ok::<(), millstream_operators::error::BuildError>(())
/// ```
pub struct Materialized<K, V> {
    pub(crate) serdes: Serdes<K, V>,
    name: Given,
    /// Whether any setting was made: `count` takes a number more then, as in Kafka Streams.
    explicit: bool,
    logged: bool,
    cached: bool,
    in_memory: bool,
    retention: Option<Duration>,
    config: BTreeMap<String, String>,
}

impl<K, V> Default for Materialized<K, V> {
    fn default() -> Self {
        Self {
            serdes: Serdes::default(),
            name: None,
            explicit: false,
            logged: true,
            cached: true,
            in_memory: false,
            retention: None,
            config: BTreeMap::new(),
        }
    }
}

impl<K: 'static, V: 'static> Materialized<K, V> {
    /// The defaults: a generated name, on disk, cached, with a changelog.
    pub fn new() -> Self {
        Self::default()
    }

    /// In a store of this name, which is also the one to query it by.
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self::default().name(name)
    }

    /// With these serdes, in a store with a generated name.
    pub fn with(key: SerdeRef<K>, value: SerdeRef<V>) -> Self {
        Self::default().key_serde(key).value_serde(value)
    }

    fn set(mut self, set: impl FnOnce(&mut Self)) -> Self {
        self.explicit = true;
        set(&mut self);
        self
    }

    /// Sets the store's name.
    #[must_use]
    pub fn name(self, name: impl Into<Arc<str>>) -> Self {
        self.set(|this| this.name = Some(name.into()))
    }

    /// Sets the serde of the key.
    #[must_use]
    pub fn key_serde(self, serde: SerdeRef<K>) -> Self {
        self.set(|this| this.serdes.key = Some(serde))
    }

    /// Sets the serde of the value.
    #[must_use]
    pub fn value_serde(self, serde: SerdeRef<V>) -> Self {
        self.set(|this| this.serdes.value = Some(serde))
    }

    /// Whether changes are written to a changelog topic (they are by default). Without one the store is lost with its
    /// disk, or when its task moves.
    #[must_use]
    pub fn logging(self, logged: bool) -> Self {
        self.set(|this| this.logged = logged)
    }

    /// A setting of the changelog topic over the defaults.
    #[must_use]
    pub fn topic_config(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.set(|this| {
            this.config.insert(name.into(), value.into());
        })
    }

    /// Whether the record cache may hold updates back until the next commit (it may by default).
    #[must_use]
    pub fn caching(self, cached: bool) -> Self {
        self.set(|this| this.cached = cached)
    }

    /// Keeps the store in memory; it is restored from its changelog at every start.
    #[must_use]
    pub fn in_memory(self) -> Self {
        self.set(|this| this.in_memory = true)
    }

    /// How long windows are kept, counted from their start; at least window size plus grace, which is the default.
    #[must_use]
    pub fn retention(self, retention: Duration) -> Self {
        self.set(|this| this.retention = Some(retention))
    }

    /// Whether the user has named the store.
    pub(crate) fn is_named(&self) -> bool {
        self.name.is_some()
    }

    /// Whether `count` is to take the number that Kafka Streams' `count(Materialized)` takes.
    pub(crate) fn burns(&self) -> bool {
        self.explicit && self.name.is_none()
    }

    /// The name given, or a generated one; takes a number only then.
    pub(crate) fn store_name(&self, names: &mut Names, prefix: &str) -> Arc<str> {
        self.name.clone().unwrap_or_else(|| names.store(prefix))
    }

    fn spec(&self, name: Arc<str>, kind: StoreKind) -> StoreSpec {
        let persistence = if self.in_memory { Persistence::InMemory } else { Persistence::Durable };
        let changelog = if self.logged { Changelog::Topic(self.config.clone()) } else { Changelog::Off };
        StoreSpec { name, kind, persistence, changelog, cached: self.cached }
    }

    /// A key-value store with timestamps.
    pub(crate) fn key_value(&self, name: Arc<str>) -> StoreSpec {
        self.spec(name, StoreKind::TimestampedKeyValue)
    }

    /// A window store with timestamps; too short a retention makes the build fail.
    pub(crate) fn windowed(&self, name: Arc<str>, windows: &TimeWindows, graph: &mut Graph) -> StoreSpec {
        let least = windows.size().saturating_add(windows.grace());
        let retention = self.retention.map_or(least, millis);
        if retention < least {
            let reason = format!(
                "its retention of {retention} ms is less than window size plus grace ({least} ms); keep windows at least that long"
            );
            graph.fail(BuildError::BadSetting { node: format!("store {name}"), reason });
        }
        self.spec(name, StoreKind::TimestampedWindow(WindowShape::new(windows.size(), retention)))
    }
}
