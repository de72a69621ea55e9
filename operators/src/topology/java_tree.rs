//! Java's `TreeSet` while the order of what is in it changes behind its back. Kafka Streams' description of a topology
//! sorts nodes by sizes that grow after they were put in; where the next one lands then depends on the tree's shape, so the
//! tree is built in the same way: red and black, balanced after each insertion.

use std::cmp::Ordering;

const LEFT: usize = 0;
const RIGHT: usize = 1;

struct Node<T> {
    value: T,
    red: bool,
    parent: Option<usize>,
    children: [Option<usize>; 2],
}

/// Values in the order of a tree that sorted each of them when it was put in.
pub(crate) struct JavaTree<T> {
    nodes: Vec<Node<T>>,
    root: Option<usize>,
}

impl<T> Default for JavaTree<T> {
    fn default() -> Self {
        Self { nodes: Vec::new(), root: None }
    }
}

impl<T: Copy> JavaTree<T> {
    /// Puts a value in, unless one is met on its way that is equal; `order` compares it with another.
    pub(crate) fn insert(&mut self, value: T, order: impl Fn(T) -> Ordering) {
        let (mut parent, mut side, mut at) = (None, LEFT, self.root);
        while let Some(node) = at {
            side = match order(self.nodes[node].value) {
                Ordering::Less => LEFT,
                Ordering::Greater => RIGHT,
                Ordering::Equal => return,
            };
            parent = at;
            at = self.nodes[node].children[side];
        }
        let new = self.nodes.len();
        self.nodes.push(Node { value, red: true, parent, children: [None, None] });
        match parent {
            Some(parent) => self.nodes[parent].children[side] = Some(new),
            None => self.root = Some(new),
        }
        self.balance(new);
    }

    /// The values from left to right.
    pub(crate) fn values(&self) -> Vec<T> {
        let (mut values, mut above, mut at) = (Vec::with_capacity(self.nodes.len()), Vec::new(), self.root);
        loop {
            while let Some(node) = at {
                above.push(node);
                at = self.nodes[node].children[LEFT];
            }
            let Some(node) = above.pop() else { return values };
            values.push(self.nodes[node].value);
            at = self.nodes[node].children[RIGHT];
        }
    }

    fn is_red(&self, node: Option<usize>) -> bool {
        node.is_some_and(|node| self.nodes[node].red)
    }

    /// After an insertion: no red node has a red parent.
    fn balance(&mut self, new: usize) {
        let mut at = new;
        while let Some(parent) = self.nodes[at].parent.filter(|parent| self.nodes[*parent].red)
            && let Some(grandparent) = self.nodes[parent].parent
        {
            let side = self.side(parent, grandparent);
            let uncle = self.nodes[grandparent].children[1 - side];
            if self.is_red(uncle) {
                for node in uncle.into_iter().chain([parent]) {
                    self.nodes[node].red = false;
                }
                self.nodes[grandparent].red = true;
                at = grandparent;
                continue;
            }
            let mut middle = parent;
            if self.side(at, parent) != side {
                self.rotate(parent, side);
                (middle, at) = (at, parent);
            }
            self.nodes[middle].red = false;
            self.nodes[grandparent].red = true;
            self.rotate(grandparent, 1 - side);
        }
        if let Some(root) = self.root {
            self.nodes[root].red = false;
        }
    }

    fn side(&self, node: usize, parent: usize) -> usize {
        if self.nodes[parent].children[LEFT] == Some(node) { LEFT } else { RIGHT }
    }

    /// Moves a node down to `side`; its child on the other side takes its place.
    fn rotate(&mut self, node: usize, side: usize) {
        let Some(child) = self.nodes[node].children[1 - side] else { return };
        let between = self.nodes[child].children[side];
        self.nodes[node].children[1 - side] = between;
        if let Some(between) = between {
            self.nodes[between].parent = Some(node);
        }
        let parent = self.nodes[node].parent;
        match parent {
            Some(parent) => {
                let place = self.side(node, parent);
                self.nodes[parent].children[place] = Some(child);
            }
            None => self.root = Some(child),
        }
        self.nodes[child].parent = parent;
        self.nodes[child].children[side] = Some(node);
        self.nodes[node].parent = Some(child);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_keep_their_order_are_sorted_and_unique() {
        for count in 0..40 {
            let mut tree = JavaTree::default();
            for value in (0..count).map(|n| n * 7 % 20) {
                tree.insert(value, |other| value.cmp(&other));
            }
            let values = tree.values();
            assert!(values.is_sorted_by(|one, next| one < next), "{values:?}");
            assert_eq!(values.len(), count.min(20));
        }
    }

    /// The tree of 1 to 7 is 2 (1) (4 (3) (6 (5) (7))): on each way from the root there are as many black nodes.
    #[test]
    fn insertion_in_order_gives_the_shape_of_javas_tree() {
        let mut tree = JavaTree::default();
        for value in 1..=7 {
            tree.insert(value, |other| value.cmp(&other));
        }
        let shape: Vec<_> =
            tree.nodes.iter().map(|node| (node.value, node.children.map(|at| at.map(|at| at + 1)))).collect();
        let wanted = [
            (1, [None, None]),
            (2, [Some(1), Some(4)]),
            (3, [None, None]),
            (4, [Some(3), Some(6)]),
            (5, [None, None]),
            (6, [Some(5), Some(7)]),
            (7, [None, None]),
        ];
        assert_eq!(shape, wanted);
    }

    #[test]
    fn a_value_lands_where_the_way_down_leads_though_the_order_has_changed() {
        let mut tree = JavaTree::default();
        for value in [2, 1, 3] {
            tree.insert(value, |other: i32| value.cmp(&other));
        }
        // 2 counts as 9 by now: seen from the root, 8 belongs to its left, and there to the right of 1.
        tree.insert(8, |other| 8.cmp(&if other == 2 { 9 } else { other }));
        assert_eq!(tree.values(), [1, 8, 2, 3]);
    }
}
