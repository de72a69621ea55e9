//! Global tables and stores: a whole topic in every instance.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::serdes::DefaultSerde;
use millstream_state::store::Changelog;

use super::builder::StreamsBuilder;
use super::materialize::Materialized;
use super::process::node;
use super::serdes::Serdes;
use super::settings::Consumed;
use super::stream::KStream;
use crate::error::BuildError;
use crate::global::GlobalReader;
use crate::ops::global_join::{GlobalJoin, GlobalJoinSettings};
use crate::ops::inlet::{InletSettings, StreamInlet};
use crate::ops::table_source::{Kept, TableInlet};
use crate::processor::{GlobalKeyValueStore, GlobalStoreType, Processor, StoreBuilder, StoreHandle};
use crate::push::{Children, Next, TableChildren};
use crate::topology::chain::{Inlet, InletFactory};
use crate::topology::graph::{Kind, Shared, Source};
use crate::topology::names;
use crate::topology::port::Port;

/// A table that every instance has as a whole (Kafka Streams' `GlobalKTable`): streams can be joined with it by any key,
/// without repartitioning. Cheap to clone.
///
/// Each instance reads all partitions of the topic before it processes anything, and goes on reading while it runs. The
/// table is not in step with the streams: a record is joined with what has been read by then.
pub struct GlobalKTable<K, V> {
    graph: Shared,
    store: Arc<str>,
    serdes: Serdes<K, V>,
}

impl<K, V> Clone for GlobalKTable<K, V> {
    fn clone(&self) -> Self {
        Self { graph: self.graph.clone(), store: self.store.clone(), serdes: self.serdes.clone() }
    }
}

impl<K: 'static, V: 'static> GlobalKTable<K, V> {
    /// The name of the table's store.
    pub fn store_name(&self) -> &str {
        &self.store
    }

    /// The table's store, for processors: every processor can read it.
    pub fn store(&self) -> StoreHandle<GlobalKeyValueStore<K, V>> {
        let mut graph = self.graph.lock();
        let serdes = self.serdes.clone().required(&mut graph, &self.store);
        StoreHandle::global(self.store.clone(), serdes)
    }
}

impl StreamsBuilder {
    /// Reads a whole topic as a table that every instance has (Kafka Streams: `globalTable`). A null value deletes its
    /// key; records with a null key are dropped. There is no changelog: the topic is it, and it should be compacted.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// let builder = StreamsBuilder::new();
    /// let airports = builder.global_table::<String, String>("airports");
    /// let flights = builder.stream::<i64, String>("flights");
    /// flights
    ///     .join_global_table(&airports, |_, code| Some(code.clone()), |code, name| format!("{code}: {name}"))
    ///     .to("destinations");
    /// assert!(builder.build()?.describe().contains("for global store (will not generate tasks)"));
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn global_table<K: DefaultSerde, V: DefaultSerde>(&self, topic: impl Into<Arc<str>>) -> GlobalKTable<K, V> {
        self.global_table_with(topic, Consumed::with(K::serde(), V::serde()), Materialized::default())
    }

    /// As [`StreamsBuilder::global_table`], with settings. The store is neither cached nor logged, whatever `materialized`
    /// says, and cannot keep versions.
    pub fn global_table_with<K: 'static, V: 'static>(
        &self,
        topic: impl Into<Arc<str>>,
        consumed: Consumed<K, V>,
        materialized: Materialized<K, V>,
    ) -> GlobalKTable<K, V> {
        let topic = topic.into();
        let mut graph = self.graph.lock();
        let store = materialized.store_name(&mut graph.names, &format!("{topic}-"));
        let source = graph.names.suffixed(&consumed.name, "-source", names::SOURCE);
        let name = graph.names.node(&consumed.name, names::TABLE_SOURCE);
        let serdes = consumed.serdes_over(materialized.serdes.clone());
        let (key, value) = serdes.clone().required(&mut graph, &source);
        let mut spec = materialized.key_value(store.clone(), &graph.settings);
        (spec.cached, spec.changelog) = (false, Changelog::Off);
        let settings = Arc::new(InletSettings { node: source.clone(), key, value, time: consumed.time });
        let (table, kept) = (name.clone(), store.clone());
        let inlet: InletFactory = Arc::new(move |chain| {
            let store = chain.key_value(&kept, &settings.key, &settings.value);
            let down = Rc::new(TableChildren::new([]));
            let kept = Rc::new(RefCell::new(Kept::new(table.clone(), store, false, down.clone())));
            Box::new(TableInlet::new(settings.clone(), Some(kept), down)) as Box<dyn Inlet>
        });
        let source = Source { name: source, topics: vec![topic], reset: None, inlet };
        graph.add(Kind::Global { source, name, store: spec }, &[]);
        GlobalKTable { graph: self.graph.clone(), store, serdes }
    }

    /// Adds a store that every instance fills from a whole topic by a processor of your own (Kafka Streams:
    /// `addGlobalStore`). The processor forwards nothing. It sees the records of each partition in order, and after a
    /// restart those from where it stopped; after a loss of the store all of them again. It must do nothing but fill the
    /// store.
    ///
    /// ```
    /// # use millstream_operators::dsl::{Consumed, StreamsBuilder};
    /// # use millstream_operators::processor::*;
    /// # use millstream_operators::push::Record;
    /// struct Upper(KeyValueStore<String, String>);
    ///
    /// impl Processor<String, String, (), ()> for Upper {
    ///     fn process(&mut self, cx: &mut ProcessorContext<'_, (), ()>, r: Record<'_, String, String>) -> Outcome {
    ///         Ok(self.0.put(cx, r.key, r.value.to_uppercase())?)
    ///     }
    /// }
    ///
    /// let builder = StreamsBuilder::new();
    /// let store = Stores::key_value::<String, String>("names");
    /// let names = builder.add_global_store(store, "names", Consumed::new(), Upper);
    /// assert_eq!(names.name(), "names");
    /// ```
    pub fn add_global_store<S, P, K, V>(
        &self,
        store: StoreBuilder<S>,
        topic: impl Into<Arc<str>>,
        consumed: Consumed<K, V>,
        supplier: impl Fn(S) -> P + Send + Sync + 'static,
    ) -> StoreHandle<S::Reader>
    where
        S: GlobalStoreType,
        P: Processor<K, V, (), ()> + 'static,
        K: 'static,
        V: 'static,
    {
        let mut graph = self.graph.lock();
        let source = graph.names.suffixed(&consumed.name, "-source", names::SOURCE);
        let name = graph.names.node(&consumed.name, names::TABLE_SOURCE);
        let (key, value) = consumed.serdes_over(Serdes::default()).required(&mut graph, &source);
        let settings = Arc::new(InletSettings { node: source.clone(), key, value, time: consumed.time });
        let (mut spec, serdes) = store.into_parts();
        (spec.cached, spec.changelog) = (false, Changelog::Off);
        let handle: StoreHandle<S> = StoreHandle::new(spec.name.clone(), serdes.clone());
        let reader = StoreHandle::global(spec.name.clone(), serdes);
        let make = node((graph.next_id(), name.clone()), &Port::<Next<(), ()>>::default(), handle, supplier);
        let inlet: InletFactory = Arc::new(move |chain| {
            let down = Children::new([make(chain)]);
            Box::new(StreamInlet::new(settings.clone(), down)) as Box<dyn Inlet>
        });
        let source = Source { name: source, topics: vec![topic.into()], reset: None, inlet };
        graph.add(Kind::Global { source, name, store: spec }, &[]);
        reader
    }
}

impl<K: 'static, V: 'static> KStream<K, V> {
    /// Joins each record with the value that a global table has for the key that `mapper` makes of it (Kafka Streams:
    /// `join` with a `GlobalKTable`). A record for which there is no key or no value in the table has no result.
    ///
    /// The result has the key, the timestamp and the headers of the stream's record. Records with a null value, and those
    /// for which `mapper` answers `None`, are dropped and counted; a null key is no obstacle. Nothing is repartitioned.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// let builder = StreamsBuilder::new();
    /// let rates = builder.global_table::<String, i64>("rates");
    /// let sums = builder.stream::<i64, String>("currencies");
    /// sums.join_global_table(&rates, |_, currency| Some(currency.clone()), |_, rate| *rate).to("rated");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    /// The mapper has to make a key of the table's type:
    /// ```compile_fail
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// let builder = StreamsBuilder::new();
    /// let rates = builder.global_table::<String, i64>("rates");
    /// let sums = builder.stream::<i64, String>("currencies");
    /// sums.join_global_table(&rates, |key, _| Some(*key), |_, rate| *rate).to("rated");
    /// ```
    pub fn join_global_table<G: 'static, W: 'static, R: 'static>(
        &self,
        table: &GlobalKTable<G, W>,
        mapper: impl Fn(&K, &V) -> Option<G> + Send + Sync + 'static,
        joiner: impl Fn(&V, &W) -> R + Send + Sync + 'static,
    ) -> KStream<K, R>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.join_global_table_with_key(table, mapper, move |_, value, other| joiner(value, other))
    }

    /// As [`KStream::join_global_table`], and the joiner sees the key of the stream's record.
    pub fn join_global_table_with_key<G: 'static, W: 'static, R: 'static>(
        &self,
        table: &GlobalKTable<G, W>,
        mapper: impl Fn(&K, &V) -> Option<G> + Send + Sync + 'static,
        joiner: impl Fn(&K, &V, &W) -> R + Send + Sync + 'static,
    ) -> KStream<K, R>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        let joiner = move |key: &K, value: &V, other: Option<&W>| other.map(|other| joiner(key, value, other));
        self.add_global_join(table, false, mapper, joiner)
    }

    /// Joins each record with the value that a global table has for the key that `mapper` makes of it, or with `None` (Kafka
    /// Streams: `leftJoin` with a `GlobalKTable`); with `None` also if `mapper` answers `None`. Otherwise as
    /// [`KStream::join_global_table`].
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// let builder = StreamsBuilder::new();
    /// let names = builder.global_table::<String, String>("names");
    /// let codes = builder.stream::<i64, String>("codes");
    /// let show = |code: &String, name: Option<&String>| name.unwrap_or(code).clone();
    /// codes.left_join_global_table(&names, |_, code| Some(code.clone()), show).to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn left_join_global_table<G: 'static, W: 'static, R: 'static>(
        &self,
        table: &GlobalKTable<G, W>,
        mapper: impl Fn(&K, &V) -> Option<G> + Send + Sync + 'static,
        joiner: impl Fn(&V, Option<&W>) -> R + Send + Sync + 'static,
    ) -> KStream<K, R>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.left_join_global_table_with_key(table, mapper, move |_, value, other| joiner(value, other))
    }

    /// As [`KStream::left_join_global_table`], and the joiner sees the key of the stream's record.
    pub fn left_join_global_table_with_key<G: 'static, W: 'static, R: 'static>(
        &self,
        table: &GlobalKTable<G, W>,
        mapper: impl Fn(&K, &V) -> Option<G> + Send + Sync + 'static,
        joiner: impl Fn(&K, &V, Option<&W>) -> R + Send + Sync + 'static,
    ) -> KStream<K, R>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        let joiner = move |key: &K, value: &V, other: Option<&W>| Some(joiner(key, value, other));
        self.add_global_join(table, true, mapper, joiner)
    }

    fn add_global_join<G: 'static, W: 'static, R: 'static>(
        &self,
        table: &GlobalKTable<G, W>,
        left: bool,
        mapper: impl Fn(&K, &V) -> Option<G> + Send + Sync + 'static,
        joiner: impl Fn(&K, &V, Option<&W>) -> Option<R> + Send + Sync + 'static,
    ) -> KStream<K, R>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        let value = self.serdes.clone().or_default().value;
        let mut graph = self.graph.lock();
        // Kafka Streams gives inner joins with global tables this prefix too.
        let name = graph.names.node(&self.next_name, names::LEFT_JOIN);
        let node = graph.add(Kind::Processor { name: name.clone(), stores: Vec::new() }, &[self.node]);
        if !self.graph.same(&table.graph) {
            graph.fail(BuildError::BadReference {
                node: name.to_string(),
                missing: format!("global table {}", table.store),
                reason: "belongs to another StreamsBuilder; make both with the same one".to_owned(),
            });
        }
        if left {
            graph.take_null_keys(node);
        }
        let (other_key, other_value) = table.serdes.clone().required(&mut graph, &name);
        drop(graph);
        let settings = Arc::new(GlobalJoinSettings { node: name, value, left, mapper, joiner });
        let port: Port<Next<K, R>> = Port::default();
        let (below, store) = (port.clone(), table.store.clone());
        self.below(node, move |chain| GlobalJoin {
            settings: settings.clone(),
            table: GlobalReader::new(&store, other_key.clone(), other_value.clone()),
            down: Children::new(below.build(chain)),
        });
        let joined = KStream::new(self.graph.clone(), node, port, Serdes::new(self.serdes.key.clone(), None));
        KStream { rekeyed: self.rekeyed, ..joined }
    }
}
