//! `split`: hands each record to the first branch that wants it.

use std::sync::Arc;

use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Next, Process, Record};

/// Whether a branch wants a record.
pub(crate) type Wants<K, V> = Arc<dyn Fn(&K, &V) -> bool + Send + Sync>;

/// The node of [`KStream::split`](crate::dsl::KStream::split). A default branch is one that wants everything.
pub(crate) struct Branch<K, V> {
    arms: Vec<(Wants<K, V>, Next<K, V>)>,
}

impl<K, V> Branch<K, V> {
    /// Branches in the order in which they are asked.
    pub(crate) fn new(arms: Vec<(Wants<K, V>, Next<K, V>)>) -> Self {
        Self { arms }
    }
}

impl<K, V> Process<K, V> for Branch<K, V> {
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        match self.arms.iter().find(|(wants, _)| wants(record.key, record.value)) {
            Some((_, node)) => node.borrow_mut().process(cx, record),
            None => Ok(()),
        }
    }
}
