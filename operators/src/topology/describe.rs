//! The description of a topology, in the words and the order of Kafka Streams.

use std::collections::HashMap;
use std::fmt::Write;

use super::java_order::hash_order;
use super::java_tree::JavaTree;
use super::physical::{Destination, Physical, PhysicalGraph, Role};
use super::spec::TopicRef;
use super::split;

/// The text that Kafka Streams' `TopologyDescription.toString` gives for the same program.
pub(crate) fn describe(graph: &PhysicalGraph, groups: &[Vec<usize>]) -> String {
    let mut text = String::from("Topologies:\n ");
    for (id, group) in groups.iter().enumerate() {
        let drawn = Drawn::new(graph, group);
        let global = split::is_global(graph, group);
        let note = if global { " for global store (will not generate tasks)" } else { "" };
        let _ = writeln!(text, "  Sub-topology: {id}{note}");
        for name in drawn.in_order() {
            drawn.write(&mut text, name);
        }
        if !global {
            text.push('\n');
        }
    }
    text
}

/// The nodes of one sub-topology while their connections are drawn.
///
/// Kafka Streams keeps neighbours in sorted sets, but sorts by the size that a node has when it is put in, which grows
/// while others are connected. Hence the same walk in the same order here.
struct Drawn<'a> {
    nodes: HashMap<&'a str, &'a Physical>,
    sizes: HashMap<&'a str, usize>,
    above: HashMap<&'a str, JavaTree<&'a str>>,
    below: HashMap<&'a str, JavaTree<&'a str>>,
    walk: Vec<&'a str>,
}

impl<'a> Drawn<'a> {
    fn new(graph: &'a PhysicalGraph, group: &[usize]) -> Self {
        let members = || group.iter().map(|index| &graph.nodes[*index]);
        // A set of names is copied into a map by name: the order of the one is the order of insertion of the other.
        let walk = hash_order(hash_order(members().map(|node| &*node.name)));
        let mut drawn = Self {
            nodes: members().map(|node| (&*node.name, node)).collect(),
            sizes: members().map(|node| (&*node.name, 1)).collect(),
            above: HashMap::new(),
            below: HashMap::new(),
            walk: walk.clone(),
        };
        for name in walk {
            for parent in &drawn.nodes[name].parents {
                let parent = &*graph.nodes[*parent].name;
                insert(&drawn.sizes, drawn.above.entry(name).or_default(), parent);
                insert(&drawn.sizes, drawn.below.entry(parent).or_default(), name);
                let size = drawn.sizes[name];
                drawn.grow(parent, size);
            }
        }
        drawn
    }

    fn grow(&mut self, name: &'a str, by: usize) {
        *self.sizes.entry(name).or_insert(1) += by;
        for parent in self.above.get(name).map(JavaTree::values).unwrap_or_default() {
            self.grow(parent, by);
        }
    }

    fn in_order(&self) -> Vec<&'a str> {
        let mut sorted = JavaTree::default();
        for name in &self.walk {
            insert(&self.sizes, &mut sorted, name);
        }
        sorted.values()
    }

    fn write(&self, text: &mut String, name: &'a str) {
        let below = join(self.below.get(name), "none");
        let above = join(self.above.get(name), "none");
        let _ = match &self.nodes[name].role {
            Role::Source { topics, .. } => {
                let topics = hash_order(topics.iter().map(topic_name)).join(", ");
                writeln!(text, "    Source: {name} (topics: [{topics}])\n      --> {below}")
            }
            Role::Processor { stores } => {
                let stores = hash_order(stores.iter().map(|store| &**store)).join(", ");
                writeln!(text, "    Processor: {name} (stores: [{stores}])\n      --> {below}\n      <-- {above}")
            }
            Role::Sink { topic: Destination::Topic(topic), .. } => {
                writeln!(text, "    Sink: {name} (topic: {})\n      <-- {above}", topic_name(topic))
            }
            Role::Sink { topic: Destination::Extracted(extractor), .. } => {
                writeln!(text, "    Sink: {name} (extractor class: {extractor})\n      <-- {above}")
            }
        };
    }
}

/// Puts a node among others: larger trees first, then by name.
fn insert<'a>(sizes: &HashMap<&'a str, usize>, sorted: &mut JavaTree<&'a str>, name: &'a str) {
    sorted.insert(name, |other| sizes[other].cmp(&sizes[name]).then_with(|| name.cmp(other)));
}

fn join(names: Option<&JavaTree<&str>>, none: &str) -> String {
    names.map_or_else(|| none.to_owned(), |names| names.values().join(", "))
}

fn topic_name(topic: &TopicRef) -> &str {
    let (TopicRef::External(name) | TopicRef::Internal(name)) = topic;
    name
}
