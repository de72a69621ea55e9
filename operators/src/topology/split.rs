//! Splits the physical nodes into sub-topologies: what is connected by records or by stores stays together.

use std::collections::HashMap;
use std::sync::Arc;

use super::chain::InletFactory;
use super::graph::NodeId;
use super::physical::{Destination, Physical, PhysicalGraph, Role};
use super::spec::{SinkSpec, SourceSpec, SubTopologySpec, TopicRef};
use super::sub_topology::SubTopology;

/// The topics whose records reach a node. A store holds a key in one task only if all of them put it into the same
/// partition; Kafka Streams checks this for joins alone, and counts a key twice where a merge breaks it.
fn upstream(graph: &PhysicalGraph, node: &Physical) -> Vec<TopicRef> {
    let mut topics = Vec::new();
    let mut open = node.parents.clone();
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

/// The sub-topologies of a graph.
pub(crate) fn sub_topologies(graph: &PhysicalGraph, groups: &[Vec<usize>]) -> Vec<SubTopology> {
    let positions: Arc<HashMap<NodeId, usize>> =
        Arc::new(graph.placed.iter().map(|(id, (position, _))| (*id, *position)).collect());
    (0u32..)
        .zip(groups)
        .map(|(id, group)| {
            let (spec, inlets) = describe_group(graph, id, group);
            SubTopology::new(spec, inlets, positions.clone())
        })
        .collect()
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
                if !stores.is_empty() && read_together.len() > 1 && !spec.copartitioned.contains(&read_together) {
                    spec.copartitioned.push(read_together);
                }
            }
            Role::Sink { topic, repartition } => {
                let topic = match topic {
                    Destination::Topic(topic) => Some(topic.clone()),
                    Destination::Extracted(_) => None,
                };
                spec.sinks.push(SinkSpec { node: node.name.clone(), topic });
                spec.repartitions.extend(repartition.clone());
            }
        }
    }
    (spec, inlets)
}
