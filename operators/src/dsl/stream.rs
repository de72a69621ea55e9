//! Streams: handles, and the operators that keep the type of a record.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use millstream_state::serdes::DefaultSerde;

use super::builder::{check_same_builder, stream_inlet};
use super::grouped::KGroupedStream;
use super::merge;
use super::serdes::Serdes;
use super::settings::{Grouped, Repartitioned};
use crate::error::BuildError;
use crate::ops::filter::Filter;
use crate::ops::for_each::ForEach;
use crate::ops::inlet::{InletSettings, TimeSource};
use crate::ops::outlet::OutletSettings;
use crate::ops::pass::Pass;
use crate::ops::peek::Peek;
use crate::push::{Children, Next, Process};
use crate::topology::chain::ChainBuilder;
use crate::topology::graph::{Kind, NodeId, Repartition, Shared};
use crate::topology::names::{self, Given};
use crate::topology::port::Port;

/// A stream of records (Kafka Streams' `KStream`). A handle: cheap to clone, and usable several times; every operator
/// added to it sees every record, in the order in which the operators were added.
///
/// Unless an operator says otherwise, records keep their timestamp and headers on the way.
pub struct KStream<K, V> {
    pub(crate) graph: Shared,
    pub(crate) node: NodeId,
    pub(crate) port: Port<Next<K, V>>,
    pub(crate) serdes: Serdes<K, V>,
    /// Whether the key may have changed since the records were partitioned by it.
    pub(crate) rekeyed: bool,
    /// The node that may have changed the key, if nothing since then has changed the records: repartition topics below it
    /// can be merged.
    pub(crate) changer: Option<Upstream<K, V>>,
    pub(crate) next_name: Given,
    /// The repartition topic that joins of this stream share.
    pub(crate) repartition: Arc<Mutex<Option<Upstream<K, V>>>>,
}

/// A node and what is below it.
pub(crate) type Upstream<K, V> = (NodeId, Port<Next<K, V>>);

impl<K, V> Clone for KStream<K, V> {
    fn clone(&self) -> Self {
        Self {
            graph: self.graph.clone(),
            node: self.node,
            port: self.port.clone(),
            serdes: self.serdes.clone(),
            rekeyed: self.rekeyed,
            changer: self.changer.clone(),
            next_name: self.next_name.clone(),
            repartition: self.repartition.clone(),
        }
    }
}

impl<K: 'static, V: 'static> KStream<K, V> {
    pub(crate) fn new(graph: Shared, node: NodeId, port: Port<Next<K, V>>, serdes: Serdes<K, V>) -> Self {
        Self { graph, node, port, serdes, rekeyed: false, changer: None, next_name: None, repartition: Arc::default() }
    }

    /// Adds an operator below this stream; answers the stream of what it hands down.
    pub(crate) fn attach<L, U, N>(
        &self,
        prefix: &str,
        serdes: Serdes<L, U>,
        make: impl Fn(Children<L, U>) -> N + Send + Sync + 'static,
    ) -> KStream<L, U>
    where
        L: 'static,
        U: 'static,
        N: Process<K, V> + 'static,
    {
        let node = self.graph.lock().add_processor(&self.next_name, prefix, &[self.node]);
        let port: Port<Next<L, U>> = Port::default();
        let below = port.clone();
        self.below(node, move |chain| make(Children::new(below.build(chain))));
        KStream { rekeyed: self.rekeyed, ..KStream::new(self.graph.clone(), node, port, serdes) }
    }

    /// As [`KStream::attach`], for an operator that hands down some of the records as they are.
    pub(crate) fn attach_same<N: Process<K, V> + 'static>(
        &self,
        prefix: &str,
        make: impl Fn(Children<K, V>) -> N + Send + Sync + 'static,
    ) -> Self {
        KStream { changer: self.changer.clone(), ..self.attach(prefix, self.serdes.clone(), make) }
    }

    /// This stream as one whose key has just been changed.
    pub(crate) fn with_new_key(self) -> Self {
        let changer = Some((self.node, self.port.clone()));
        KStream { rekeyed: true, changer, ..self }
    }

    /// Registers the factory of a node below this stream.
    pub(crate) fn below<N: Process<K, V> + 'static>(
        &self,
        node: NodeId,
        make: impl Fn(&mut ChainBuilder<'_>) -> N + Send + Sync + 'static,
    ) {
        self.port.add(node, Arc::new(move |chain| Rc::new(RefCell::new(make(chain))) as Next<K, V>));
    }

    /// Gives the next operator that is added through this handle a name. For a repartition or a group it is the name of
    /// the topic, as in [`Repartitioned::named`] and [`Grouped::named`].
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").named("positive").filter(|_, n| *n > 0).to("out");
    /// assert!(builder.build()?.describe().contains("Processor: positive (stores: [])"));
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    #[must_use]
    pub fn named(&self, name: impl Into<Arc<str>>) -> Self {
        Self { next_name: Some(name.into()), ..self.clone() }
    }

    /// Keeps the records that the predicate wants, nulls included if the types have them (Kafka Streams: `filter`).
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").filter(|_, n| n % 2 == 0).to("even");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn filter(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        let predicate = Arc::new(predicate);
        self.attach_same(names::FILTER, move |down| Filter::new(predicate.clone(), true, down))
    }

    /// Drops the records that the predicate wants (Kafka Streams: `filterNot`).
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").filter_not(|_, n| n % 2 == 0).to("odd");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn filter_not(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        let predicate = Arc::new(predicate);
        self.attach_same(names::FILTER, move |down| Filter::new(predicate.clone(), false, down))
    }

    /// Calls a function for each record and passes the record on as it is (Kafka Streams: `peek`). After a crash records
    /// are processed again, so the function may see one twice.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").peek(|key, n| println!("{key}: {n}")).to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn peek(&self, look: impl Fn(&K, &V) + Send + Sync + 'static) -> Self {
        let look = Arc::new(look);
        self.attach_same(names::PEEK, move |down| Peek::new(look.clone(), down))
    }

    /// Calls a function for each record, and ends there (Kafka Streams: `foreach`). After a crash the function may see a
    /// record twice.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").for_each(|key, n| println!("{key}: {n}"));
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn for_each(&self, action: impl Fn(&K, &V) + Send + Sync + 'static) {
        let node = self.graph.lock().add_processor(&self.next_name, names::FOR_EACH, &[self.node]);
        let action = Arc::new(action);
        self.below(node, move |_| ForEach::new(action.clone()));
    }

    /// The records of both streams (Kafka Streams: `merge`). Records of one stream keep their order; between the two
    /// there is none to rely on. Serdes that came along with this stream stay.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// let (a, b) = (builder.stream::<String, i64>("a"), builder.stream("b"));
    /// a.merge(&b).to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        let mut graph = self.graph.lock();
        let same = self.graph.same(&other.graph);
        let parents = [self.node, if same { other.node } else { self.node }];
        let node = graph.add_processor(&self.next_name, names::MERGE, &parents[..if same { 2 } else { 1 }]);
        let name = graph.name(node);
        check_same_builder(&mut graph, same, &name);
        drop(graph);
        let port: Port<Next<K, V>> = Port::default();
        for parent in [self, other] {
            let below = port.clone();
            let factory = move |chain: &mut ChainBuilder<'_>| {
                chain.once(node, |chain| {
                    Rc::new(RefCell::new(Pass::new(Children::new(below.build(chain))))) as Next<K, V>
                })
            };
            parent.port.add(node, Arc::new(factory));
        }
        let changed = self.changer.is_some() || other.changer.is_some();
        let changer = changed.then(|| (node, port.clone()));
        let merged = KStream::new(self.graph.clone(), node, port, self.serdes.clone());
        KStream { rekeyed: self.rekeyed || other.rekeyed, changer, ..merged }
    }

    /// Sends the records through a topic of the application's own, so that they are partitioned by their key from then on
    /// (Kafka Streams: `repartition`). Records with a null key are dropped.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream::<String, String>("in").select_key(|_, v| v.clone()).repartition().to("out");
    /// assert_eq!(builder.build()?.sub_topologies().len(), 2);
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    #[must_use]
    pub fn repartition(&self) -> Self
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.repartition_with(Repartitioned::new())
    }

    /// As [`KStream::repartition`], with settings: the name of the topic, its partition count, serdes, a partitioner.
    #[must_use]
    pub fn repartition_with(&self, repartitioned: Repartitioned<K, V>) -> Self {
        let serdes = repartitioned.serdes_over(self.serdes.clone());
        let prefix = {
            let mut graph = self.graph.lock();
            let name = repartitioned.name.clone().or_else(|| self.next_name.clone());
            name.unwrap_or_else(|| graph.names.generate(names::REPARTITION))
        };
        let names = self.graph.lock().names.repartition(&prefix);
        // What the program asks for by name is not merged.
        let (node, port) = Self { changer: None, ..self.clone() }.through(&names, serdes.clone(), repartitioned);
        KStream::new(self.graph.clone(), node, port, serdes)
    }

    /// Adds a repartition topic below this stream: the node that filters and writes, and the one that reads.
    pub(crate) fn through(
        &self,
        names: &names::RepartitionNames,
        serdes: Serdes<K, V>,
        settings: Repartitioned<K, V>,
    ) -> (NodeId, Port<Next<K, V>>) {
        let mut graph = self.graph.lock();
        let (key, value) = serdes.required(&mut graph, &names.sink);
        if let Some(partitions) = settings.partitions.filter(|partitions| *partitions < 1) {
            let reason = format!("topic {} cannot have {partitions} partitions; give it at least one", names.topic);
            graph.fail(BuildError::BadSetting { node: names.sink.to_string(), reason });
        }
        let time = TimeSource::Fail;
        let reader = InletSettings { node: names.source.clone(), key: key.clone(), value: value.clone(), time };
        let writer = Arc::new(OutletSettings {
            node: names.sink.clone(),
            key,
            value,
            partitioner: settings.partitioner,
            topic: None,
        });
        let port: Port<Next<K, V>> = Port::default();
        let inlet = stream_inlet(Arc::new(reader), port.clone());
        let (partitions, config) = (settings.partitions, settings.config);
        let repartition = Repartition { names: names.clone(), partitions, config, inlet };
        let node = graph.add(Kind::Repartition(repartition), &[self.node]);
        if let Some(changer) = &self.changer {
            merge::may_merge(&mut graph, (node, &names.topic), changer, &writer);
        }
        drop(graph);
        self.port.add_repartition(node, merge::outlet(node, writer), port.clone());
        (node, port)
    }

    /// This stream as it goes into a join: through a repartition topic if the key may have changed. `given` is the name of
    /// the topic, which joins of one stream without a name share.
    pub(crate) fn for_join(&self, given: &Given, serdes: Serdes<K, V>) -> Self {
        if !self.rekeyed {
            return self.clone();
        }
        let mut graph = self.graph.lock();
        let own = graph.name(self.node);
        let prefix = given.clone().unwrap_or_else(|| own.clone());
        // Names are taken even if the topic is there already, as in Kafka Streams.
        let names = graph.names.repartition(&prefix);
        drop(graph);
        let mut shared = self.repartition.lock().unwrap_or_else(PoisonError::into_inner);
        let (node, port) = match &*shared {
            Some(upstream) if prefix == own => upstream.clone(),
            _ => self.through(&names, serdes.clone(), Repartitioned::known()),
        };
        *shared = Some((node, port.clone()));
        KStream::new(self.graph.clone(), node, port, serdes)
    }

    /// Groups the records by the key they have (Kafka Streams: `groupByKey`). If an operator above may have changed the
    /// key, they go through a repartition topic first, and null keys are dropped on the way.
    ///
    /// ```
    /// # use millstream_operators::dsl::{Materialized, StreamsBuilder};
    /// # let builder = StreamsBuilder::new();
    /// builder.stream::<String, String>("in").group_by_key().count(Materialized::default()).to_stream().to("out");
    /// assert_eq!(builder.build()?.sub_topologies().len(), 1);
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn group_by_key(&self) -> KGroupedStream<K, V>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.group_by_key_with(Grouped::new())
    }

    /// As [`KStream::group_by_key`], with settings. [`Grouped::known`] takes the serdes of the stream.
    pub fn group_by_key_with(&self, grouped: Grouped<K, V>) -> KGroupedStream<K, V> {
        KGroupedStream::new(self, grouped.or_name(&self.next_name))
    }
}
