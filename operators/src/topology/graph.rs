//! The graph that the DSL writes: one node per call, before anything is split or numbered into tasks.
//!
//! ```text
//!  DSL calls → Graph (this) → physical nodes → sub-topologies
//! ```
//! Rewriting the graph (merging repartition topics, reusing a source topic as changelog) has its place between the
//! first arrow and the second.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_state::store::StoreSpec;

use super::chain::InletFactory;
use super::names::{self, Names, RepartitionNames};
use super::rewrite::{Merger, SelfJoin};
use super::settings::TopologySettings;
use super::spec::OffsetReset;
use crate::error::BuildError;

/// A node of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) usize);

/// The graph while the DSL writes it. The handles of one builder share it.
#[derive(Clone, Default)]
pub(crate) struct Shared(
    // Written only by the thread that builds the topology; a lock because handles may be moved between threads.
    Arc<Mutex<Graph>>,
);

impl Shared {
    /// An empty graph with these settings.
    pub(crate) fn with_settings(settings: TopologySettings) -> Self {
        Self(Arc::new(Mutex::new(Graph { settings, ..Graph::default() })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Graph> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// What is read from topics: shared by stream and table sources.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) name: Arc<str>,
    pub(crate) topics: Vec<Arc<str>>,
    pub(crate) reset: Option<OffsetReset>,
    pub(crate) inlet: InletFactory,
}

/// Where a sink writes.
#[derive(Clone, Debug)]
pub(crate) enum SinkTopic {
    /// Always there.
    Fixed(Arc<str>),
    /// Where an extractor with this name says.
    Extracted(Arc<str>),
}

/// A topic of the application's own between two sub-topologies.
#[derive(Clone)]
pub(crate) struct Repartition {
    pub(crate) names: RepartitionNames,
    pub(crate) partitions: Option<i32>,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) inlet: InletFactory,
}

/// What a node of the graph is.
#[derive(Clone)]
pub(crate) enum Kind {
    /// Reads topics into a stream.
    Source(Source),
    /// Reads a topic into a table: a source and the node that keeps the table, if somebody needs it kept.
    TableSource { source: Source, table: Arc<str>, store: StoreSpec, kept: Keep },
    /// Reads a whole topic, all its partitions, into a store that every task can read.
    Global { source: Source, name: Arc<str>, store: StoreSpec },
    /// Any operator.
    Processor { name: Arc<str>, stores: Vec<StoreSpec> },
    /// An operator whose result is kept only if somebody needs it kept.
    Keeper { name: Arc<str>, store: StoreSpec, kept: Keep },
    /// Joins two tables: a node for each side and the one that they hand their results to.
    TableJoin(TableJoin),
    /// Writes a topic.
    Sink { name: Arc<str>, topic: SinkTopic, unhashed_suffix: usize },
    /// Writes a topic of the application's own that another node of the graph reads.
    InternalSink { name: Arc<str>, topic: Arc<str> },
    /// Reads what an [`Kind::InternalSink`] above it writes.
    InternalSource { name: Arc<str>, topic: Arc<str>, inlet: InletFactory },
    /// Drops null keys, writes a repartition topic and reads it again.
    Repartition(Repartition),
    /// Writes the changes of a grouped table to a repartition topic and reads it again; there are no null keys to drop.
    TableRepartition(Repartition),
}

/// The nodes of a table–table join.
#[derive(Clone, Debug)]
pub(crate) struct TableJoin {
    /// Below the left table.
    pub(crate) this: JoinSide,
    /// Below the right table.
    pub(crate) other: JoinSide,
    /// Below both.
    pub(crate) merge: Arc<str>,
    /// Where the result is kept, if it is.
    pub(crate) store: Option<StoreSpec>,
}

/// One side of a join.
#[derive(Clone, Debug)]
pub(crate) struct JoinSide {
    pub(crate) name: Arc<str>,
    /// The stores that it looks into for the other side's values.
    pub(crate) reads: Vec<Arc<str>>,
}

impl Kind {
    /// The node that others find the data of this one at.
    pub(crate) fn name(&self) -> &Arc<str> {
        match self {
            Self::Source(source) => &source.name,
            Self::TableSource { table, .. } => table,
            Self::Global { name, .. }
            | Self::Processor { name, .. }
            | Self::Keeper { name, .. }
            | Self::InternalSink { name, .. }
            | Self::InternalSource { name, .. }
            | Self::Sink { name, .. } => name,
            Self::TableJoin(join) => &join.merge,
            Self::Repartition(repartition) | Self::TableRepartition(repartition) => &repartition.names.source,
        }
    }
}

impl Kind {
    /// The node that the data of its parents goes to.
    pub(crate) fn first_name(&self) -> &Arc<str> {
        match self {
            Self::Source(source) | Self::TableSource { source, .. } | Self::Global { source, .. } => &source.name,
            Self::Processor { name, .. }
            | Self::Keeper { name, .. }
            | Self::InternalSink { name, .. }
            | Self::InternalSource { name, .. }
            | Self::Sink { name, .. } => name,
            Self::TableJoin(join) => &join.this.name,
            Self::Repartition(repartition) => &repartition.names.filter,
            Self::TableRepartition(repartition) => &repartition.names.sink,
        }
    }
}

/// Whether a source table is kept in a store: from the beginning, or because somebody looks at it from the side. Clones
/// share the answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keep(Arc<AtomicBool>);

impl Keep {
    /// Decided from the beginning, or not yet.
    pub(crate) fn new(kept: bool) -> Self {
        Self(Arc::new(AtomicBool::new(kept)))
    }

    /// Has it kept.
    pub(crate) fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is kept.
    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A node with its place in the graph.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) parents: Vec<NodeId>,
    /// Names of stores that it uses and does not own.
    pub(crate) connected: Vec<Arc<str>>,
    /// Nodes whose topics must have as many partitions as those of this one: the other sides of joins.
    pub(crate) beside: Vec<NodeId>,
    /// Whether the node has a use for null keys, so that repartition topics above let them pass.
    pub(crate) takes_null_keys: bool,
    /// How long after their ends the windows that this node makes take records, in milliseconds.
    grace: Option<i64>,
    /// Kafka Streams writes a node once its parents are written, lowest priority number first.
    pub(super) priority: usize,
}

/// A stream source that a second `stream` call of the same topics can share.
struct SharedSource {
    topics: Vec<Arc<str>>,
    node: NodeId,
    types: TypeId,
    port: Box<dyn Any + Send>,
}

/// All nodes of a builder.
#[derive(Default)]
pub(crate) struct Graph {
    pub(crate) settings: TopologySettings,
    pub(crate) names: Names,
    pub(super) nodes: Vec<Node>,
    /// Where repartition topics can be merged.
    pub(super) mergers: Vec<Merger>,
    pub(super) self_joins: Vec<SelfJoin>,
    shared: Vec<SharedSource>,
    errors: Vec<BuildError>,
    priorities: usize,
    /// Stores that belong to no node: processors are connected to them.
    pub(crate) declared: Vec<StoreSpec>,
}

impl Graph {
    /// The number that the next node will have.
    pub(crate) fn next_id(&self) -> NodeId {
        NodeId(self.nodes.len())
    }

    /// Adds a node below its parents.
    pub(crate) fn add(&mut self, kind: Kind, parents: &[NodeId]) -> NodeId {
        let id = NodeId(self.nodes.len());
        self.nodes.push(Node {
            kind,
            parents: parents.to_vec(),
            connected: Vec::new(),
            beside: Vec::new(),
            takes_null_keys: false,
            grace: None,
            priority: 0,
        });
        self.raise(id);
        id
    }

    /// Lets a node use the stores of these names, which others own or [`Graph::declare`] has made known.
    pub(crate) fn connect(&mut self, id: NodeId, stores: impl IntoIterator<Item = Arc<str>>) {
        self.nodes[id.0].connected.extend(stores);
    }

    /// Makes a store known that belongs to no node.
    pub(crate) fn declare(&mut self, store: StoreSpec) {
        self.declared.push(store);
    }

    /// Demands that the topics above both nodes have equal partition counts.
    pub(crate) fn copartition(&mut self, id: NodeId, other: NodeId) {
        self.nodes[id.0].beside.push(other);
    }

    /// Says what a join becomes should both sides be one stream.
    pub(crate) fn may_join_itself(&mut self, join: SelfJoin) {
        self.self_joins.push(join);
    }

    /// Says that a node has a use for null keys.
    pub(crate) fn take_null_keys(&mut self, id: NodeId) {
        self.nodes[id.0].takes_null_keys = true;
    }

    /// Says that a node makes windows, which close this long after their ends.
    pub(crate) fn close_windows(&mut self, id: NodeId, grace: i64) {
        self.nodes[id.0].grace = Some(grace);
    }

    /// When the windows that are the keys of a node close: the longest time after their ends, of all the nodes above
    /// that make windows. `None` if there is a way up that meets none.
    pub(crate) fn windows_close(&self, id: NodeId) -> Option<i64> {
        let node = &self.nodes[id.0];
        if node.grace.is_some() || node.parents.is_empty() {
            return node.grace;
        }
        node.parents.iter().map(|parent| self.windows_close(*parent)).try_fold(0, |most, grace| Some(most.max(grace?)))
    }

    /// Gives a node the next priority, as if it had been added only now.
    pub(crate) fn raise(&mut self, id: NodeId) {
        self.nodes[id.0].priority = self.priorities;
        self.priorities += 1;
    }

    /// Says that a repartition topic can be merged with others below the same change of key; `merged` adds the node of the
    /// topic that they become if this is the first.
    pub(crate) fn mergeable(&mut self, repartition: NodeId, changer: NodeId, merged: impl FnOnce(&mut Self) -> NodeId) {
        if let Some(merger) = self.mergers.iter_mut().find(|merger| merger.changer == changer) {
            merger.repartitions.push(repartition);
            return;
        }
        let merged = merged(self);
        self.mergers.push(Merger { changer, merged, repartitions: vec![repartition] });
    }

    /// Adds an operator without stores under the given or a generated name.
    pub(crate) fn add_processor(&mut self, given: &names::Given, prefix: &str, parents: &[NodeId]) -> NodeId {
        let name = self.names.node(given, prefix);
        self.add(Kind::Processor { name, stores: Vec::new() }, parents)
    }

    /// The store of this name, if a node has it.
    pub(crate) fn store(&self, name: &str) -> Option<&StoreSpec> {
        let stores = self.nodes.iter().flat_map(|node| match &node.kind {
            Kind::TableSource { store, .. } | Kind::Global { store, .. } | Kind::Keeper { store, .. } => {
                std::slice::from_ref(store)
            }
            Kind::TableJoin(join) => join.store.as_slice(),
            Kind::Processor { stores, .. } => stores,
            Kind::Source(_)
            | Kind::Sink { .. }
            | Kind::InternalSink { .. }
            | Kind::InternalSource { .. }
            | Kind::Repartition(_)
            | Kind::TableRepartition(_) => &[],
        });
        stores.chain(&self.declared).find(|store| &*store.name == name)
    }

    /// The name of a node.
    pub(crate) fn name(&self, id: NodeId) -> Arc<str> {
        self.nodes[id.0].kind.name().clone()
    }

    /// Remembers that the topology cannot be built.
    pub(crate) fn fail(&mut self, error: BuildError) {
        self.errors.push(error);
    }

    /// Remembers a failed check.
    pub(crate) fn note(&mut self, checked: Result<(), BuildError>) {
        if let Err(error) = checked {
            self.fail(error);
        }
    }

    /// What went wrong first.
    pub(crate) fn first_error(&self) -> Option<BuildError> {
        self.errors.first().cloned()
    }

    /// The source that already reads exactly these topics into this type, if there is one. Kafka Streams merges the
    /// two; so do we, by handing out the first again.
    pub(crate) fn shared_source<P: Clone + 'static>(&self, topics: &[Arc<str>], types: TypeId) -> Option<(NodeId, P)> {
        let found = self.shared.iter().find(|source| source.topics == topics && source.types == types)?;
        Some((found.node, found.port.downcast_ref::<P>()?.clone()))
    }

    /// Checks that a call that shares a source wants it to begin where it begins.
    pub(crate) fn check_reset(&mut self, node: NodeId, wanted: Option<OffsetReset>) {
        let Kind::Source(source) = &self.nodes[node.0].kind else { return };
        if source.reset != wanted {
            let (node, first) = (source.name.to_string(), source.reset);
            let reason = format!("it is read twice, with the offset resets {first:?} and {wanted:?}; use one of them");
            self.fail(BuildError::BadSetting { node, reason });
        }
    }

    /// Lets later calls share a source.
    pub(crate) fn share_source<P: Send + 'static>(&mut self, node: NodeId, types: TypeId, port: P) {
        if let Kind::Source(source) = &self.nodes[node.0].kind {
            let topics = source.topics.clone();
            self.shared.push(SharedSource { topics, node, types, port: Box::new(port) });
        }
    }
}
