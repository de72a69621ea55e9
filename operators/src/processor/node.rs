//! A user's processor as a node of the chain.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::model::Timestamp;
use smallvec::SmallVec;

use super::context::{ProcessorContext, settle};
use super::timers::Due;
use super::{Outcome, Processor};
use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Next, Process, Record};
use crate::topology::chain::{ChainBuilder, Lively};
use crate::topology::graph::NodeId;
use crate::topology::port::Port;

type Named<K, V> = (Arc<str>, Next<K, V>);

/// The nodes below a processor, which it can tell apart by name.
pub(super) struct NamedChildren<K, V>(SmallVec<[Named<K, V>; 2]>);

impl<K, V> NamedChildren<K, V> {
    pub(super) fn forward(&self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        for (_, node) in &self.0 {
            node.borrow_mut().process(cx, record)?;
        }
        Ok(())
    }

    pub(super) fn forward_to(
        &self,
        cx: &mut Context,
        node: &Arc<str>,
        child: &str,
        record: Record<'_, K, V>,
    ) -> Result<(), ProcessError> {
        match self.0.iter().find(|(name, _)| **name == *child) {
            Some((_, node)) => node.borrow_mut().process(cx, record),
            None => {
                let known: Vec<&str> = self.names().collect();
                let (node, child, known) = (node.clone(), child.to_owned(), known.join(", "));
                Err(ProcessError::UnknownChild { node, child, known })
            }
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }
}

/// The node of [`KStream::process`](crate::dsl::KStream::process).
pub(crate) struct ProcessorNode<P, K, V, L, U>
where
    P: Processor<K, V, L, U>,
{
    name: Arc<str>,
    position: usize,
    processor: P,
    down: NamedChildren<L, U>,
    initialized: bool,
    types: std::marker::PhantomData<fn(K, V)>,
}

impl<P, K, V, L, U> ProcessorNode<P, K, V, L, U>
where
    P: Processor<K, V, L, U> + 'static,
    K: 'static,
    V: 'static,
    L: 'static,
    U: 'static,
{
    /// Builds the node with all below it, and lets the chain know of its hooks.
    pub(crate) fn build(
        chain: &mut ChainBuilder<'_>,
        (id, name): (NodeId, &Arc<str>),
        below: &Port<Next<L, U>>,
        processor: P,
    ) -> Next<K, V> {
        let down = NamedChildren(below.build_named(chain).into_iter().collect());
        let position = chain.place(id).map_or(usize::MAX, |place| place.position);
        let node =
            Self { name: name.clone(), position, processor, down, initialized: false, types: std::marker::PhantomData };
        let node = Rc::new(RefCell::new(node));
        chain.lively(id, node.clone());
        node
    }
}

impl<P, K, V, L, U> ProcessorNode<P, K, V, L, U>
where
    P: Processor<K, V, L, U>,
{
    fn call(
        &mut self,
        cx: &mut Context,
        hook: impl FnOnce(&mut P, &mut ProcessorContext<'_, L, U>) -> Outcome,
    ) -> Result<(), ProcessError> {
        let Self { name, position, processor, down, .. } = self;
        let mut hooked = ProcessorContext { cx, down, node: name, position: *position };
        match hook(processor, &mut hooked) {
            Ok(()) => Ok(()),
            Err(error) => settle(cx, name, error),
        }
    }
}

impl<P, K, V, L, U> Process<K, V> for ProcessorNode<P, K, V, L, U>
where
    P: Processor<K, V, L, U>,
{
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        self.call(cx, |processor, cx| processor.process(cx, record))
    }
}

impl<P, K, V, L, U> Lively for ProcessorNode<P, K, V, L, U>
where
    P: Processor<K, V, L, U>,
{
    fn init(&mut self, cx: &mut Context) -> Result<(), ProcessError> {
        self.initialized = true;
        self.call(cx, Processor::init)
    }

    fn punctuate(&mut self, cx: &mut Context, due: &Due, now: Timestamp) -> Result<(), ProcessError> {
        self.call(cx, |processor, cx| processor.punctuate(cx, due.timer, now))
    }
}

impl<P, K, V, L, U> Drop for ProcessorNode<P, K, V, L, U>
where
    P: Processor<K, V, L, U>,
{
    fn drop(&mut self) {
        // A second panic while one unwinds would end the process.
        if self.initialized && !std::thread::panicking() {
            self.processor.close();
        }
    }
}
