//! How the result of a stateful operator is kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_state::serdes::SerdeRef;
use millstream_state::store::{
    Changelog, Persistence, SegmentOrder, SessionShape, StoreKind, StoreSpec, VersionedShape, WindowShape,
};

use super::emit_strategy::EmitStrategy;
use super::serdes::Serdes;
use super::session_windows::SessionWindows;
use super::time_windows::millis;
use super::window_keeper::WindowShapes;
use crate::error::BuildError;
use crate::topology::graph::Graph;
use crate::topology::names::{Given, Names};
use crate::topology::{StoreFormat, TopologySettings};

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
    persistence: Option<Persistence>,
    retention: Option<Duration>,
    history: Option<Duration>,
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
            persistence: None,
            retention: None,
            history: None,
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
        self.set(|this| this.persistence = Some(Persistence::InMemory))
    }

    /// Keeps the store on disk, whatever [`TopologySettings::dsl_store`] says.
    #[must_use]
    pub fn on_disk(self) -> Self {
        self.set(|this| this.persistence = Some(Persistence::Durable))
    }

    /// How long windows are kept, counted from their start; at least window size plus grace, which is the default.
    #[must_use]
    pub fn retention(self, retention: Duration) -> Self {
        self.set(|this| this.retention = Some(retention))
    }

    /// The same settings, with this serde of the value if they have none.
    pub(crate) fn value_serde_or(mut self, serde: SerdeRef<V>) -> Self {
        self.serdes.value.get_or_insert(serde);
        self
    }

    /// Keeps the values of each key by the time from which they were valid, as far back as this (Kafka Streams: a versioned
    /// store supplier). Joins of streams with such a table then see the value of the record's time, and a change to the
    /// past changes no aggregate or join of tables. The store needs a name, and is never cached.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream_operators::dsl::{Consumed, Materialized, StreamsBuilder};
    /// let builder = StreamsBuilder::new();
    /// let prices = Materialized::<String, i64>::named("prices").versioned(Duration::from_secs(3600));
    /// builder.table_with("prices", Consumed::new(), prices).to_stream().to("changes");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    #[must_use]
    pub fn versioned(self, history_retention: Duration) -> Self {
        self.set(|this| this.history = Some(history_retention))
    }

    /// Whether the user has named the store.
    pub(crate) fn is_named(&self) -> bool {
        self.name.is_some()
    }

    /// Whether the store keeps versions.
    pub(crate) fn is_versioned(&self) -> bool {
        self.history.is_some()
    }

    /// Whether `count` is to take the number that Kafka Streams' `count(Materialized)` takes.
    pub(crate) fn burns(&self) -> bool {
        self.explicit && self.name.is_none()
    }

    /// The name given, or a generated one; takes a number only then.
    pub(crate) fn store_name(&self, names: &mut Names, prefix: &str) -> Arc<str> {
        self.name.clone().unwrap_or_else(|| names.store(prefix))
    }

    fn spec(&self, name: Arc<str>, kind: StoreKind, settings: &TopologySettings) -> StoreSpec {
        let persistence = self.persistence.unwrap_or(settings.dsl_store);
        let changelog = if self.logged { Changelog::Topic(self.config.clone()) } else { Changelog::Off };
        let headers = settings.dsl_store_format == StoreFormat::Headers;
        StoreSpec { name, kind, persistence, changelog, cached: self.cached, headers }
    }

    /// A key-value store with timestamps, or with versions.
    pub(crate) fn key_value(&self, name: Arc<str>, settings: &TopologySettings) -> StoreSpec {
        match self.history {
            Some(history) => {
                let kind = StoreKind::VersionedKeyValue(VersionedShape::new(millis(history)));
                StoreSpec { cached: false, ..self.spec(name, kind, settings) }
            }
            None => self.spec(name, StoreKind::TimestampedKeyValue, settings),
        }
    }

    /// A session store; too short a retention makes the build fail.
    pub(crate) fn sessions(
        &self,
        name: Arc<str>,
        windows: &SessionWindows,
        strategy: EmitStrategy,
        graph: &mut Graph,
    ) -> StoreSpec {
        let least = (windows.open_for(), "inactivity gap plus grace");
        let shape = SessionShape::new(self.retained(&name, least, graph));
        match strategy {
            EmitStrategy::OnWindowUpdate => self.spec(name, StoreKind::Session(shape), &graph.settings),
            EmitStrategy::OnWindowClose => {
                let order = SegmentOrder::ByTime { indexed: true };
                let kind = StoreKind::Session(SessionShape { order, ..shape });
                // As in Kafka Streams, the record cache holds nothing back then.
                StoreSpec { cached: false, ..self.spec(name, kind, &graph.settings) }
            }
        }
    }

    /// A window store with timestamps; too short a retention makes the build fail.
    pub(crate) fn windowed(&self, name: Arc<str>, shapes: &WindowShapes, graph: &mut Graph) -> StoreSpec {
        let retention = self.retained(&name, shapes.least_retention, graph);
        let shape = WindowShape { order: shapes.order(), ..WindowShape::new(shapes.size, retention) };
        let spec = self.spec(name, StoreKind::TimestampedWindow(shape), &graph.settings);
        StoreSpec { cached: spec.cached && shapes.cacheable(), ..spec }
    }

    /// How long windows are kept; if that is too short the build fails.
    fn retained(&self, store: &str, (least, why): (i64, &str), graph: &mut Graph) -> i64 {
        let retention = self.retention.map_or(least, millis);
        if retention < least {
            let reason = format!(
                "its retention of {retention} ms is less than {why} ({least} ms); keep windows at least that long"
            );
            graph.fail(BuildError::BadSetting { node: format!("store {store}"), reason });
        }
        retention
    }
}
