//! Where the nodes below a node are remembered, with their types, until a chain is built.

use std::sync::{Arc, Mutex, PoisonError};

use super::chain::ChainBuilder;
use super::graph::NodeId;

/// Builds one node (`N` is [`Next`](crate::push::Next) or [`NextApply`](crate::push::NextApply)) with all below it.
pub(crate) type Factory<N> = Arc<dyn Fn(&mut ChainBuilder<'_>) -> N + Send + Sync>;

type Children<N> = Vec<(NodeId, Factory<N>)>;

/// The lower side of a node: factories of the nodes that it hands its records to.
pub(crate) struct Port<N>(
    // Written only by the thread that builds the topology; afterwards chains read it on their workers' threads.
    Arc<Mutex<Children<N>>>,
);

impl<N> Clone for Port<N> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<N> Default for Port<N> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<N> Port<N> {
    /// Adds a node below.
    pub(crate) fn add(&self, node: NodeId, factory: Factory<N>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((node, factory));
    }

    /// Builds the nodes below that belong to the chain's topology, in the order in which they were written to it.
    pub(crate) fn build(&self, chain: &mut ChainBuilder<'_>) -> Vec<N> {
        let factories = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut ordered: Vec<_> =
            factories.into_iter().filter_map(|(node, make)| Some((chain.position(node)?, make))).collect();
        ordered.sort_by_key(|(position, _)| *position);
        ordered.into_iter().map(|(_, make)| make(chain)).collect()
    }
}
