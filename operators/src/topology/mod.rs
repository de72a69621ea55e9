//! The topology: nodes, sub-topologies, and the chain that is built from them.

pub(crate) mod chain;
mod describe;
mod explicit;
pub(crate) mod graph;
mod java_order;
mod java_tree;
pub(crate) mod names;
mod physical;
pub(crate) mod port;
pub(crate) mod rewrite;
mod settings;
mod spec;
mod split;
mod sub_topology;

use std::sync::Arc;

pub use chain::Chain;
pub use settings::{Optimization, StoreFormat, TopologySettings};
pub use spec::{OffsetReset, RepartitionSpec, SinkSpec, SourceSpec, SubTopologySpec, TopicRef};
pub use sub_topology::SubTopology;

use self::graph::Graph;
use self::physical::PhysicalGraph;
use crate::error::BuildError;

/// A program that can run: the result of [`StreamsBuilder::build`](crate::dsl::StreamsBuilder::build). Cheap to clone.
#[derive(Clone, Debug)]
pub struct Topology {
    description: Arc<str>,
    sub_topologies: Arc<[SubTopology]>,
    global: Option<SubTopology>,
}

impl Topology {
    pub(crate) fn of(graph: &Graph) -> Result<Self, BuildError> {
        if let Some(error) = graph.first_error() {
            return Err(error);
        }
        let physical = PhysicalGraph::of(graph)?;
        if graph.settings.require_explicit_names {
            explicit::check(&physical, &graph.names)?;
        }
        let groups = split::groups(&physical);
        let description = describe::describe(&physical, &groups).into();
        let sub_topologies = split::sub_topologies(&physical, &groups).into();
        Ok(Self { description, sub_topologies, global: split::global(&physical, &groups) })
    }

    /// The nodes and their connections, in the text of Kafka Streams' `Topology.describe()`.
    pub fn describe(&self) -> &str {
        &self.description
    }

    /// The parts that run as tasks of their own, by number. The numbers of those that fill global stores are left out.
    pub fn sub_topologies(&self) -> &[SubTopology] {
        &self.sub_topologies
    }

    /// What fills the global stores, if there are any: each instance reads all partitions of its sources.
    pub fn global(&self) -> Option<&SubTopology> {
        self.global.as_ref()
    }
}
