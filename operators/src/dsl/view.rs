//! How a table can be looked at from the side, known while the topology is written: what joins need of it.

use std::any::Any;
use std::sync::Arc;

use millstream_state::model::Windowed;
use millstream_state::serdes::SerdeRef;

use crate::error::BuildError;
use crate::ops::lookup::{Computed, Lookup, Sees, SessionLookup, StoreLookup, WindowLookup};
use crate::topology::chain::ChainBuilder;
use crate::topology::graph::{Graph, Keep, NodeId};

/// A way to look at a table. Cheap to clone.
pub(crate) struct View<K, V>(Arc<dyn Viewed<K, V>>);

impl<K, V> Clone for View<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Where a table's values are.
pub(crate) trait Viewed<K, V>: Any + Send + Sync {
    /// Has the values kept if they are not yet, and answers the stores that a look reads.
    fn require(&self, graph: &mut Graph) -> Vec<Arc<str>>;

    /// What looks, on behalf of the node of this name.
    fn lookup(&self, chain: &mut ChainBuilder<'_>, node: &Arc<str>, sees: Sees) -> Box<dyn Lookup<K, V>>;
}

impl<K: 'static, V: 'static> View<K, V> {
    pub(crate) fn new(viewed: impl Viewed<K, V> + 'static) -> Self {
        Self(Arc::new(viewed))
    }

    /// Of a table that cannot be looked at; asking makes the build fail.
    pub(crate) fn none(table: NodeId) -> Self {
        Self::new(Hidden(table))
    }

    /// Of a table in the key-value store of this name. A `source` that is not kept yet is then asked to be.
    pub(crate) fn stored(store: Arc<str>, serdes: (SerdeRef<K>, SerdeRef<V>), source: Option<Keep>) -> Self {
        let (key, value) = serdes;
        Self::new(Stored { store, key, value, source })
    }

    /// Of a table that is computed from this one value by value.
    pub(crate) fn computed<U, F>(&self, compute: F) -> View<K, U>
    where
        U: 'static,
        F: Fn(&K, &V, &mut dyn FnMut(Option<&U>)) + Send + Sync + Clone + 'static,
    {
        View::new(Derived { above: self.clone(), compute })
    }

    /// Has the values kept if they are not yet, and answers the stores that a look reads.
    pub(crate) fn require(&self, graph: &mut Graph) -> Vec<Arc<str>> {
        self.0.require(graph)
    }

    /// What looks, on behalf of the node of this name.
    pub(crate) fn lookup(&self, chain: &mut ChainBuilder<'_>, node: &Arc<str>, sees: Sees) -> Box<dyn Lookup<K, V>> {
        self.0.lookup(chain, node, sees)
    }

    /// The table's own store, if it is one of this kind.
    pub(crate) fn store<S: Any>(&self) -> Option<&S> {
        let viewed: &dyn Any = &*self.0;
        viewed.downcast_ref()
    }
}

/// In a key-value store.
pub(crate) struct Stored<K, V> {
    pub(crate) store: Arc<str>,
    pub(crate) key: SerdeRef<K>,
    pub(crate) value: SerdeRef<V>,
    source: Option<Keep>,
}

impl<K: 'static, V: 'static> Viewed<K, V> for Stored<K, V> {
    fn require(&self, _graph: &mut Graph) -> Vec<Arc<str>> {
        if let Some(source) = &self.source {
            source.ask();
        }
        vec![self.store.clone()]
    }

    fn lookup(&self, chain: &mut ChainBuilder<'_>, node: &Arc<str>, sees: Sees) -> Box<dyn Lookup<K, V>> {
        let store = chain.key_value(&self.store, &self.key, &self.value);
        Box::new(StoreLookup::new(node.clone(), store, sees))
    }
}

impl<K: 'static, V: 'static> View<Windowed<K>, V> {
    /// Of a table of windows in the window store of this name.
    pub(crate) fn windowed(store: Arc<str>, (key, value): (SerdeRef<K>, SerdeRef<V>)) -> Self {
        Self::new(StoredWindows { store, key, value })
    }
}

/// In a window store.
pub(crate) struct StoredWindows<K, V> {
    pub(crate) store: Arc<str>,
    pub(crate) key: SerdeRef<K>,
    pub(crate) value: SerdeRef<V>,
}

impl<K: 'static, V: 'static> Viewed<Windowed<K>, V> for StoredWindows<K, V> {
    fn require(&self, _graph: &mut Graph) -> Vec<Arc<str>> {
        vec![self.store.clone()]
    }

    fn lookup(&self, chain: &mut ChainBuilder<'_>, node: &Arc<str>, sees: Sees) -> Box<dyn Lookup<Windowed<K>, V>> {
        let store = chain.window_store(&self.store, &self.key, &self.value);
        Box::new(WindowLookup::new(node.clone(), store, sees))
    }
}

impl<K: 'static, V: 'static> View<Windowed<K>, V> {
    /// Of a table of sessions in the session store of this name.
    pub(crate) fn sessions(store: Arc<str>, (key, value): (SerdeRef<K>, SerdeRef<V>)) -> Self {
        Self::new(StoredSessions { store, key, value })
    }
}

/// In a session store.
pub(crate) struct StoredSessions<K, V> {
    pub(crate) store: Arc<str>,
    pub(crate) key: SerdeRef<K>,
    pub(crate) value: SerdeRef<V>,
}

impl<K: 'static, V: 'static> Viewed<Windowed<K>, V> for StoredSessions<K, V> {
    fn require(&self, _graph: &mut Graph) -> Vec<Arc<str>> {
        vec![self.store.clone()]
    }

    fn lookup(&self, chain: &mut ChainBuilder<'_>, node: &Arc<str>, sees: Sees) -> Box<dyn Lookup<Windowed<K>, V>> {
        let store = chain.session_store(&self.store, &self.key, &self.value);
        Box::new(SessionLookup::new(node.clone(), store, sees))
    }
}

struct Derived<K, P, F> {
    above: View<K, P>,
    compute: F,
}

impl<K, P, U, F> Viewed<K, U> for Derived<K, P, F>
where
    K: 'static,
    P: 'static,
    U: 'static,
    F: Fn(&K, &P, &mut dyn FnMut(Option<&U>)) + Send + Sync + Clone + 'static,
{
    fn require(&self, graph: &mut Graph) -> Vec<Arc<str>> {
        self.above.require(graph)
    }

    fn lookup(&self, chain: &mut ChainBuilder<'_>, node: &Arc<str>, sees: Sees) -> Box<dyn Lookup<K, U>> {
        Box::new(Computed::new(self.above.lookup(chain, node, sees), self.compute.clone()))
    }
}

struct Hidden(NodeId);

impl<K: 'static, V: 'static> Viewed<K, V> for Hidden {
    fn require(&self, graph: &mut Graph) -> Vec<Arc<str>> {
        let node = graph.name(self.0).to_string();
        let reason = "its values cannot be looked up: give it a store of its own to join with it".to_owned();
        graph.fail(BuildError::BadSetting { node, reason });
        Vec::new()
    }

    fn lookup(&self, _chain: &mut ChainBuilder<'_>, _node: &Arc<str>, _sees: Sees) -> Box<dyn Lookup<K, V>> {
        Box::new(Nothing)
    }
}

/// What looks at a hidden table, in topologies that are never built.
struct Nothing;

impl<K, V> Lookup<K, V> for Nothing {
    fn look(
        &mut self,
        _cx: &mut crate::context::Context,
        _key: &K,
        _as_of: millstream_state::model::Timestamp,
        seen: crate::ops::lookup::Seen<'_, V>,
    ) -> Result<(), crate::error::ProcessError> {
        seen(None);
        Ok(())
    }
}
