//! The settings of joins of two streams.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_state::serdes::{DefaultSerde, SerdeRef};
use millstream_state::store::{Changelog, Persistence, StoreKind, StoreSpec, WindowShape};

use super::join_windows::JoinWindows;
use crate::topology::TopologySettings;
use crate::topology::names::Given;

/// Where one side of a join keeps its records, if it is to have a name or a place of its own (Kafka Streams: a
/// `WindowBytesStoreSupplier` that retains duplicates). How long they are kept follows from the windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinStore {
    name: Arc<str>,
    persistence: Persistence,
}

impl JoinStore {
    /// On disk, under this name (Kafka Streams: `Stores.persistentWindowStore`).
    pub fn persistent(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), persistence: Persistence::Durable }
    }

    /// In memory, under this name (Kafka Streams: `Stores.inMemoryWindowStore`).
    pub fn in_memory(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), persistence: Persistence::InMemory }
    }
}

/// How two streams are joined (Kafka Streams' `StreamJoined`): serdes, names, and how records are kept.
///
/// The name is that of the nodes and of the repartition topics, if there are any; the store name is that of the stores and
/// their changelogs.
///
/// ```
/// # use millstream_operators::dsl::*;
/// # use std::time::Duration;
/// let builder = StreamsBuilder::new();
/// let views = builder.stream::<String, String>("views");
/// let clicks = builder.stream::<String, String>("clicks");
/// let minute = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(60));
/// let joined = StreamJoined::named("pairs").store_name("pairs");
/// views.join_with(&clicks, |_, view, click| format!("{view} {click}"), minute, joined).to("out");
/// let topology = builder.build()?;
/// assert_eq!(&*topology.sub_topologies()[0].spec().stores[0].name, "pairs-this-join-store");
/// # Ok::<(), millstream_operators::error::BuildError>(())
/// ```
pub struct StreamJoined<K, V, W> {
    key: Option<SerdeRef<K>>,
    value: Option<SerdeRef<V>>,
    other: Option<SerdeRef<W>>,
    pub(crate) fallback: Fallback<K, V, W>,
    pub(crate) name: Given,
    store_name: Given,
    logged: bool,
    config: BTreeMap<String, String>,
    persistence: Option<Persistence>,
    this_store: Option<JoinStore>,
    other_store: Option<JoinStore>,
}

/// The serdes to take where neither the settings nor the streams have any.
type Fallback<K, V, W> = (Option<SerdeRef<K>>, Option<SerdeRef<V>>, Option<SerdeRef<W>>);

/// Which store of a join.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The left side's.
    This,
    /// The right side's.
    Other,
}

impl<K: DefaultSerde, V: DefaultSerde, W: DefaultSerde> StreamJoined<K, V, W> {
    /// The defaults: generated names, and the serdes that came along with the streams or the types' own.
    pub fn new() -> Self {
        Self { fallback: (Some(K::serde()), Some(V::serde()), Some(W::serde())), ..Self::known() }
    }

    /// The defaults under this name.
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self::new().name(name)
    }
}

impl<K: DefaultSerde, V: DefaultSerde, W: DefaultSerde> Default for StreamJoined<K, V, W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V, W> StreamJoined<K, V, W> {
    /// The defaults, for types without a serde of their own: only serdes that came along with the streams.
    pub fn known() -> Self {
        Self {
            key: None,
            value: None,
            other: None,
            fallback: (None, None, None),
            name: None,
            store_name: None,
            logged: true,
            config: BTreeMap::new(),
            persistence: None,
            this_store: None,
            other_store: None,
        }
    }

    /// With these serdes for the key, the left stream's values and the right stream's.
    pub fn with(key: SerdeRef<K>, value: SerdeRef<V>, other: SerdeRef<W>) -> Self {
        Self { key: Some(key), value: Some(value), other: Some(other), ..Self::known() }
    }

    /// Sets the name of the nodes and of the repartition topics.
    #[must_use]
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the name of the stores, to which what they are is appended.
    #[must_use]
    pub fn store_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.store_name = Some(name.into());
        self
    }

    /// Whether what is kept is written to changelog topics (it is by default). Stores given by
    /// [`StreamJoined::this_store`] and [`StreamJoined::other_store`] always have one, as in Kafka Streams.
    #[must_use]
    pub fn logging(mut self, logged: bool) -> Self {
        self.logged = logged;
        self
    }

    /// A setting of the changelog topics over the defaults.
    #[must_use]
    pub fn topic_config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.insert(name.into(), value.into());
        self
    }

    /// Keeps everything in memory.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.persistence = Some(Persistence::InMemory);
        self
    }

    /// Keeps the left stream's records in this store.
    #[must_use]
    pub fn this_store(mut self, store: JoinStore) -> Self {
        self.this_store = Some(store);
        self
    }

    /// Keeps the right stream's records in this store.
    #[must_use]
    pub fn other_store(mut self, store: JoinStore) -> Self {
        self.other_store = Some(store);
        self
    }

    pub(crate) fn or_name(mut self, other: &Given) -> Self {
        self.name = self.name.or_else(|| other.clone());
        self
    }

    pub(crate) fn key_over(&self, streams: Option<SerdeRef<K>>) -> Option<SerdeRef<K>> {
        self.key.clone().or(streams).or(self.fallback.0.clone())
    }

    pub(crate) fn value_over(&self, stream: Option<SerdeRef<V>>) -> Option<SerdeRef<V>> {
        self.value.clone().or(stream).or(self.fallback.1.clone())
    }

    pub(crate) fn other_over(&self, stream: Option<SerdeRef<W>>) -> Option<SerdeRef<W>> {
        self.other.clone().or(stream).or(self.fallback.2.clone())
    }

    fn changelog(&self, config: BTreeMap<String, String>) -> Changelog {
        if self.logged { Changelog::Topic(config) } else { Changelog::Off }
    }

    /// The window store of one side. `generated` is the name of its join node, `suffix` what a given name ends in.
    pub(crate) fn window_store(
        &self,
        role: Role,
        (generated, suffix): (&str, &str),
        windows: &JoinWindows,
        settings: &TopologySettings,
    ) -> StoreSpec {
        let shape = WindowShape { retain_duplicates: true, ..WindowShape::new(windows.size(), windows.retention()) };
        let kind = StoreKind::Window(shape);
        let given = if role == Role::This { &self.this_store } else { &self.other_store };
        if let Some(JoinStore { name, persistence }) = given {
            let changelog = Changelog::Topic(BTreeMap::new());
            return StoreSpec {
                name: name.clone(),
                kind,
                persistence: *persistence,
                changelog,
                cached: false,
                headers: false,
            };
        }
        let name = match &self.store_name {
            Some(name) => format!("{name}{suffix}-store"),
            None => format!("{generated}-store"),
        };
        let mut config = self.config.clone();
        // Keys are unique, because duplicates are kept: there is nothing to compact.
        config.insert("cleanup.policy".into(), "delete".into());
        let persistence = self.persistence.unwrap_or(settings.dsl_store);
        StoreSpec {
            name: name.into(),
            kind,
            persistence,
            changelog: self.changelog(config),
            cached: false,
            headers: false,
        }
    }

    /// The store that the outer sides share. `generated` is its name without the suffix if none was given.
    pub(crate) fn shared_store(&self, generated: &str, suffix: &str, settings: &TopologySettings) -> StoreSpec {
        let base = self.this_store.as_ref().map(|store| &store.name).or(self.store_name.as_ref());
        let name = base.map_or_else(|| format!("{generated}-store"), |base| format!("{base}{suffix}-store"));
        let given = self.this_store.as_ref().map(|store| store.persistence);
        StoreSpec {
            name: name.into(),
            kind: StoreKind::KeyValue,
            persistence: self.persistence.or(given).unwrap_or(settings.dsl_store),
            changelog: self.changelog(self.config.clone()),
            cached: false,
            headers: false,
        }
    }
}
