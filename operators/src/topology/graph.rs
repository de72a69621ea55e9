//! The graph that the DSL writes: one node per call, before anything is split or numbered into tasks.
//!
//! ```text
//!  DSL calls → Graph (this) → physical nodes → sub-topologies
//! ```
//! Rewriting the graph (merging repartition topics, reusing a source topic as changelog) has its place between the
//! first arrow and the second.

use std::any::{Any, TypeId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_state::store::StoreSpec;

use super::chain::InletFactory;
use super::names::{self, Names, RepartitionNames};
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
    /// Reads a topic into a table: a source and the node that keeps the table.
    TableSource { source: Source, table: Arc<str>, store: Option<StoreSpec> },
    /// Any operator.
    Processor { name: Arc<str>, stores: Vec<StoreSpec> },
    /// Writes a topic.
    Sink { name: Arc<str>, topic: SinkTopic },
    /// Drops null keys, writes a repartition topic and reads it again.
    Repartition(Repartition),
}

impl Kind {
    /// The node that others find the data of this one at.
    pub(crate) fn name(&self) -> &Arc<str> {
        match self {
            Self::Source(source) => &source.name,
            Self::TableSource { table, .. } => table,
            Self::Processor { name, .. } | Self::Sink { name, .. } => name,
            Self::Repartition(repartition) => &repartition.names.source,
        }
    }
}

/// A node with its place in the graph.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) parents: Vec<NodeId>,
    /// Kafka Streams writes a node once its parents are written, lowest priority number first.
    priority: usize,
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
    pub(crate) names: Names,
    nodes: Vec<Node>,
    shared: Vec<SharedSource>,
    errors: Vec<BuildError>,
    priorities: usize,
}

impl Graph {
    /// Adds a node below its parents.
    pub(crate) fn add(&mut self, kind: Kind, parents: &[NodeId]) -> NodeId {
        let id = NodeId(self.nodes.len());
        self.nodes.push(Node { kind, parents: parents.to_vec(), priority: 0 });
        self.raise(id);
        id
    }

    /// Gives a node the next priority, as if it had been added only now.
    pub(crate) fn raise(&mut self, id: NodeId) {
        self.nodes[id.0].priority = self.priorities;
        self.priorities += 1;
    }

    /// Adds an operator without stores under the given or a generated name.
    pub(crate) fn add_processor(&mut self, given: &names::Given, prefix: &str, parents: &[NodeId]) -> NodeId {
        let name = self.names.node(given, prefix);
        self.add(Kind::Processor { name, stores: Vec::new() }, parents)
    }

    /// The node of this number.
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
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

    /// The nodes in the order in which Kafka Streams writes them to its topology.
    pub(crate) fn write_order(&self) -> Vec<NodeId> {
        let mut children: Vec<Vec<NodeId>> = vec![Vec::new(); self.nodes.len()];
        let mut waiting: Vec<usize> = vec![0; self.nodes.len()];
        let mut ready = BinaryHeap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            waiting[index] = node.parents.len();
            if node.parents.is_empty() {
                ready.push(Reverse((node.priority, NodeId(index))));
            }
            for parent in &node.parents {
                children[parent.0].push(NodeId(index));
            }
        }
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(Reverse((_, id))) = ready.pop() {
            order.push(id);
            for child in &children[id.0] {
                waiting[child.0] -= 1;
                if waiting[child.0] == 0 {
                    ready.push(Reverse((self.nodes[child.0].priority, *child)));
                }
            }
        }
        order
    }
}
