//! The operators of one task, and how they are put together.
//!
//! ```text
//!  SubTopology::chain → ChainBuilder: inlets first, each building what is below it → Chain
//! ```

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::model::{RawRecord, Timestamp};
use millstream_state::store::{CacheBudget, StoreId, StoreSpec};

use super::graph::NodeId;
use super::spec::SubTopologySpec;
use crate::context::Context;
use crate::error::ProcessError;
use crate::push::Flush;

/// Where bytes enter the chain.
pub(crate) trait Inlet {
    /// The record's time, as the timestamp extractor sees it.
    fn timestamp(&mut self, record: &RawRecord<'_>, partition_time: Timestamp) -> Result<Timestamp, ProcessError>;

    /// Decodes a record and hands it down.
    fn process(&mut self, cx: &mut Context, record: &RawRecord<'_>, timestamp: Timestamp) -> Result<(), ProcessError>;
}

/// Builds an inlet with all below it.
pub(crate) type InletFactory = Arc<dyn Fn(&mut ChainBuilder<'_>) -> Box<dyn Inlet> + Send + Sync>;

type Stateful = Rc<RefCell<dyn Flush>>;

/// The operators of one task. Not `Send`: it is built where the task runs, and built again after an abort.
pub struct Chain {
    inlets: Vec<Box<dyn Inlet>>,
    stateful: Vec<Stateful>,
    slots: Vec<Arc<str>>,
}

impl Chain {
    /// The names of the entries of [`Context::operator_times`], in order.
    pub fn operator_slots(&self) -> &[Arc<str>] {
        &self.slots
    }

    /// The time of a record of the source number `source`, given the highest time seen in its partition. A negative
    /// time means that the record is to be dropped; [`Chain::process`] does that and counts it.
    ///
    /// # Errors
    /// If the time is invalid and the extractor says to fail, or a custom extractor's record cannot be decoded.
    pub fn timestamp(
        &mut self,
        source: usize,
        record: &RawRecord<'_>,
        partition_time: Timestamp,
    ) -> Result<Timestamp, ProcessError> {
        self.inlets[source].timestamp(record, partition_time)
    }

    /// Processes a record of the source number `source` to the end of the chain. The caller has set
    /// [`StateContext::record`](millstream_state::context::StateContext::record).
    ///
    /// # Errors
    /// The error names the node; nothing of the record may be committed then.
    pub fn process(
        &mut self,
        cx: &mut Context,
        source: usize,
        record: &RawRecord<'_>,
        timestamp: Timestamp,
    ) -> Result<(), ProcessError> {
        if timestamp.millis() < 0 {
            cx.dropped.timestamp += 1;
            return Ok(());
        }
        if cx.operator_times.len() < self.slots.len() {
            cx.operator_times.resize(self.slots.len(), Timestamp::UNKNOWN);
        }
        self.inlets[source].process(cx, record, timestamp)
    }

    /// Writes what the record caches hold back and hands it down, store by store in the order in which they were
    /// registered. To be called before every commit.
    ///
    /// # Errors
    /// As [`Chain::process`].
    pub fn flush(&mut self, cx: &mut Context) -> Result<(), ProcessError> {
        for node in &self.stateful {
            node.borrow_mut().flush(cx)?;
        }
        Ok(())
    }
}

/// What the factories of nodes find their numbers in while a chain is built.
pub(crate) struct ChainBuilder<'a> {
    spec: &'a SubTopologySpec,
    positions: &'a HashMap<NodeId, usize>,
    cache: &'a CacheBudget,
    merged: HashMap<NodeId, Rc<dyn Any>>,
    stateful: Vec<(StoreId, Stateful)>,
    slots: Vec<Arc<str>>,
}

impl<'a> ChainBuilder<'a> {
    pub(crate) fn new(
        spec: &'a SubTopologySpec,
        positions: &'a HashMap<NodeId, usize>,
        cache: &'a CacheBudget,
    ) -> Self {
        Self { spec, positions, cache, merged: HashMap::new(), stateful: Vec::new(), slots: Vec::new() }
    }

    /// When the node was written to the topology; `None` if it was added after the topology was built.
    pub(crate) fn position(&self, node: NodeId) -> Option<usize> {
        self.positions.get(&node).copied()
    }

    /// The bound of the record caches.
    pub(crate) fn cache(&self) -> &'a CacheBudget {
        self.cache
    }

    /// The index of a sink.
    pub(crate) fn sink(&self, node: &str) -> u32 {
        let index = self.spec.sinks.iter().position(|sink| &*sink.node == node);
        debug_assert!(index.is_some(), "{node} is no sink of sub-topology {}", self.spec.id);
        index.unwrap_or_default() as u32
    }

    /// The number and the description of a store.
    #[allow(clippy::expect_used, reason = "a node and its store are added to the graph in one call")]
    pub(crate) fn store(&self, name: &str) -> (StoreId, &'a StoreSpec) {
        let index = self.spec.stores.iter().position(|store| &*store.name == name);
        // Proof: a stateful node's factory and its StoreSpec enter the graph together, and the split puts the specs of
        // all nodes of a group into the group's spec.
        let index = index.expect("the store belongs to the sub-topology of its node");
        (StoreId(index as u32), &self.spec.stores[index])
    }

    /// A place in [`Context::operator_times`] for the node.
    pub(crate) fn time_slot(&mut self, node: &Arc<str>) -> usize {
        self.slots.push(node.clone());
        self.slots.len() - 1
    }

    /// Registers a node whose store may hold updates back.
    pub(crate) fn stateful(&mut self, store: StoreId, node: Stateful) {
        self.stateful.push((store, node));
    }

    /// The one instance of a node with several parents: built when the first of them asks.
    pub(crate) fn once<N: Clone + 'static>(&mut self, node: NodeId, make: impl FnOnce(&mut Self) -> N) -> N {
        if let Some(built) = self.merged.get(&node).and_then(|built| built.downcast_ref::<N>()) {
            return built.clone();
        }
        let built = make(self);
        self.merged.insert(node, Rc::new(built.clone()));
        built
    }

    pub(crate) fn finish(mut self, inlets: Vec<Box<dyn Inlet>>) -> Chain {
        self.stateful.sort_by_key(|(store, _)| *store);
        let stateful = self.stateful.into_iter().map(|(_, node)| node).collect();
        Chain { inlets, stateful, slots: self.slots }
    }
}
