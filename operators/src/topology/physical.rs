//! The nodes that run: what each node of the graph becomes, in the order in which Kafka Streams adds them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use millstream_state::store::{Changelog, StoreSpec};

use super::chain::InletFactory;
use super::graph::{Graph, Kind, NodeId, Repartition, SinkTopic, Source, TableJoin};
use super::names;
use super::rewrite::Rewritten;
use super::spec::{OffsetReset, RepartitionSpec, TopicRef};
use crate::error::BuildError;

/// What a node does.
#[derive(Clone)]
pub(crate) enum Role {
    /// Reads topics.
    Source { topics: Vec<TopicRef>, reset: Option<OffsetReset>, inlet: InletFactory },
    /// Computes, with the stores of these names.
    Processor { stores: Vec<Arc<str>> },
    /// Writes a topic.
    Sink { topic: Destination, repartition: Option<RepartitionSpec>, unhashed_suffix: usize },
}

/// Where a sink writes.
#[derive(Clone, Debug)]
pub(crate) enum Destination {
    /// This topic.
    Topic(TopicRef),
    /// What an extractor of this name says.
    Extracted(Arc<str>),
}

/// A node that runs.
#[derive(Clone)]
pub(crate) struct Physical {
    pub(crate) name: Arc<str>,
    pub(crate) role: Role,
    /// Indices of the nodes above.
    pub(crate) parents: Vec<usize>,
    /// Indices of the nodes at whose topics the node looks from the side.
    pub(crate) beside: Vec<usize>,
}

/// All nodes that run.
#[derive(Default)]
pub(crate) struct PhysicalGraph {
    pub(crate) nodes: Vec<Physical>,
    pub(crate) stores: BTreeMap<Arc<str>, StoreSpec>,
    /// Stores that processors were connected to by the user, who answers for what is in which partition.
    pub(crate) declared: HashSet<Arc<str>>,
    /// The sources of global stores.
    pub(crate) globals: HashSet<usize>,
    /// For each graph node: its place in the order, and the physical node that its children hang on.
    pub(crate) placed: HashMap<NodeId, (usize, usize)>,
    /// For each graph node: what its parents know it as.
    pub(crate) called: HashMap<NodeId, Arc<str>>,
    /// The graph nodes with a node somewhere below that has a use for null keys.
    pub(crate) above_null_keys: HashSet<NodeId>,
    /// As [`Rewritten::moved`] and [`Rewritten::spliced`].
    pub(crate) moved: HashMap<NodeId, NodeId>,
    pub(crate) spliced: HashSet<NodeId>,
    /// Whether tables that are read from a topic are restored from it.
    reuse: bool,
}

impl PhysicalGraph {
    /// Writes a graph out and checks it.
    pub(crate) fn of(graph: &Graph) -> Result<Self, BuildError> {
        let reuse = graph.settings.optimization.reuse_source_topics;
        let (declared, graph) = (&graph.declared, Rewritten::of(graph));
        let above_null_keys = graph.above_null_keys();
        let mut physical = Self { above_null_keys, reuse, ..Self::default() };
        let mut users: HashMap<Arc<str>, Arc<str>> = HashMap::new();
        for store in declared {
            physical.own(store, &Arc::from("add_state_store"), &mut users)?;
            physical.declared.insert(store.name.clone());
        }
        for (position, id) in graph.write_order().into_iter().enumerate() {
            let node = graph.node(id);
            let parents: Vec<usize> = node.parents.iter().map(|parent| physical.placed[parent].1).collect();
            let lowest = physical.write(&node.kind, parents, &mut users)?;
            physical.connect(lowest, &node.connected);
            physical.placed.insert(id, (position, lowest));
            physical.called.insert(id, node.kind.first_name().clone());
        }
        physical.check_connected()?;
        physical.place_beside(&graph);
        physical.check()?;
        (physical.moved, physical.spliced) = (graph.moved, graph.spliced);
        Ok(physical)
    }

    fn push(&mut self, name: &Arc<str>, role: Role, parents: Vec<usize>) -> usize {
        self.nodes.push(Physical { name: name.clone(), role, parents, beside: Vec::new() });
        self.nodes.len() - 1
    }

    fn place_beside(&mut self, graph: &Rewritten) {
        for (id, (_, node)) in &self.placed {
            let beside = graph.node(*id).beside.iter();
            let beside = beside.filter_map(|other| self.placed.get(&graph.replacement(*other)));
            self.nodes[*node].beside = beside.map(|(_, other)| *other).collect();
        }
    }

    fn write(
        &mut self,
        kind: &Kind,
        parents: Vec<usize>,
        users: &mut HashMap<Arc<str>, Arc<str>>,
    ) -> Result<usize, BuildError> {
        match kind {
            Kind::Source(source) => Ok(self.write_source(source)),
            Kind::TableSource { source, table, store, kept } => {
                let mut store = store.clone();
                if let (true, Some(topic)) = (self.reuse, source.topics.first()) {
                    store.changelog = Changelog::Source(topic.clone());
                }
                let source = self.write_source(source);
                let kept = if kept.asked() { std::slice::from_ref(&store) } else { &[] };
                self.write_processor(table, kept, vec![source], users)
            }
            Kind::Global { source, name, store } => {
                let source = self.write_source(source);
                self.globals.insert(source);
                self.write_processor(name, std::slice::from_ref(store), vec![source], users)
            }
            Kind::Processor { name, stores } => self.write_processor(name, stores, parents, users),
            Kind::Sink { name, topic, unhashed_suffix } => {
                let topic = match topic {
                    SinkTopic::Fixed(topic) => Destination::Topic(TopicRef::External(topic.clone())),
                    SinkTopic::Extracted(extractor) => Destination::Extracted(extractor.clone()),
                };
                Ok(self.push(name, Role::Sink { topic, repartition: None, unhashed_suffix: *unhashed_suffix }, parents))
            }
            Kind::Keeper { name, store, kept } => {
                let kept = if kept.asked() { std::slice::from_ref(store) } else { &[] };
                self.write_processor(name, kept, parents, users)
            }
            Kind::InternalSink { name, topic } => {
                let topic = TopicRef::Internal(topic.clone());
                let (partitions, config) = (None, BTreeMap::new());
                let repartition = Some(RepartitionSpec { topic: topic.clone(), partitions, config });
                Ok(self.push(
                    name,
                    Role::Sink { topic: Destination::Topic(topic), repartition, unhashed_suffix: 0 },
                    parents,
                ))
            }
            Kind::InternalSource { name, topic, inlet } => {
                let topics = vec![TopicRef::Internal(topic.clone())];
                Ok(self.push(name, Role::Source { topics, reset: None, inlet: inlet.clone() }, Vec::new()))
            }
            Kind::TableJoin(join) => self.write_table_join(join, &parents, users),
            Kind::Repartition(repartition) => {
                let filter = self.push(&repartition.names.filter, Role::Processor { stores: Vec::new() }, parents);
                Ok(self.write_repartition(repartition, vec![filter]))
            }
            Kind::TableRepartition(repartition) => Ok(self.write_repartition(repartition, parents)),
        }
    }

    fn write_source(&mut self, source: &Source) -> usize {
        let topics = source.topics.iter().cloned().map(TopicRef::External).collect();
        let role = Role::Source { topics, reset: source.reset, inlet: source.inlet.clone() };
        self.push(&source.name, role, Vec::new())
    }

    fn write_processor(
        &mut self,
        name: &Arc<str>,
        stores: &[StoreSpec],
        parents: Vec<usize>,
        users: &mut HashMap<Arc<str>, Arc<str>>,
    ) -> Result<usize, BuildError> {
        for store in stores {
            self.own(store, name, users)?;
        }
        let stores = stores.iter().map(|store| store.name.clone()).collect();
        Ok(self.push(name, Role::Processor { stores }, parents))
    }

    /// Takes a store up under the name of its node.
    fn own(
        &mut self,
        store: &StoreSpec,
        node: &Arc<str>,
        users: &mut HashMap<Arc<str>, Arc<str>>,
    ) -> Result<(), BuildError> {
        names::check(node, &store.name)?;
        if let Some(first) = users.insert(store.name.clone(), node.clone()) {
            let nodes = format!("{first} and {node}");
            return Err(BuildError::DuplicateStore { name: store.name.to_string(), nodes });
        }
        self.stores.insert(store.name.clone(), store.clone());
        Ok(())
    }

    /// Lets a node use stores that it does not own.
    fn connect(&mut self, node: usize, connected: &[Arc<str>]) {
        if let Role::Processor { stores } = &mut self.nodes[node].role {
            for store in connected {
                if !stores.contains(store) {
                    stores.push(store.clone());
                }
            }
        }
    }

    /// A handle of another builder's store leads nowhere.
    fn check_connected(&self) -> Result<(), BuildError> {
        for node in &self.nodes {
            let Role::Processor { stores } = &node.role else { continue };
            if let Some(missing) = stores.iter().find(|store| !self.stores.contains_key(*store)) {
                return Err(BuildError::BadReference {
                    node: node.name.to_string(),
                    missing: format!("store {missing}"),
                    reason: "was added to another builder; add it to this one".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn write_table_join(
        &mut self,
        join: &TableJoin,
        parents: &[usize],
        users: &mut HashMap<Arc<str>, Arc<str>>,
    ) -> Result<usize, BuildError> {
        let (left, right) = (parents[0], parents[parents.len() - 1]);
        let this = self.push(&join.this.name, Role::Processor { stores: join.this.reads.clone() }, vec![left]);
        let other = self.push(&join.other.name, Role::Processor { stores: join.other.reads.clone() }, vec![right]);
        self.nodes[this].beside.push(right);
        self.write_processor(&join.merge, join.store.as_slice(), vec![this, other], users)
    }

    fn write_repartition(&mut self, repartition: &Repartition, above: Vec<usize>) -> usize {
        let names = &repartition.names;
        let topic = TopicRef::Internal(names.topic.clone());
        let spec = RepartitionSpec {
            topic: topic.clone(),
            partitions: repartition.partitions,
            config: repartition.config.clone(),
        };
        let sink = Role::Sink { topic: Destination::Topic(topic.clone()), repartition: Some(spec), unhashed_suffix: 0 };
        self.push(&names.sink, sink, above);
        let source = Role::Source { topics: vec![topic], reset: None, inlet: repartition.inlet.clone() };
        self.push(&names.source, source, Vec::new())
    }

    fn check(&self) -> Result<(), BuildError> {
        let mut seen = HashSet::new();
        let mut readers: HashMap<&TopicRef, &Arc<str>> = HashMap::new();
        for node in &self.nodes {
            names::check(&node.name, &node.name)?;
            if !seen.insert(&node.name) {
                return Err(BuildError::DuplicateNode { name: node.name.to_string() });
            }
            match &node.role {
                Role::Source { topics, .. } => {
                    for topic in topics {
                        check_topic(&node.name, topic)?;
                        if let Some(first) = readers.insert(topic, &node.name) {
                            return Err(read_twice(topic, first, &node.name));
                        }
                    }
                }
                Role::Sink { topic: Destination::Topic(topic), .. } => check_topic(&node.name, topic)?,
                Role::Sink { .. } | Role::Processor { .. } => {}
            }
        }
        if readers.is_empty() { Err(BuildError::Empty) } else { Ok(()) }
    }
}

fn check_topic(node: &str, topic: &TopicRef) -> Result<(), BuildError> {
    let (TopicRef::External(name) | TopicRef::Internal(name)) = topic;
    names::check(node, name)
}

fn read_twice(topic: &TopicRef, first: &str, second: &str) -> BuildError {
    let (TopicRef::External(name) | TopicRef::Internal(name)) = topic;
    BuildError::TopicReadTwice { topic: name.to_string(), first: first.into(), second: second.into() }
}
