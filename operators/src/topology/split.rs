//! Splits the physical nodes into sub-topologies: what is connected by records or by stores stays together.

use std::collections::HashMap;
use std::sync::Arc;

use super::chain::InletFactory;
use super::graph::NodeId;
use super::physical::{Destination, Physical, PhysicalGraph, Role};
use super::spec::{SinkSpec, SourceSpec, SubTopologySpec, TopicRef};
use super::sub_topology::{Place, SubTopology};

/// The topics whose records reach a node. A store holds a key in one task only if all of them put it into the same
/// partition; Kafka Streams checks this for joins alone, and counts a key twice where a merge breaks it.
fn upstream(graph: &PhysicalGraph, node: &Physical) -> Vec<TopicRef> {
    let mut topics = Vec::new();
    let mut open: Vec<usize> = node.parents.iter().chain(&node.beside).copied().collect();
    while let Some(index) = open.pop() {
        let parent = &graph.nodes[index];
        if let Role::Source { topics: read, .. } = &parent.role {
            topics.extend(read.iter().cloned());
        }
        open.extend(&parent.parents);
    }
    topics.sort();
    topics.dedup();
    topics
}

/// The nodes of each sub-topology; sub-topologies are numbered by their first node, upstream before downstream.
pub(crate) fn groups(graph: &PhysicalGraph) -> Vec<Vec<usize>> {
    let mut roots: Vec<usize> = (0..graph.nodes.len()).collect();
    let mut users: HashMap<&Arc<str>, usize> = HashMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        for parent in &node.parents {
            unite(&mut roots, index, *parent);
        }
        if let Role::Processor { stores } = &node.role {
            for store in stores {
                let first = *users.entry(store).or_insert(index);
                unite(&mut roots, index, first);
            }
        }
    }
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut numbers: HashMap<usize, usize> = HashMap::new();
    for index in 0..graph.nodes.len() {
        let root = find(&mut roots, index);
        let number = *numbers.entry(root).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[number].push(index);
    }
    groups
}

fn find(roots: &mut [usize], mut index: usize) -> usize {
    while roots[index] != index {
        roots[index] = roots[roots[index]];
        index = roots[index];
    }
    index
}

fn unite(roots: &mut [usize], one: usize, other: usize) {
    let (one, other) = (find(roots, one), find(roots, other));
    roots[one] = other;
}

fn places(graph: &PhysicalGraph) -> Arc<HashMap<NodeId, Place>> {
    let place = |id: &NodeId, position: usize, name: Arc<str>| Place {
        position,
        name,
        above_null_keys: graph.above_null_keys.contains(id),
        under: graph.moved.get(id).copied(),
        spliced: graph.spliced.contains(id),
    };
    let written = graph.placed.iter().map(|(id, (position, _))| (*id, place(id, *position, graph.called[id].clone())));
    let spliced = graph.spliced.iter().map(|id| (*id, place(id, 0, "".into())));
    Arc::new(written.chain(spliced).collect())
}

/// The sub-topologies of a graph.
pub(crate) fn sub_topologies(graph: &PhysicalGraph, groups: &[Vec<usize>]) -> Vec<SubTopology> {
    let places = places(graph);
    (0u32..)
        .zip(groups)
        .filter(|(_, group)| !is_global(graph, group))
        .map(|(id, group)| {
            let (spec, inlets) = describe_group(graph, id, group);
            SubTopology::new(spec, inlets, places.clone())
        })
        .collect()
}

/// Whether these nodes fill a global store; there are no tasks for them.
pub(crate) fn is_global(graph: &PhysicalGraph, group: &[usize]) -> bool {
    group.iter().any(|node| graph.globals.contains(node))
}

/// All that fills global stores, as one part; `None` if there is nothing.
pub(crate) fn global(graph: &PhysicalGraph, groups: &[Vec<usize>]) -> Option<SubTopology> {
    let nodes: Vec<usize> = groups.iter().filter(|group| is_global(graph, group)).flatten().copied().collect();
    let (spec, inlets) = describe_group(graph, u32::MAX, &nodes);
    (!nodes.is_empty()).then(|| SubTopology::new(spec, inlets, places(graph)))
}

fn describe_group(graph: &PhysicalGraph, id: u32, group: &[usize]) -> (SubTopologySpec, Vec<InletFactory>) {
    let mut spec = SubTopologySpec { id, ..SubTopologySpec::default() };
    let mut inlets = Vec::new();
    for node in group.iter().map(|index| &graph.nodes[*index]) {
        match &node.role {
            Role::Source { topics, reset, inlet } => {
                let (node, topics) = (node.name.clone(), topics.clone());
                spec.sources.push(SourceSpec { node, topics, offset_reset: *reset });
                inlets.push(inlet.clone());
            }
            Role::Processor { stores } => {
                for store in stores.iter().filter_map(|name| graph.stores.get(name)) {
                    if !spec.stores.contains(store) {
                        spec.stores.push(store.clone());
                    }
                }
                let read_together = upstream(graph, node);
                let by_key = stores.iter().any(|store| !graph.declared.contains(store)) || !node.beside.is_empty();
                if by_key && read_together.len() > 1 && !spec.copartitioned.contains(&read_together) {
                    spec.copartitioned.push(read_together);
                }
            }
            Role::Sink { topic, repartition, unhashed_suffix } => {
                let topic = match topic {
                    Destination::Topic(topic) => Some(topic.clone()),
                    Destination::Extracted(_) => None,
                };
                spec.sinks.push(SinkSpec { node: node.name.clone(), topic, unhashed_suffix: *unhashed_suffix });
                spec.repartitions.extend(repartition.clone());
            }
        }
    }
    (spec, inlets)
}
