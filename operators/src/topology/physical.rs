//! The nodes that run: what each node of the graph becomes, in the order in which Kafka Streams adds them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use millstream_state::store::StoreSpec;

use super::chain::InletFactory;
use super::graph::{Graph, Kind, NodeId, Repartition, SinkTopic, Source};
use super::names;
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
    Sink { topic: Destination, repartition: Option<RepartitionSpec> },
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
}

/// All nodes that run.
#[derive(Default)]
pub(crate) struct PhysicalGraph {
    pub(crate) nodes: Vec<Physical>,
    pub(crate) stores: BTreeMap<Arc<str>, StoreSpec>,
    /// For each graph node: its place in the order, and the physical node that its children hang on.
    pub(crate) placed: HashMap<NodeId, (usize, usize)>,
}

impl PhysicalGraph {
    /// Writes a graph out and checks it.
    pub(crate) fn of(graph: &Graph) -> Result<Self, BuildError> {
        let mut physical = Self::default();
        let mut users: HashMap<Arc<str>, Arc<str>> = HashMap::new();
        for (position, id) in graph.write_order().into_iter().enumerate() {
            let node = graph.node(id);
            let parents: Vec<usize> = node.parents.iter().map(|parent| physical.placed[parent].1).collect();
            let lowest = physical.write(&node.kind, parents, &mut users)?;
            physical.placed.insert(id, (position, lowest));
        }
        physical.check()?;
        Ok(physical)
    }

    fn push(&mut self, name: &Arc<str>, role: Role, parents: Vec<usize>) -> usize {
        self.nodes.push(Physical { name: name.clone(), role, parents });
        self.nodes.len() - 1
    }

    fn write(
        &mut self,
        kind: &Kind,
        parents: Vec<usize>,
        users: &mut HashMap<Arc<str>, Arc<str>>,
    ) -> Result<usize, BuildError> {
        match kind {
            Kind::Source(source) => Ok(self.write_source(source)),
            Kind::TableSource { source, table, store } => {
                let source = self.write_source(source);
                self.write_processor(table, store.as_slice(), vec![source], users)
            }
            Kind::Processor { name, stores } => self.write_processor(name, stores, parents, users),
            Kind::Sink { name, topic } => {
                let topic = match topic {
                    SinkTopic::Fixed(topic) => Destination::Topic(TopicRef::External(topic.clone())),
                    SinkTopic::Extracted(extractor) => Destination::Extracted(extractor.clone()),
                };
                Ok(self.push(name, Role::Sink { topic, repartition: None }, parents))
            }
            Kind::Repartition(repartition) => Ok(self.write_repartition(repartition, parents)),
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
            names::check(name, &store.name)?;
            if let Some(first) = users.insert(store.name.clone(), name.clone()) {
                let nodes = format!("{first} and {name}");
                return Err(BuildError::DuplicateStore { name: store.name.to_string(), nodes });
            }
            self.stores.insert(store.name.clone(), store.clone());
        }
        let stores = stores.iter().map(|store| store.name.clone()).collect();
        Ok(self.push(name, Role::Processor { stores }, parents))
    }

    fn write_repartition(&mut self, repartition: &Repartition, parents: Vec<usize>) -> usize {
        let names = &repartition.names;
        let topic = TopicRef::Internal(names.topic.clone());
        let filter = self.push(&names.filter, Role::Processor { stores: Vec::new() }, parents);
        let spec = RepartitionSpec {
            topic: topic.clone(),
            partitions: repartition.partitions,
            config: repartition.config.clone(),
        };
        let sink = Role::Sink { topic: Destination::Topic(topic.clone()), repartition: Some(spec) };
        self.push(&names.sink, sink, vec![filter]);
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
