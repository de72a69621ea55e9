//! The one primitive of the operator chain: a node is handed a record and hands records to the nodes below.
//!
//! ```text
//!  bytes → [inlet] → Process<K, V> → Process<K, U> → … → [outlet] → bytes
//! ```
//! Records are borrowed on their way down: a filter passes the same reference on, a map owns its result on the stack.
//! Types appear at the inlet and vanish at the outlet; between them there is no `Any` and no look-up by name.

use std::cell::RefCell;
use std::rc::Rc;

use millstream_state::model::{Headers, Timestamp};
use smallvec::SmallVec;

use crate::context::Context;
use crate::error::ProcessError;

static NO_HEADERS: Headers = Headers::new();

/// A record on its way through the operators.
#[derive(Debug)]
pub struct Record<'a, K, V> {
    /// The key.
    pub key: &'a K,
    /// The value.
    pub value: &'a V,
    /// The record's time.
    pub timestamp: Timestamp,
    /// The record's headers.
    pub headers: &'a Headers,
}

impl<K, V> Clone for Record<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for Record<'_, K, V> {}

impl<'a, K, V> Record<'a, K, V> {
    /// The same record with another value.
    pub fn with_value<U>(self, value: &'a U) -> Record<'a, K, U> {
        Record { key: self.key, value, timestamp: self.timestamp, headers: self.headers }
    }

    /// The same record with another key.
    pub fn with_key<L>(self, key: &'a L) -> Record<'a, L, V> {
        Record { key, value: self.value, timestamp: self.timestamp, headers: self.headers }
    }

    /// The same record with another time.
    pub fn with_timestamp(self, timestamp: Timestamp) -> Self {
        Self { timestamp, ..self }
    }

    /// The same record with other headers.
    pub fn with_headers(self, headers: &'a Headers) -> Self {
        Self { headers, ..self }
    }

    /// A record of this time without headers.
    pub fn new(key: &'a K, value: &'a V, timestamp: Timestamp) -> Self {
        Self { key, value, timestamp, headers: &NO_HEADERS }
    }
}

/// A change of a table: the new value of a key and, where somebody below asked for it, the old one (Kafka Streams'
/// `Change`). `None` is an absent value.
#[derive(Debug)]
pub struct Update<'a, K, V> {
    /// The key.
    pub key: &'a K,
    /// The value from now on; `None` deletes the key.
    pub new: &'a Option<V>,
    /// The value until now, if a node below needs it.
    pub old: &'a Option<V>,
    /// The time of the change.
    pub timestamp: Timestamp,
    /// The headers of the record that caused it.
    pub headers: &'a Headers,
    /// Whether the table has nothing newer for the key. Only a table that keeps versions says no: then the change is to
    /// the past, and `new` is not the key's value now.
    pub latest: bool,
}

impl<K, V> Clone for Update<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for Update<'_, K, V> {}

/// A node that takes the records of a stream.
pub trait Process<K, V> {
    /// Processes one record to the end of the chain.
    ///
    /// # Errors
    /// The error names the node; nothing of the record may be committed then.
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError>;
}

/// A node that takes the changes of a table.
pub trait Apply<K, V> {
    /// Processes one change to the end of the chain.
    ///
    /// # Errors
    /// The error names the node; nothing of the change may be committed then.
    fn apply(&mut self, cx: &mut Context, update: Update<'_, K, V>) -> Result<(), ProcessError>;
}

/// A node below a stream. Shared, because a merge has two parents and a commit reaches stateful nodes from the side.
pub type Next<K, V> = Rc<RefCell<dyn Process<K, V>>>;

/// A node below a table.
pub type NextApply<K, V> = Rc<RefCell<dyn Apply<K, V>>>;

/// The nodes below a stream node, in the order in which they were added to the topology.
pub struct Children<K, V>(SmallVec<[Next<K, V>; 2]>);

impl<K, V> Children<K, V> {
    /// These nodes in this order.
    pub fn new(nodes: impl IntoIterator<Item = Next<K, V>>) -> Self {
        Self(nodes.into_iter().collect())
    }

    /// Hands the record to each node.
    ///
    /// # Errors
    /// The first error ends it.
    #[inline]
    pub fn forward(&self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        for node in &self.0 {
            node.borrow_mut().process(cx, record)?;
        }
        Ok(())
    }
}

/// The nodes below a table node, in the order in which they were added to the topology.
pub struct TableChildren<K, V>(SmallVec<[NextApply<K, V>; 2]>);

impl<K, V> TableChildren<K, V> {
    /// These nodes in this order.
    pub fn new(nodes: impl IntoIterator<Item = NextApply<K, V>>) -> Self {
        Self(nodes.into_iter().collect())
    }

    /// Hands the change to each node.
    ///
    /// # Errors
    /// The first error ends it.
    #[inline]
    pub fn forward(&self, cx: &mut Context, update: Update<'_, K, V>) -> Result<(), ProcessError> {
        for node in &self.0 {
            node.borrow_mut().apply(cx, update)?;
        }
        Ok(())
    }
}

/// A node whose store may hold back updates in the record cache.
pub trait Flush {
    /// Writes every held-back update to the store and its changelog and hands it to the nodes below (Kafka Streams:
    /// `flushCache`). Called at every commit, in the order in which the stores were registered.
    ///
    /// # Errors
    /// As [`Process::process`].
    fn flush(&mut self, cx: &mut Context) -> Result<(), ProcessError>;
}
