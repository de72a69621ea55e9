//! Where the nodes below a node are remembered, with their types, until a chain is built.

use std::sync::{Arc, Mutex, PoisonError};

use super::chain::ChainBuilder;
use super::graph::NodeId;
use super::sub_topology::Place;

/// Builds one node (`N` is [`Next`](crate::push::Next) or [`NextApply`](crate::push::NextApply)) with all below it.
pub(crate) type Factory<N> = Arc<dyn Fn(&mut ChainBuilder<'_>) -> N + Send + Sync>;

/// A node below.
struct Child<N> {
    node: NodeId,
    make: Factory<N>,
    /// What is below a repartition topic: should it be merged into another, these take its place.
    below: Option<Port<N>>,
}

impl<N> Clone for Child<N> {
    fn clone(&self) -> Self {
        Self { node: self.node, make: self.make.clone(), below: self.below.clone() }
    }
}

/// The lower side of a node: factories of the nodes that it hands its records to.
pub(crate) struct Port<N>(
    // Written only by the thread that builds the topology; afterwards chains read it on their workers' threads.
    Arc<Mutex<Vec<Child<N>>>>,
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
        self.push(Child { node, make: factory, below: None });
    }

    /// Adds a repartition topic below, with what is below that.
    pub(crate) fn add_repartition(&self, node: NodeId, factory: Factory<N>, below: Self) {
        self.push(Child { node, make: factory, below: Some(below) });
    }

    fn push(&self, child: Child<N>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(child);
    }

    /// Builds the nodes below that belong to the chain's topology, in the order in which they were written to it.
    pub(crate) fn build(&self, chain: &mut ChainBuilder<'_>) -> Vec<N> {
        self.build_named(chain).into_iter().map(|(_, node)| node).collect()
    }

    /// As [`Port::build`], each with the name that its parents know it by.
    pub(crate) fn build_named(&self, chain: &mut ChainBuilder<'_>) -> Vec<(Arc<str>, N)> {
        self.build_under(chain, None)
    }

    /// Builds the nodes that the merged repartition topic `above` has taken over from the node of this port.
    pub(crate) fn build_under(&self, chain: &mut ChainBuilder<'_>, above: Option<NodeId>) -> Vec<(Arc<str>, N)> {
        let mut ordered = Vec::new();
        self.collect(chain, above, &mut ordered);
        ordered.sort_by_key(|(place, _)| place.position);
        ordered.into_iter().map(|(place, make)| (place.name, make(chain))).collect()
    }

    fn collect(&self, chain: &ChainBuilder<'_>, above: Option<NodeId>, out: &mut Vec<(Place, Factory<N>)>) {
        let children = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for Child { node, make, below } in children {
            let Some(place) = chain.place(node).filter(|place| place.under == above) else { continue };
            match below.filter(|_| place.spliced) {
                Some(below) => below.collect(chain, None, out),
                None => out.push((place.clone(), make)),
            }
        }
    }
}
