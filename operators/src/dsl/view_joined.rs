//! How a join of two tables is looked at when its result is not kept: by joining again.

use std::sync::Arc;

use super::view::{View, Viewed};
use crate::ops::lookup::{Lookup, Sees};
use crate::ops::table_join::{Needs, TableJoinLookup};
use crate::topology::chain::ChainBuilder;
use crate::topology::graph::Graph;

struct Joined<K, V, W, F> {
    left: View<K, V>,
    right: View<K, W>,
    needs: Needs,
    join: Arc<F>,
}

impl<K: 'static, U: 'static> View<K, U> {
    /// Of a table that is joined from two; `needs` is what the left side needs.
    pub(crate) fn joined<V, W, F>(left: &View<K, V>, right: &View<K, W>, needs: Needs, join: Arc<F>) -> Self
    where
        V: Clone + 'static,
        W: 'static,
        F: Fn(Option<&V>, Option<&W>) -> Option<U> + Send + Sync + 'static,
    {
        View::new(Joined { left: left.clone(), right: right.clone(), needs, join })
    }
}

impl<K, V, W, U, F> Viewed<K, U> for Joined<K, V, W, F>
where
    K: 'static,
    V: Clone + 'static,
    W: 'static,
    U: 'static,
    F: Fn(Option<&V>, Option<&W>) -> Option<U> + Send + Sync + 'static,
{
    fn require(&self, graph: &mut Graph) -> Vec<Arc<str>> {
        let mut stores = self.left.require(graph);
        for store in self.right.require(graph) {
            if !stores.contains(&store) {
                stores.push(store);
            }
        }
        stores
    }

    fn lookup(&self, chain: &mut ChainBuilder<'_>, node: &Arc<str>, sees: Sees) -> Box<dyn Lookup<K, U>> {
        let (left, right) = (self.left.lookup(chain, node, sees), self.right.lookup(chain, node, sees));
        Box::new(TableJoinLookup::new(left, right, self.needs, self.join.clone()))
    }
}
