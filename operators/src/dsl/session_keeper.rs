//! How the table of an aggregation over sessions is kept: its store, and when its sessions go down.

use std::sync::Arc;

use millstream_state::serdes::SerdeRef;
use millstream_state::store::{Persistence, StoreSpec};

use super::emit_strategy::EmitStrategy;
use super::materialize::Materialized;
use super::session_windows::SessionWindows;
use super::time_windows::millis;
use crate::ops::on_close::{Ends, OnClose};
use crate::ops::session::SessionParts;
use crate::topology::chain::ChainBuilder;
use crate::topology::graph::Graph;

/// Keeps a table of sessions; the nodes of one table share it.
pub(crate) struct SessionKeeper<K, A> {
    store: Arc<str>,
    key: SerdeRef<K>,
    result: SerdeRef<A>,
    strategy: EmitStrategy,
    interval: i64,
    /// Whether Kafka Streams would keep headers in the store.
    with_headers: bool,
}

impl<K: 'static, A: 'static> SessionKeeper<K, A> {
    /// Keeps a table in a store of this name, which the caller adds to the graph.
    pub(crate) fn new(
        store: Arc<str>,
        (key, result): (SerdeRef<K>, SerdeRef<A>),
        (windows, strategy): (SessionWindows, EmitStrategy),
        materialized: &Materialized<K, A>,
        graph: &mut Graph,
    ) -> (Self, StoreSpec) {
        let spec = materialized.sessions(store.clone(), &windows, strategy, graph);
        let interval = millis(graph.settings.window_close_emit_interval);
        let with_headers = spec.headers && spec.persistence == Persistence::Durable;
        (Self { store, key, result, strategy, interval, with_headers }, spec)
    }

    /// What the node of this name has of the table in a chain.
    pub(crate) fn open(&self, chain: &mut ChainBuilder<'_>, node: &Arc<str>, send_old: bool) -> SessionParts<K, A> {
        let (id, _) = chain.store(&self.store);
        let store = chain.session_store(&self.store, &self.key, &self.result);
        // A session is found by its end: nothing is to be added to it.
        let close = (self.strategy == EmitStrategy::OnWindowClose)
            .then(|| OnClose::new(chain.time_slot(&self.store), Ends::Inclusive(0), self.interval));
        let bare = self.with_headers || !store.borrow().is_cached();
        SessionParts { id, store, time_slot: chain.time_slot(node), send_old, bare, close }
    }
}
