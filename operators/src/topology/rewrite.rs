//! What optimisation makes of a graph (Kafka Streams' `merge.repartition.topics`, then `single.store.self.join`).
//!
//! ```text
//!  select_key ─→ filter ─→ [repartition 1] ─→ count           select_key ─→ [merged] ─→ filter ─→ count
//!            └─→ [repartition 2] ─→ reduce              ⇒                           └─→ reduce
//! ```
//! The repartition topics below one change of key, with nothing but filters in between, become one that bears the name of
//! the first. It stands right below the change; what was on the way moves below it. Nodes keep their factories: a chain is
//! told which nodes have moved ([`Rewritten::moved`]) and which topics are passed over ([`Rewritten::spliced`]).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::graph::{Graph, Node, NodeId};

/// A place for the repartition topic that those below one change of key become, should they be merged.
pub(crate) struct Merger {
    /// The node that changes the key, or merges streams of which one has changed it.
    pub(crate) changer: NodeId,
    /// The node of the merged topic.
    pub(crate) merged: NodeId,
    /// The repartition topics to be merged, in the order in which they were added.
    pub(crate) repartitions: Vec<NodeId>,
}

/// A join of two streams and what it becomes should both be one.
pub(crate) struct SelfJoin {
    /// The nodes that keep the records of either side.
    pub(crate) keep: [NodeId; 2],
    /// The nodes of two stores: a side each, and the one below both.
    pub(crate) sides: [NodeId; 2],
    pub(crate) merge: NodeId,
    /// The node of one store.
    pub(crate) single: NodeId,
}

/// The nodes of a graph after optimisation.
pub(crate) struct Rewritten {
    nodes: Vec<Node>,
    /// Nodes that have moved below a merged repartition topic, and that topic.
    pub(crate) moved: HashMap<NodeId, NodeId>,
    /// Repartition topics that are merged into another.
    pub(crate) spliced: HashSet<NodeId>,
    /// What became of the merged repartition topics, and of joins of a stream with itself.
    replaced: HashMap<NodeId, NodeId>,
    /// Nodes that are not part of the topology.
    gone: HashSet<NodeId>,
}

impl Rewritten {
    /// Rewrites a graph as its settings say.
    pub(crate) fn of(graph: &Graph) -> Self {
        let gone = graph.mergers.iter().map(|merger| merger.merged).collect();
        let (moved, spliced, replaced) = (HashMap::new(), HashSet::new(), HashMap::new());
        let mut this = Self { nodes: graph.nodes.clone(), moved, spliced, replaced, gone };
        if graph.settings.optimization.merge_repartition_topics {
            for merger in &graph.mergers {
                this.merge(merger);
            }
        }
        for join in &graph.self_joins {
            this.join_itself(join);
        }
        this
    }

    fn merge(&mut self, Merger { changer, merged, repartitions }: &Merger) {
        self.gone.remove(merged);
        self.nodes[merged.0].priority = self.nodes[changer.0].priority;
        for &repartition in repartitions {
            if let Some(first) = self.below(*changer, repartition) {
                self.replace_parent(first, *changer, &[*merged]);
                self.moved.insert(first, *merged);
            }
        }
        for &repartition in repartitions {
            let above = self.nodes[repartition.0].parents.clone();
            for index in 0..self.nodes.len() {
                self.replace_parent(NodeId(index), repartition, &above);
            }
            self.spliced.insert(repartition);
            self.replaced.insert(repartition, *merged);
            self.gone.insert(repartition);
        }
    }

    /// A stream joined with itself keeps one store: of both sides' records, or of the merged topic's.
    fn join_itself(&mut self, SelfJoin { keep: [this, other], sides, merge, single }: &SelfJoin) {
        if self.nodes[this.0].parents != self.nodes[other.0].parents {
            self.gone.insert(*single);
            return;
        }
        self.gone.extend(sides.iter().chain([other, merge]).copied());
        self.replaced.insert(*merge, *single);
        for index in 0..self.nodes.len() {
            self.replace_parent(NodeId(index), *merge, &[*single]);
        }
    }

    /// The node directly below `top` on the way up from `from`, which may be `from` itself.
    fn below(&self, top: NodeId, from: NodeId) -> Option<NodeId> {
        let parents = &self.nodes[from.0].parents;
        if parents.contains(&top) {
            return Some(from);
        }
        parents.iter().find_map(|parent| self.below(top, *parent))
    }

    fn replace_parent(&mut self, node: NodeId, old: NodeId, new: &[NodeId]) {
        let parents = &mut self.nodes[node.0].parents;
        if let Some(at) = parents.iter().position(|parent| *parent == old) {
            parents.splice(at..=at, new.iter().copied());
        }
    }

    /// The node that stands for this one: itself, or the topic that it was merged into.
    pub(crate) fn replacement(&self, id: NodeId) -> NodeId {
        self.replaced.get(&id).copied().unwrap_or(id)
    }

    /// The node of this number.
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The nodes with a node somewhere below that has a use for null keys.
    pub(crate) fn above_null_keys(&self) -> HashSet<NodeId> {
        let mut above = HashSet::new();
        let takers = self.nodes.iter().filter(|node| node.takes_null_keys);
        let mut open: Vec<NodeId> = takers.flat_map(|node| node.parents.iter().copied()).collect();
        while let Some(id) = open.pop() {
            if above.insert(id) {
                open.extend(&self.nodes[id.0].parents);
            }
        }
        above
    }

    /// The nodes in the order in which Kafka Streams writes them to its topology.
    pub(crate) fn write_order(&self) -> Vec<NodeId> {
        let mut children: Vec<Vec<NodeId>> = vec![Vec::new(); self.nodes.len()];
        let mut waiting: Vec<usize> = vec![0; self.nodes.len()];
        let mut ready = BinaryHeap::new();
        for (index, node) in self.nodes.iter().enumerate().filter(|(index, _)| !self.gone.contains(&NodeId(*index))) {
            waiting[index] = node.parents.len();
            if node.parents.is_empty() {
                ready.push(Reverse((node.priority, NodeId(index))));
            }
            for parent in &node.parents {
                children[parent.0].push(NodeId(index));
            }
        }
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(Reverse((_, id))) = ready.pop() {
            order.push(id);
            for child in &children[id.0] {
                waiting[child.0] -= 1;
                if waiting[child.0] == 0 {
                    ready.push(Reverse((self.nodes[child.0].priority, *child)));
                }
            }
        }
        order
    }
}
