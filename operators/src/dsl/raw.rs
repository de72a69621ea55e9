//! Topologies put together node by node, without the DSL.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::serdes::DefaultSerde;

use super::builder::stream_inlet;
use super::process::{self, add_state_store};
use super::serdes::Serdes;
use super::settings::{Consumed, Produced};
use super::topics::IntoTopics;
use crate::error::BuildError;
use crate::ops::inlet::InletSettings;
use crate::ops::outlet::{Outlet, OutletSettings};
use crate::processor::{ConnectStores, Processor, StoreBuilder, StoreHandle, StoreType};
use crate::push::Next;
use crate::topology::Topology;
use crate::topology::chain::ChainBuilder;
use crate::topology::graph::{Graph, Kind, NodeId, Shared, SinkTopic, Source};
use crate::topology::port::{Factory, Port};

/// Puts a topology together from sources, processors, stores and sinks under names of your own (Kafka Streams' `Topology`
/// with `addSource`, `addProcessor`, `addStateStore`, `addSink`). Nodes are typed handles, so that only what fits can be
/// connected.
///
/// ```
/// use millstream_operators::dsl::TopologyBuilder;
/// use millstream_operators::processor::{Outcome, ProcessorContext, Stores};
/// use millstream_operators::push::Record;
///
/// let topology = TopologyBuilder::new();
/// let numbers = topology.add_source::<String, i64>("numbers", "in");
/// let sort = topology.add_processor("sort", [&numbers], (), |()| {
///     |cx: &mut ProcessorContext<'_, String, i64>, record: Record<'_, String, i64>| -> Outcome {
///         cx.forward_to(if record.value % 2 == 0 { "even" } else { "odd" }, record)
///     }
/// });
/// topology.add_sink("even", "even-numbers", [&sort]);
/// topology.add_sink("odd", "odd-numbers", [&sort]);
/// assert!(topology.build()?.describe().contains("Processor: sort (stores: [])"));
/// # Ok::<(), millstream_operators::error::BuildError>(())
/// ```
#[derive(Clone, Default)]
pub struct TopologyBuilder {
    graph: Shared,
}

/// A node of a topology that is put together by hand, which hands on records of `K` and `V`. Cheap to clone.
pub struct TopologyNode<K, V> {
    graph: Shared,
    node: NodeId,
    port: Port<Next<K, V>>,
}

impl<K, V> Clone for TopologyNode<K, V> {
    fn clone(&self) -> Self {
        Self { graph: self.graph.clone(), node: self.node, port: self.port.clone() }
    }
}

impl TopologyBuilder {
    /// A topology without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads topics (`addSource`), with the serdes of the types.
    pub fn add_source<K, V>(&self, name: impl Into<Arc<str>>, topics: impl IntoTopics) -> TopologyNode<K, V>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.add_source_with(name, topics, Consumed::new())
    }

    /// As [`TopologyBuilder::add_source`], with settings; their name is not used.
    pub fn add_source_with<K: 'static, V: 'static>(
        &self,
        name: impl Into<Arc<str>>,
        topics: impl IntoTopics,
        consumed: Consumed<K, V>,
    ) -> TopologyNode<K, V> {
        let name = name.into();
        let mut graph = self.graph.lock();
        let (key, value) = consumed.serdes_over(Serdes::default()).required(&mut graph, &name);
        let settings = Arc::new(InletSettings { node: name.clone(), key, value, time: consumed.time });
        let port: Port<Next<K, V>> = Port::default();
        let inlet = stream_inlet(settings, port.clone());
        let source = Source { name, topics: topics.into_topics(), reset: consumed.reset, inlet };
        let node = graph.add(Kind::Source(source), &[]);
        TopologyNode { graph: self.graph.clone(), node, port }
    }

    /// Adds a store (`addStateStore`); the handle is what processors are connected to it by.
    pub fn add_state_store<S: StoreType>(&self, store: StoreBuilder<S>) -> StoreHandle<S> {
        add_state_store(&self.graph, store)
    }

    /// Adds a processor below one node or several (`addProcessor`), connected to the stores of these handles (one, a
    /// tuple, or `()`). Processors that use one store run in one task.
    pub fn add_processor<'p, S, P, K, V, L, U>(
        &self,
        name: impl Into<Arc<str>>,
        parents: impl IntoIterator<Item = &'p TopologyNode<K, V>>,
        stores: S,
        supplier: impl Fn(S::Opened) -> P + Send + Sync + 'static,
    ) -> TopologyNode<L, U>
    where
        S: ConnectStores,
        P: Processor<K, V, L, U> + 'static,
        K: 'static,
        V: 'static,
        L: 'static,
        U: 'static,
    {
        let name = name.into();
        let kind = Kind::Processor { name: name.clone(), stores: Vec::new() };
        let (node, ports) = self.below(kind, parents);
        self.graph.lock().connect(node, stores.names());
        let port: Port<Next<L, U>> = Port::default();
        hang(node, ports, process::node((node, name), &port, stores, supplier));
        TopologyNode { graph: self.graph.clone(), node, port }
    }

    /// Writes what one node or several hand on to a topic (`addSink`), with the serdes of the types.
    pub fn add_sink<'p, K: DefaultSerde, V: DefaultSerde>(
        &self,
        name: impl Into<Arc<str>>,
        topic: impl Into<Arc<str>>,
        parents: impl IntoIterator<Item = &'p TopologyNode<K, V>>,
    ) {
        self.add_sink_with(name, topic, parents, Produced::new());
    }

    /// As [`TopologyBuilder::add_sink`], with settings; their name is not used.
    pub fn add_sink_with<'p, K: 'static, V: 'static>(
        &self,
        name: impl Into<Arc<str>>,
        topic: impl Into<Arc<str>>,
        parents: impl IntoIterator<Item = &'p TopologyNode<K, V>>,
        produced: Produced<K, V>,
    ) {
        let name = name.into();
        let (key, value) = produced.serdes_over(Serdes::default()).required(&mut self.graph.lock(), &name);
        let settings =
            Arc::new(OutletSettings { node: name.clone(), key, value, partitioner: produced.partitioner, topic: None });
        let topic = SinkTopic::Fixed(topic.into());
        let (node, ports) = self.below(Kind::Sink { name, topic, unhashed_suffix: 0 }, parents);
        let make = move |chain: &mut ChainBuilder<'_>| {
            Rc::new(RefCell::new(Outlet::new(settings.clone(), chain.sink(&settings.node)))) as Next<K, V>
        };
        hang(node, ports, Arc::new(make));
    }

    /// Makes a topology of what was added so far.
    ///
    /// # Errors
    /// If it cannot run; the error names the node or topic at fault and says what to do.
    pub fn build(&self) -> Result<Topology, BuildError> {
        Topology::of(&self.graph.lock())
    }

    /// Adds a node below others; what is wrong with them is told by the build.
    fn below<'p, K: 'static, V: 'static>(
        &self,
        kind: Kind,
        parents: impl IntoIterator<Item = &'p TopologyNode<K, V>>,
    ) -> (NodeId, Vec<Port<Next<K, V>>>) {
        let parents: Vec<&TopologyNode<K, V>> = parents.into_iter().collect();
        let (own, foreign): (Vec<_>, Vec<_>) = parents.into_iter().partition(|node| node.graph.same(&self.graph));
        let mut graph = self.graph.lock();
        if !foreign.is_empty() || own.is_empty() {
            refuse_parents(&mut graph, &kind, own.is_empty() && foreign.is_empty());
        }
        let ids: Vec<NodeId> = own.iter().map(|node| node.node).collect();
        (graph.add(kind, &ids), own.iter().map(|node| node.port.clone()).collect())
    }
}

fn refuse_parents(graph: &mut Graph, kind: &Kind, none: bool) {
    let reason = if none { "is missing; name at least one" } else { "belongs to another TopologyBuilder" };
    graph.fail(BuildError::BadReference {
        node: kind.name().to_string(),
        missing: "a parent".to_owned(),
        reason: reason.to_owned(),
    });
}

/// Registers a node's factory with all its parents; they share the one node of a chain.
fn hang<K: 'static, V: 'static>(node: NodeId, ports: Vec<Port<Next<K, V>>>, make: Factory<Next<K, V>>) {
    for port in ports {
        let make = make.clone();
        port.add(node, Arc::new(move |chain| chain.once(node, |chain| make(chain))));
    }
}
