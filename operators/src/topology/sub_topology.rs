//! One sub-topology: what the runtime needs to know of it, and the chain that computes it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use millstream_state::store::CacheBudget;

use super::chain::{Chain, ChainBuilder, InletFactory};
use super::graph::NodeId;
use super::spec::SubTopologySpec;

/// A part of a topology that needs no topic in between. It runs as one task per partition; cheap to clone.
#[derive(Clone)]
pub struct SubTopology {
    spec: Arc<SubTopologySpec>,
    inlets: Arc<[InletFactory]>,
    positions: Arc<HashMap<NodeId, usize>>,
}

impl SubTopology {
    pub(crate) fn new(
        spec: SubTopologySpec,
        inlets: Vec<InletFactory>,
        positions: Arc<HashMap<NodeId, usize>>,
    ) -> Self {
        Self { spec: Arc::new(spec), inlets: inlets.into(), positions }
    }

    /// What it reads, writes and keeps.
    pub fn spec(&self) -> &SubTopologySpec {
        &self.spec
    }

    /// Builds the operators of one task, with empty caches. The chain stays on the thread that built it; `cache` is
    /// the bound that its record caches share with others.
    pub fn chain(&self, cache: &CacheBudget) -> Chain {
        let mut builder = ChainBuilder::new(&self.spec, &self.positions, cache);
        let inlets = self.inlets.iter().map(|inlet| inlet(&mut builder)).collect();
        builder.finish(inlets)
    }
}

impl fmt::Debug for SubTopology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubTopology").field("spec", &self.spec).finish_non_exhaustive()
    }
}
