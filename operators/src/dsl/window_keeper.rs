//! How the table of an aggregation over time windows is kept: its store, and when its windows go down.

use std::sync::Arc;

use millstream_state::model::Windowed;
use millstream_state::serdes::SerdeRef;
use millstream_state::store::{SegmentOrder, StoreSpec};

use super::emit_strategy::EmitStrategy;
use super::materialize::Materialized;
use super::sliding_windows::SlidingWindows;
use super::time_windows::{FixedWindows, millis};
use crate::ops::aggregate::Initial;
use crate::ops::on_close::{Ends, OnClose};
use crate::ops::windowed::{WindowTable, WindowTableParts};
use crate::push::TableChildren;
use crate::topology::chain::ChainBuilder;
use crate::topology::graph::Graph;

/// What the windows of a table are like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowShapes {
    pub(crate) size: i64,
    pub(crate) grace: i64,
    /// How long windows must be kept at least, and why.
    pub(crate) least_retention: (i64, &'static str),
    pub(crate) ends: Ends,
    /// Whether records look for the windows of their key.
    pub(crate) searched: bool,
    pub(crate) strategy: EmitStrategy,
}

impl WindowShapes {
    pub(crate) fn fixed(windows: &impl FixedWindows, strategy: EmitStrategy) -> Self {
        let (size, grace) = (windows.size(), windows.grace());
        Self {
            size,
            grace,
            least_retention: (size.saturating_add(grace), "window size plus grace"),
            ends: Ends::Exclusive(size),
            searched: false,
            strategy,
        }
    }

    pub(crate) fn sliding(windows: &SlidingWindows, strategy: EmitStrategy) -> Self {
        let size = windows.difference();
        Self {
            size,
            grace: windows.grace(),
            least_retention: (windows.least_retention(), "twice the time difference plus grace"),
            ends: Ends::Inclusive(size),
            searched: true,
            strategy,
        }
    }

    /// How windows are laid out in their segments.
    pub(crate) fn order(&self) -> SegmentOrder {
        match self.strategy {
            EmitStrategy::OnWindowUpdate => SegmentOrder::ByKey,
            EmitStrategy::OnWindowClose => SegmentOrder::ByTime { indexed: self.searched },
        }
    }

    /// Whether the record cache may hold updates back: as in Kafka Streams, not where windows are searched for and go
    /// down on close.
    pub(crate) fn cacheable(&self) -> bool {
        !(self.searched && self.strategy == EmitStrategy::OnWindowClose)
    }
}

/// Keeps a table of windows; the nodes of one table share it.
pub(crate) struct WindowKeeper<K, A> {
    pub(crate) store: Arc<str>,
    pub(crate) key: SerdeRef<K>,
    pub(crate) result: SerdeRef<A>,
    shapes: WindowShapes,
    interval: i64,
}

impl<K: 'static, A: 'static> WindowKeeper<K, A> {
    /// Keeps a table in a store of this name, which the caller adds to the graph.
    pub(crate) fn new(
        store: Arc<str>,
        serdes: (SerdeRef<K>, SerdeRef<A>),
        shapes: WindowShapes,
        materialized: &Materialized<K, A>,
        graph: &mut Graph,
    ) -> (Self, StoreSpec) {
        let spec = materialized.windowed(store.clone(), &shapes, graph);
        let interval = millis(graph.settings.window_close_emit_interval);
        let (key, result) = serdes;
        (Self { store, key, result, shapes, interval }, spec)
    }

    /// The table as the node of this name writes it, and where that node's stream time is kept.
    pub(crate) fn open(
        &self,
        chain: &mut ChainBuilder<'_>,
        node: &Arc<str>,
        (initial, send_old): (Option<Initial<A>>, bool),
        down: TableChildren<Windowed<K>, A>,
    ) -> (usize, WindowTable<K, A>) {
        let (id, _) = chain.store(&self.store);
        let store = chain.window_store(&self.store, &self.key, &self.result);
        if self.shapes.searched {
            store.borrow_mut().sort_cache();
        }
        let close = (self.shapes.strategy == EmitStrategy::OnWindowClose)
            .then(|| OnClose::new(chain.time_slot(&self.store), self.shapes.ends, self.interval));
        let time_slot = chain.time_slot(node);
        let parts = WindowTableParts { id, store, send_old, close };
        (time_slot, WindowTable::new(node.clone(), initial, parts, down))
    }
}
