//! One sub-topology: what the runtime needs to know of it, and the chain that computes it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use millstream_state::store::CacheBudget;

use super::chain::{Chain, ChainBuilder, InletFactory};
use super::graph::NodeId;
use super::spec::SubTopologySpec;

/// Where a node stands in its topology.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// When it was written to the topology.
    pub(crate) position: usize,
    /// What its parents know it as.
    pub(crate) name: Arc<str>,
    /// Whether a node somewhere below has a use for null keys.
    pub(crate) above_null_keys: bool,
    /// The merged repartition topic that it has moved below, if it has.
    pub(crate) under: Option<NodeId>,
    /// Whether it is a repartition topic that was merged into another: what is below it hangs on what is above it.
    pub(crate) spliced: bool,
}

/// A part of a topology that needs no topic in between. It runs as one task per partition; cheap to clone.
#[derive(Clone)]
pub struct SubTopology {
    spec: Arc<SubTopologySpec>,
    inlets: Arc<[InletFactory]>,
    places: Arc<HashMap<NodeId, Place>>,
}

impl SubTopology {
    pub(crate) fn new(spec: SubTopologySpec, inlets: Vec<InletFactory>, places: Arc<HashMap<NodeId, Place>>) -> Self {
        Self { spec: Arc::new(spec), inlets: inlets.into(), places }
    }

    /// What it reads, writes and keeps.
    pub fn spec(&self) -> &SubTopologySpec {
        &self.spec
    }

    /// Builds the operators of one task, with empty caches. The chain stays on the thread that built it; `cache` is
    /// the bound that its record caches share with others.
    pub fn chain(&self, cache: &CacheBudget) -> Chain {
        let mut builder = ChainBuilder::new(&self.spec, &self.places, cache);
        let inlets = self.inlets.iter().map(|inlet| inlet(&mut builder)).collect();
        builder.finish(inlets)
    }
}

impl fmt::Debug for SubTopology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubTopology").field("spec", &self.spec).finish_non_exhaustive()
    }
}
