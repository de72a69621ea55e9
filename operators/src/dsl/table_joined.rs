//! The settings of a foreign-key join.

use std::sync::Arc;

use super::materialize::Materialized;
use crate::topology::names::Given;

/// Chooses the partition for a key, given the number of partitions.
pub(crate) type KeyPartitioner<K> = Arc<dyn Fn(&K, i32) -> Option<i32> + Send + Sync>;

/// How tables are joined by a foreign key (Kafka Streams' `TableJoined`, and the `Materialized` of the result): the name of
/// the join's nodes, store and topics, partitioners where the tables' topics are not partitioned by the hash of their keys,
/// and how the result is kept.
///
/// ```
/// # use millstream_operators::dsl::*;
/// # let builder = StreamsBuilder::new();
/// let orders = builder.table::<String, String>("orders");
/// let customers = builder.table::<String, String>("customers");
/// let how = TableJoined::named("customer").materialized(Materialized::named("named-orders"));
/// let customer = |_: &String, order: &String| order.split(':').next().map(str::to_owned);
/// orders.join_on_with(&customers, customer, |order, name| format!("{order} by {name}"), how);
/// assert!(builder.build()?.describe().contains("topic: customer-subscription-response-topic"));
/// # Ok::<(), millstream_operators::error::BuildError>(())
/// ```
pub struct TableJoined<K, F, U> {
    pub(crate) name: Given,
    pub(crate) partitioner: Option<KeyPartitioner<K>>,
    pub(crate) other_partitioner: Option<KeyPartitioner<F>>,
    pub(crate) materialized: Materialized<K, U>,
}

impl<K: 'static, F: 'static, U: 'static> Default for TableJoined<K, F, U> {
    fn default() -> Self {
        Self { name: None, partitioner: None, other_partitioner: None, materialized: Materialized::default() }
    }
}

impl<K: 'static, F: 'static, U: 'static> TableJoined<K, F, U> {
    /// The defaults: generated names, and the result is not kept.
    pub fn new() -> Self {
        Self::default()
    }

    /// Under this name, with which all nodes, the store and the topics of the join begin.
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }

    /// How the left table's topic is partitioned, if not by the hash of the key. `None` leaves it to that.
    #[must_use]
    pub fn partitioner(mut self, choose: impl Fn(&K, i32) -> Option<i32> + Send + Sync + 'static) -> Self {
        self.partitioner = Some(Arc::new(choose));
        self
    }

    /// How the right table's topic is partitioned, as [`TableJoined::partitioner`].
    #[must_use]
    pub fn other_partitioner(mut self, choose: impl Fn(&F, i32) -> Option<i32> + Send + Sync + 'static) -> Self {
        self.other_partitioner = Some(Arc::new(choose));
        self
    }

    /// How the result is kept; if it has no name, only when something below needs it.
    #[must_use]
    pub fn materialized(mut self, materialized: Materialized<K, U>) -> Self {
        self.materialized = materialized;
        self
    }
}
