//! Grouped tables: aggregation of the rows of a table that have a group in common.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use millstream_state::serdes::{DefaultSerde, SerdeRef};

use super::builder::stream_inlet;
use super::materialize::Materialized;
use super::old_values::OldValues;
use super::serdes::{Serdes, required};
use super::settings::Grouped;
use super::table::KTable;
use super::view::View;
use crate::ops::change::{Change, change};
use crate::ops::inlet::{InletSettings, TimeSource};
use crate::ops::outlet::{Outlet, OutletSettings};
use crate::ops::table_aggregate::{GroupSettings, TableAggregate};
use crate::ops::table_group::{SelectSettings, TableSelect};
use crate::push::{Children, Next, NextApply, TableChildren};
use crate::topology::graph::{Kind, NodeId, Repartition, Shared};
use crate::topology::names::{self, Given, RepartitionNames};
use crate::topology::port::Port;

/// Changes of groups, below the node that selects them or below a repartition topic.
type Changes<K, V> = (NodeId, Port<Next<K, Change<V>>>);

/// A table grouped by another key, to be aggregated (Kafka Streams' `KGroupedTable`).
///
/// The rows of a table change: when one does, its old value is taken out of its old group's result, and the new value is
/// put into its new group's, in this order. So an aggregation needs two functions, and the second must undo the first. The
/// changes go through a repartition topic, which has `retention.ms=-1`.
pub struct KGroupedTable<K, V> {
    graph: Shared,
    changes: Changes<K, V>,
    key: SerdeRef<K>,
    value: SerdeRef<V>,
    name: Given,
    next_name: Given,
    /// The repartition topic that aggregations of a named group share.
    repartition: Arc<Mutex<Option<Changes<K, V>>>>,
}

impl<K, V> Clone for KGroupedTable<K, V> {
    fn clone(&self) -> Self {
        Self {
            graph: self.graph.clone(),
            changes: self.changes.clone(),
            key: self.key.clone(),
            value: self.value.clone(),
            name: self.name.clone(),
            next_name: self.next_name.clone(),
            repartition: self.repartition.clone(),
        }
    }
}

/// What an aggregation is to be.
struct Plan<A, Add, Sub> {
    prefix: &'static str,
    result: Option<SerdeRef<A>>,
    add: Add,
    subtract: Sub,
}

impl<K: 'static, V: 'static> KTable<K, V> {
    /// Groups the rows by a key made of each row, with the value that counts in the group (Kafka Streams:
    /// `KTable.groupBy`). Rows for which group or value is null are in no group.
    ///
    /// ```
    /// # use millstream_operators::dsl::{Materialized, StreamsBuilder};
    /// # let builder = StreamsBuilder::new();
    /// let cities = builder.table::<String, String>("person-to-city");
    /// let people = cities.group_by(|person, city| (city.clone(), person.clone()));
    /// people.count(Materialized::named("people-per-city")).to_stream().to("out");
    /// assert_eq!(builder.build()?.sub_topologies().len(), 2);
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    /// A table cannot be aggregated without being grouped, and a group of a table needs to know how to take a value out:
    /// ```compile_fail
    /// # use millstream_operators::dsl::{Materialized, StreamsBuilder};
    /// # let builder = StreamsBuilder::new();
    /// builder.table::<String, i64>("in").count(Materialized::default());
    /// ```
    /// ```compile_fail
    /// # use millstream_operators::dsl::{Materialized, StreamsBuilder};
    /// # let builder = StreamsBuilder::new();
    /// let groups = builder.table::<String, i64>("in").group_by(|k, v| (k.clone(), *v));
    /// groups.reduce(|sum, v| sum + v, Materialized::default());
    /// ```
    pub fn group_by<L, U>(&self, selector: impl Fn(&K, &V) -> (L, U) + Send + Sync + 'static) -> KGroupedTable<L, U>
    where
        L: DefaultSerde + PartialEq,
        U: DefaultSerde,
    {
        self.group_by_with(selector, Grouped::new())
    }

    /// As [`KTable::group_by`], with settings: the name of node and repartition topic, serdes.
    pub fn group_by_with<L: PartialEq + 'static, U: 'static>(
        &self,
        selector: impl Fn(&K, &V) -> (L, U) + Send + Sync + 'static,
        grouped: Grouped<L, U>,
    ) -> KGroupedTable<L, U> {
        let mut graph = self.graph.lock();
        let grouped = grouped.or_name(&self.next_name);
        let node = graph.add_processor(&grouped.name, names::TABLE_SELECT, &[self.node]);
        let name = graph.name(node);
        let (key, value) = grouped.serdes_over(Serdes::default()).required(&mut graph, &name);
        drop(graph);
        self.old.demand();
        let port: Port<Next<L, Change<U>>> = Port::default();
        let below = port.clone();
        let (for_key, for_value, versions) = (key.clone(), value.clone(), self.versioned);
        let settings = Arc::new(SelectSettings { key: for_key, value: for_value, select: selector, versions });
        self.below(node, move |chain| TableSelect::new(settings.clone(), Children::new(below.build(chain))));
        KGroupedTable {
            graph: self.graph.clone(),
            changes: (node, port),
            key,
            value,
            name: grouped.name,
            next_name: None,
            repartition: Arc::default(),
        }
    }
}

impl<K: 'static, V: 'static> KGroupedTable<K, V> {
    /// Gives the next aggregation that is added through this handle a name.
    #[must_use]
    pub fn named(&self, name: impl Into<Arc<str>>) -> Self {
        Self { next_name: Some(name.into()), ..self.clone() }
    }

    /// The number of rows per group (Kafka Streams: `KGroupedTable.count`). A group that has lost all its rows stays with
    /// a count of 0, as in Kafka Streams.
    pub fn count(&self, materialized: Materialized<K, i64>) -> KTable<K, i64> {
        let add = |_: &K, _: &V, count: Option<i64>| Some(count.unwrap_or(0) + 1);
        let subtract = |_: &K, _: &V, count: i64| Some(count - 1);
        self.add(Plan { prefix: names::TABLE_AGGREGATE, result: Some(i64::serde()), add, subtract }, materialized)
    }

    /// Combines the values of each group (Kafka Streams: `KGroupedTable.reduce`). The first value of a group is taken as
    /// it is; a result of `None` deletes the group.
    ///
    /// ```
    /// # use millstream_operators::dsl::{Materialized, StreamsBuilder};
    /// # let builder = StreamsBuilder::new();
    /// let salaries = builder.table::<String, i64>("salaries");
    /// let teams = salaries.group_by(|person, salary| (person[..1].to_owned(), *salary));
    /// teams.reduce(|sum, new| sum + new, |sum, old| sum - old, Materialized::named("sums")).to_stream().to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn reduce<R: Into<Option<V>>, S: Into<Option<V>>>(
        &self,
        adder: impl Fn(V, &V) -> R + Send + Sync + 'static,
        subtractor: impl Fn(V, &V) -> S + Send + Sync + 'static,
        materialized: Materialized<K, V>,
    ) -> KTable<K, V>
    where
        V: Clone,
    {
        let add = move |_: &K, new: &V, sum: Option<V>| match sum {
            Some(sum) => adder(sum, new).into(),
            None => Some(new.clone()),
        };
        let subtract = move |_: &K, old: &V, sum: V| subtractor(sum, old).into();
        let result = Some(self.value.clone());
        self.add(Plan { prefix: names::TABLE_REDUCE, result, add, subtract }, materialized)
    }

    /// Folds the values of each group into a result of another type (Kafka Streams: `KGroupedTable.aggregate`). A result
    /// of `None` deletes the group; the next value then starts from `initializer` again.
    ///
    /// ```
    /// # use millstream_operators::dsl::{Materialized, StreamsBuilder};
    /// # let builder = StreamsBuilder::new();
    /// let groups = builder.table::<String, i64>("in").group_by(|_, v| (v % 10, *v));
    /// let sums = groups.aggregate(
    ///     || 0.0,
    ///     |_, new, sum| sum + *new as f64,
    ///     |_, old, sum| sum - *old as f64,
    ///     Materialized::named("sums"),
    /// );
    /// sums.to_stream().to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn aggregate<A: DefaultSerde, R: Into<Option<A>>, S: Into<Option<A>>>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        adder: impl Fn(&K, &V, A) -> R + Send + Sync + 'static,
        subtractor: impl Fn(&K, &V, A) -> S + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<K, A> {
        let add = move |key: &K, new: &V, sum: Option<A>| adder(key, new, sum.unwrap_or_else(&initializer)).into();
        let subtract = move |key: &K, old: &V, sum: A| subtractor(key, old, sum).into();
        self.add(Plan { prefix: names::TABLE_AGGREGATE, result: Some(A::serde()), add, subtract }, materialized)
    }

    fn add<A, Add, Sub>(&self, plan: Plan<A, Add, Sub>, materialized: Materialized<K, A>) -> KTable<K, A>
    where
        A: 'static,
        Add: Fn(&K, &V, Option<A>) -> Option<A> + Send + Sync + 'static,
        Sub: Fn(&K, &V, A) -> Option<A> + Send + Sync + 'static,
    {
        let mut graph = self.graph.lock();
        let store = materialized.store_name(&mut graph.names, names::TABLE_AGGREGATE);
        let sink = graph.names.suffixed(&self.next_name, "-sink", names::SINK);
        let source = graph.names.suffixed(&self.next_name, "-source", names::SOURCE);
        let name = graph.names.node(&self.next_name, plan.prefix);
        let key = materialized.serdes.key.clone().unwrap_or_else(|| self.key.clone());
        let result = required(materialized.serdes.value.clone().or(plan.result), &mut graph, &name, "result");
        let spec = materialized.key_value(store.clone(), &graph.settings);
        drop(graph);

        let topic = format!("{}-repartition", self.name.as_deref().unwrap_or(&store)).into();
        let (parent, upstream) = self.upstream(RepartitionNames { topic, filter: sink.clone(), sink, source });
        let kind = Kind::Processor { name: name.clone(), stores: vec![spec] };
        let node = self.graph.lock().add(kind, &[parent]);
        let serdes = Serdes::new(Some(key.clone()), Some(result.clone()));
        let (port, old): (Port<NextApply<K, A>>, _) = (Port::default(), OldValues::stored());
        let (below, asked) = (port.clone(), old.clone());
        let view = View::stored(store.clone(), (key.clone(), result.clone()), None);
        let settings = Arc::new(GroupSettings { node: name, result, add: plan.add, subtract: plan.subtract });
        upstream.add(
            node,
            Arc::new(move |chain| {
                let down = TableChildren::new(below.build(chain));
                let (id, _) = chain.store(&store);
                let store = chain.key_value(&store, &key, &settings.result);
                let node = Rc::new(RefCell::new(TableAggregate::new(settings.clone(), store, asked.asked(), down)));
                chain.stateful(id, node.clone());
                node as Next<K, Change<V>>
            }),
        );
        let versioned = materialized.is_versioned();
        KTable::new(self.graph.clone(), node, port, serdes, old).seen_by(view).with_versions(versioned)
    }

    /// The repartition topic, which aggregations share if the user has named it.
    fn upstream(&self, names: RepartitionNames) -> Changes<K, V> {
        let mut shared = self.repartition.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some((node, port)), true) = (&*shared, self.name.is_some()) {
            self.graph.lock().raise(*node);
            return (*node, port.clone());
        }
        let (key, value) = (self.key.clone(), change(self.value.clone()));
        let reader = InletSettings {
            node: names.source.clone(),
            key: key.clone(),
            value: value.clone(),
            time: TimeSource::Fail,
        };
        let writer = Arc::new(OutletSettings { node: names.sink.clone(), key, value, partitioner: None, topic: None });
        let port: Port<Next<K, Change<V>>> = Port::default();
        let inlet = stream_inlet(Arc::new(reader), port.clone());
        let repartition = Repartition { names, partitions: None, config: Default::default(), inlet };
        let (above, selected) = &self.changes;
        let node = self.graph.lock().add(Kind::TableRepartition(repartition), &[*above]);
        selected.add(
            node,
            Arc::new(move |chain| {
                let outlet = Outlet::new(writer.clone(), chain.sink(&writer.node));
                Rc::new(RefCell::new(outlet)) as Next<K, Change<V>>
            }),
        );
        *shared = Some((node, port.clone()));
        (node, port)
    }
}
