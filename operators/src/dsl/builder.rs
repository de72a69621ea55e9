//! Where a program begins.

use std::any::TypeId;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::serdes::DefaultSerde;

use super::materialize::Materialized;
use super::old_values::OldValues;
use super::serdes::Serdes;
use super::settings::Consumed;
use super::stream::KStream;
use super::table::KTable;
use super::topics::IntoTopics;
use super::view::View;
use crate::error::BuildError;
use crate::ops::inlet::{InletSettings, StreamInlet};
use crate::ops::table_source::{Kept, TableInlet};
use crate::push::{Children, Next, NextApply, TableChildren};
use crate::topology::chain::{Inlet, InletFactory};
use crate::topology::graph::{Graph, Keep, Kind, Shared, Source};
use crate::topology::names;
use crate::topology::port::Port;
use crate::topology::{Topology, TopologySettings};

/// Collects the parts of a program; [`StreamsBuilder::build`] makes a [`Topology`] of them (Kafka Streams'
/// `StreamsBuilder`). Cheap to clone; clones add to the same program.
///
/// ```
/// use millstream_operators::dsl::{Materialized, StreamsBuilder};
///
/// let builder = StreamsBuilder::new();
/// builder
///     .stream::<String, String>("lines")
///     .flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
///     .group_by(|_, word| word.clone())
///     .count(Materialized::named("counts"))
///     .to_stream()
///     .to("word-counts");
/// let topology = builder.build()?;
/// assert_eq!(topology.sub_topologies().len(), 2);
/// # Ok::<(), millstream_operators::error::BuildError>(())
/// ```
#[derive(Clone, Default)]
pub struct StreamsBuilder {
    pub(super) graph: Shared,
}

impl StreamsBuilder {
    /// An empty program.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty program that becomes a topology by these settings: optimisation, kinds of stores, names.
    pub fn with_settings(settings: TopologySettings) -> Self {
        Self { graph: Shared::with_settings(settings) }
    }

    /// Reads one topic or several as a stream (Kafka Streams: `stream`). A record whose key or value is null where the
    /// type has no null (`String`) cannot be decoded; `Option<String>` takes it.
    ///
    /// Reading the same topics again with the same types gives the same stream.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, Option<String>>(["in-a", "in-b"]).to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn stream<K: DefaultSerde, V: DefaultSerde>(&self, topics: impl IntoTopics) -> KStream<K, V> {
        self.stream_with(topics, Consumed::with(K::serde(), V::serde()))
    }

    /// As [`StreamsBuilder::stream`], with settings. Serdes that are not set make the build fail:
    /// [`Consumed::with`] sets them, [`Consumed::new`] and [`Consumed::named`] take those of the types.
    pub fn stream_with<K, V>(&self, topics: impl IntoTopics, consumed: Consumed<K, V>) -> KStream<K, V>
    where
        K: 'static,
        V: 'static,
    {
        let topics = topics.into_topics();
        let mut graph = self.graph.lock();
        let name = graph.names.node(&consumed.name, names::SOURCE);
        let types = TypeId::of::<(K, V)>();
        let serdes = consumed.serdes_over(Serdes::default());
        let Consumed { reset, time, .. } = consumed;
        if let Some((node, port)) = graph.shared_source::<Port<Next<K, V>>>(&topics, types) {
            graph.check_reset(node, reset);
            return KStream::new(self.graph.clone(), node, port, serdes);
        }
        let (key, value) = serdes.clone().required(&mut graph, &name);
        let settings = Arc::new(InletSettings { node: name.clone(), key, value, time });
        let port: Port<Next<K, V>> = Port::default();
        let source = Source { name, topics, reset, inlet: stream_inlet(settings, port.clone()) };
        let node = graph.add(Kind::Source(source), &[]);
        graph.share_source(node, types, port.clone());
        KStream::new(self.graph.clone(), node, port, serdes)
    }

    /// Reads a topic as a table: the last value of each key (Kafka Streams: `table`). A null value deletes its key;
    /// records with a null key are dropped and counted. The table is not kept in a store.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// let builder = StreamsBuilder::new();
    /// builder.table::<String, i64>("prices").filter(|_, price| *price > 0).to_stream().to("positive");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn table<K: DefaultSerde, V: DefaultSerde>(&self, topic: impl Into<Arc<str>>) -> KTable<K, V> {
        self.table_with(topic, Consumed::with(K::serde(), V::serde()), Materialized::default())
    }

    /// As [`StreamsBuilder::table`], with settings. If `materialized` has a name, the table is kept in a store of that
    /// name. Updates are applied in the order of the topic, whatever their timestamps.
    pub fn table_with<K, V>(
        &self,
        topic: impl Into<Arc<str>>,
        consumed: Consumed<K, V>,
        materialized: Materialized<K, V>,
    ) -> KTable<K, V>
    where
        K: 'static,
        V: 'static,
    {
        let topic = topic.into();
        let mut graph = self.graph.lock();
        let store = materialized.store_name(&mut graph.names, &format!("{topic}-"));
        let source = graph.names.suffixed(&consumed.name, "-source", names::SOURCE);
        let table = graph.names.node(&consumed.name, names::TABLE_SOURCE);
        let serdes = consumed.serdes_over(materialized.serdes.clone());
        let (key, value) = serdes.clone().required(&mut graph, &source);
        let settings = Arc::new(InletSettings { node: source.clone(), key, value, time: consumed.time });
        let spec = materialized.key_value(store.clone(), &graph.settings);
        let (kept, versioned) = (Keep::new(materialized.is_named()), materialized.is_versioned());
        let old = OldValues::source(kept.clone());
        let port: Port<NextApply<K, V>> = Port::default();
        let view = View::stored(store.clone(), (settings.key.clone(), settings.value.clone()), Some(kept.clone()));
        let table_source = TableSource { table: table.clone(), store };
        let inlet = table_inlet(settings, table_source, old.clone(), port.clone());
        let source = Source { name: source, topics: vec![topic], reset: consumed.reset, inlet };
        let node = graph.add(Kind::TableSource { source, table, store: spec, kept }, &[]);
        KTable::new(self.graph.clone(), node, port, serdes, old).seen_by(view).with_versions(versioned)
    }

    /// Makes a topology of what was added so far.
    ///
    /// # Errors
    /// If it cannot run; the error names the node or topic at fault and says what to do.
    pub fn build(&self) -> Result<Topology, BuildError> {
        Topology::of(&self.graph.lock())
    }
}

/// The inlet of a stream source or of a repartition topic.
pub(crate) fn stream_inlet<K: 'static, V: 'static>(
    settings: Arc<InletSettings<K, V>>,
    port: Port<Next<K, V>>,
) -> InletFactory {
    Arc::new(move |chain| {
        let down = Children::new(port.build(chain));
        Box::new(StreamInlet::new(settings.clone(), down)) as Box<dyn Inlet>
    })
}

/// The names of a table source.
struct TableSource {
    table: Arc<str>,
    /// The store's name, should the table be kept.
    store: Arc<str>,
}

fn table_inlet<K: 'static, V: 'static>(
    settings: Arc<InletSettings<K, V>>,
    names: TableSource,
    old: OldValues,
    port: Port<NextApply<K, V>>,
) -> InletFactory {
    Arc::new(move |chain| {
        let down = Rc::new(TableChildren::new(port.build(chain)));
        let kept = chain.has_store(&names.store).then(|| {
            let (id, _) = chain.store(&names.store);
            let store = chain.key_value(&names.store, &settings.key, &settings.value);
            let kept = Rc::new(RefCell::new(Kept::new(names.table.clone(), store, old.asked(), down.clone())));
            chain.stateful(id, kept.clone());
            kept
        });
        Box::new(TableInlet::new(settings.clone(), kept, down)) as Box<dyn Inlet>
    })
}

/// Remembers that handles of two builders were mixed.
pub(crate) fn check_same_builder(graph: &mut Graph, same: bool, node: &str) {
    if !same {
        graph.fail(BuildError::BadReference {
            node: node.to_owned(),
            missing: "a stream".to_owned(),
            reason: "belongs to another StreamsBuilder; make both streams with the same one".to_owned(),
        });
    }
}
