//! Finds stores and internal topics whose names are generated (KIP-1111).

use super::names::Names;
use super::physical::{Destination, Physical, PhysicalGraph, Role};
use super::spec::TopicRef;
use crate::error::BuildError;

/// Refuses a graph in which a store, and with it its changelog, or an internal topic has a generated name.
pub(super) fn check(graph: &PhysicalGraph, names: &Names) -> Result<(), BuildError> {
    let mut resources: Vec<String> = Vec::new();
    for node in &graph.nodes {
        for resource in of(node).filter(|(_, name)| names.is_generated(name)) {
            let (what, name) = resource;
            resources.push(format!("{what} {name} of node {}", node.name));
        }
    }
    if resources.is_empty() { Ok(()) } else { Err(BuildError::GeneratedNames { resources: resources.join(", ") }) }
}

/// The stores and internal topics that belong to a node.
fn of(node: &Physical) -> impl Iterator<Item = (&'static str, &str)> {
    let (stores, topic) = match &node.role {
        Role::Processor { stores } => (stores.as_slice(), None),
        Role::Sink { topic: Destination::Topic(TopicRef::Internal(topic)), .. } => (&[][..], Some(&**topic)),
        Role::Sink { .. } | Role::Source { .. } => (&[][..], None),
    };
    stores.iter().map(|store| ("store", &**store)).chain(topic.map(|topic| ("topic", topic)))
}

#[cfg(test)]
mod tests {
    use crate::dsl::{Grouped, Materialized, StreamsBuilder};
    use crate::error::BuildError;
    use crate::topology::TopologySettings;

    fn strict() -> StreamsBuilder {
        StreamsBuilder::with_settings(TopologySettings { require_explicit_names: true, ..TopologySettings::default() })
    }

    #[test]
    fn generated_names_of_stores_and_topics_are_refused_together_with_their_nodes() {
        let builder = strict();
        builder.stream::<String, String>("in").group_by(|_, v| v.clone()).count(Materialized::default());
        let Err(BuildError::GeneratedNames { resources }) = builder.build() else { panic!("not refused") };
        let node = "KSTREAM-AGGREGATE-0000000003";
        assert!(resources.contains(&format!("store KSTREAM-AGGREGATE-STATE-STORE-0000000002 of node {node}")));
        assert!(resources.contains("topic KSTREAM-AGGREGATE-STATE-STORE-0000000002-repartition"), "{resources}");
    }

    #[test]
    fn a_topology_whose_stores_and_topics_are_named_is_taken() {
        let builder = strict();
        let words = builder.stream::<String, String>("in").select_key(|_, v| v.clone());
        words.group_by_key_with(Grouped::named("words")).count(Materialized::named("counts")).to_stream().to("out");
        assert!(builder.build().is_ok());
    }
}
