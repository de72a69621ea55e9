//! The operators of one task, and how they are put together.
//!
//! ```text
//!  SubTopology::chain → ChainBuilder: inlets first, each building what is below it → Chain
//! ```

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::model::{RawRecord, RecordContext, Timestamp};
use millstream_state::serdes::SerdeRef;
use millstream_state::store::{CacheBudget, KeyValue, SessionStore, StoreId, StoreSpec, WindowStore};

use super::graph::NodeId;
use super::spec::SubTopologySpec;
use super::sub_topology::Place;
use crate::context::Context;
use crate::error::ProcessError;
use crate::processor::timers::{Due, Punctuation};
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

/// A node with hooks of its own besides records: a user's processor.
pub(crate) trait Lively {
    /// Called once before the first record.
    fn init(&mut self, cx: &mut Context) -> Result<(), ProcessError>;

    /// Called when a timer is due.
    fn punctuate(&mut self, cx: &mut Context, due: &Due, now: Timestamp) -> Result<(), ProcessError>;
}

/// A lively node by its position in the topology.
type Hooks = BTreeMap<usize, Rc<RefCell<dyn Lively>>>;

/// The operators of one task. Not `Send`: it is built where the task runs, and built again after an abort.
pub struct Chain {
    inlets: Vec<Box<dyn Inlet>>,
    stateful: Vec<Stateful>,
    slots: Vec<Arc<str>>,
    hooks: Hooks,
    initialized: bool,
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
        self.make_slots(cx);
        self.inlets[source].process(cx, record, timestamp)
    }

    /// Calls the `init` hooks of the processors, once. To be called before the first record and whenever timers are
    /// looked at.
    ///
    /// # Errors
    /// If a processor fails.
    pub fn init(&mut self, cx: &mut Context) -> Result<(), ProcessError> {
        if std::mem::replace(&mut self.initialized, true) {
            return Ok(());
        }
        cx.timers.clear();
        cx.commit_requested = false;
        self.make_slots(cx);
        for node in self.hooks.values() {
            node.borrow_mut().init(cx)?;
        }
        Ok(())
    }

    /// Whether [`Chain::init`] has been called.
    pub fn is_initialized(&self) -> bool {
        self.initialized
    }

    /// Runs the timers of one kind that are due, each at most once; answers whether there was one.
    ///
    /// # Errors
    /// As [`Chain::process`].
    pub fn punctuate(&mut self, cx: &mut Context, kind: Punctuation) -> Result<bool, ProcessError> {
        let now = match kind {
            Punctuation::StreamTime => cx.stream_time,
            Punctuation::WallClock => cx.wall_clock,
        };
        let mut fired = false;
        while let Some(due) = cx.timers.take_due(kind, now) {
            // No record is being processed; stores take the time of the call for that of a record.
            cx.state.record = RecordContext { timestamp: now, ..RecordContext::default() };
            if let Some(node) = self.hooks.get(&due.node) {
                node.borrow_mut().punctuate(cx, &due, now)?;
            }
            cx.timers.again(due, now);
            fired = true;
        }
        Ok(fired)
    }

    fn make_slots(&self, cx: &mut Context) {
        if cx.operator_times.len() < self.slots.len() {
            cx.operator_times.resize(self.slots.len(), Timestamp::UNKNOWN);
        }
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
    places: &'a HashMap<NodeId, Place>,
    cache: &'a CacheBudget,
    merged: HashMap<NodeId, Rc<dyn Any>>,
    opened: HashMap<StoreId, Rc<dyn Any>>,
    stateful: Vec<(StoreId, Stateful)>,
    slots: Vec<Arc<str>>,
    hooks: Hooks,
}

impl<'a> ChainBuilder<'a> {
    pub(crate) fn new(spec: &'a SubTopologySpec, places: &'a HashMap<NodeId, Place>, cache: &'a CacheBudget) -> Self {
        Self {
            spec,
            places,
            cache,
            merged: HashMap::new(),
            opened: HashMap::new(),
            stateful: Vec::new(),
            slots: Vec::new(),
            hooks: Hooks::new(),
        }
    }

    /// Where the node stands in the topology; `None` if it was added after the topology was built.
    pub(crate) fn place(&self, node: NodeId) -> Option<&'a Place> {
        self.places.get(&node)
    }

    /// Registers a node with hooks; answers the number that its timers go by.
    pub(crate) fn lively(&mut self, node: NodeId, hooks: Rc<RefCell<dyn Lively>>) {
        if let Some(place) = self.place(node) {
            self.hooks.insert(place.position, hooks);
        }
    }

    /// The one typed object over a store that several nodes use: made, and then handed to `made`, when the first of them
    /// asks.
    pub(crate) fn shared_store<S: 'static>(
        &mut self,
        name: &str,
        make: impl FnOnce(&mut Self, StoreId, &'a StoreSpec) -> S,
        made: impl FnOnce(&mut Self, StoreId, &Rc<S>),
    ) -> Rc<S> {
        let (id, spec) = self.store(name);
        if let Some(known) = self.opened.get(&id).cloned().and_then(|known| known.downcast::<S>().ok()) {
            return known;
        }
        let opened = Rc::new(make(self, id, spec));
        made(self, id, &opened);
        self.opened.insert(id, opened.clone());
        opened
    }

    /// The bound of the record caches.
    pub(crate) fn cache(&self) -> &'a CacheBudget {
        self.cache
    }

    /// Whether a node somewhere below this one has a use for null keys.
    pub(crate) fn above_null_keys(&self, node: NodeId) -> bool {
        self.places.get(&node).is_some_and(|place| place.above_null_keys)
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

    /// Whether the chain's topology has a store of this name.
    pub(crate) fn has_store(&self, name: &str) -> bool {
        self.spec.stores.iter().any(|store| &*store.name == name)
    }

    /// The key-value store of this name, one instance for all nodes of the chain: what the record cache holds back is
    /// then seen by all of them.
    pub(crate) fn key_value<K: 'static, V: 'static>(
        &mut self,
        name: &str,
        key: &SerdeRef<K>,
        value: &SerdeRef<V>,
    ) -> Rc<RefCell<KeyValue<K, V>>> {
        let make = |chain: &mut Self, id, spec| {
            RefCell::new(KeyValue::new(id, spec, key.clone(), value.clone(), chain.cache()))
        };
        self.shared_store(name, make, |_, _, _| ())
    }

    /// The window store of this name, as [`ChainBuilder::key_value`].
    pub(crate) fn window_store<K: 'static, V: 'static>(
        &mut self,
        name: &str,
        key: &SerdeRef<K>,
        value: &SerdeRef<V>,
    ) -> Rc<RefCell<WindowStore<K, V>>> {
        let make = |chain: &mut Self, id, spec| {
            RefCell::new(WindowStore::new(id, spec, key.clone(), value.clone(), chain.cache()))
        };
        self.shared_store(name, make, |_, _, _| ())
    }

    /// The session store of this name, as [`ChainBuilder::key_value`].
    pub(crate) fn session_store<K: 'static, V: 'static>(
        &mut self,
        name: &str,
        key: &SerdeRef<K>,
        value: &SerdeRef<V>,
    ) -> Rc<RefCell<SessionStore<K, V>>> {
        let make = |chain: &mut Self, id, spec| {
            RefCell::new(SessionStore::new(id, spec, key.clone(), value.clone(), chain.cache()))
        };
        self.shared_store(name, make, |_, _, _| ())
    }

    /// A place in [`Context::operator_times`] for the node. Names tell the times of a commit apart, so that a name that
    /// is taken already is made another.
    pub(crate) fn time_slot(&mut self, node: &Arc<str>) -> usize {
        let mut name = node.clone();
        while self.slots.contains(&name) {
            name = format!("{name}-time").into();
        }
        self.slots.push(name);
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
        Chain { inlets, stateful, slots: self.slots, hooks: self.hooks, initialized: false }
    }
}
