//! Grouped streams: aggregation per key.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use millstream_state::serdes::{DefaultSerde, SerdeRef};

use super::materialize::Materialized;
use super::old_values::OldValues;
use super::serdes::{Serdes, required};
use super::settings::{Grouped, Repartitioned};
use super::stream::{KStream, Upstream};
use super::table::KTable;
use super::view::View;
use super::windowed_by::WindowedBy;
use crate::error::BuildError;
use crate::ops::aggregate::{Aggregate, AggregateSettings, Initial};
use crate::push::{Next, NextApply, TableChildren};
use crate::topology::graph::Kind;
use crate::topology::names::{self, Given};
use crate::topology::port::Port;

/// A stream grouped by key, to be aggregated (Kafka Streams' `KGroupedStream`).
///
/// Aggregations drop and count records with a null key or a null value. Their result has the highest timestamp of the
/// records in it. With a record cache, several updates of one key between two commits come out as one.
pub struct KGroupedStream<K, V> {
    pub(crate) stream: KStream<K, V>,
    pub(crate) key: SerdeRef<K>,
    pub(crate) value: SerdeRef<V>,
    name: Given,
    pub(crate) next_name: Given,
    /// The repartition topic that aggregations of a named group share.
    repartition: Arc<Mutex<Option<Upstream<K, V>>>>,
}

impl<K, V> Clone for KGroupedStream<K, V> {
    fn clone(&self) -> Self {
        Self {
            stream: self.stream.clone(),
            key: self.key.clone(),
            value: self.value.clone(),
            name: self.name.clone(),
            next_name: self.next_name.clone(),
            repartition: self.repartition.clone(),
        }
    }
}

/// What an aggregation is to be: all that [`KGroupedStream::add`] and its windowed sister need besides the stores.
pub(crate) struct Plan<A, S> {
    pub(crate) prefix: &'static str,
    pub(crate) result: Option<SerdeRef<A>>,
    pub(crate) step: S,
    /// What the result is before the first record, if it is anything.
    pub(crate) initial: Option<Initial<A>>,
}

/// The new result from the key, the record's value and the old result.
pub(crate) trait Step<K, V, A>: Fn(&K, &V, Option<A>) -> Option<A> + Send + Sync + 'static {}

impl<K, V, A, F: Fn(&K, &V, Option<A>) -> Option<A> + Send + Sync + 'static> Step<K, V, A> for F {}

/// Counts records.
pub(crate) fn count_plan<K, V>() -> Plan<i64, impl Step<K, V, i64>> {
    let step = |_: &K, _: &V, old: Option<i64>| Some(old.unwrap_or(0) + 1);
    Plan { prefix: names::AGGREGATE, result: Some(i64::serde()), step, initial: Some(Arc::new(|| 0)) }
}

/// Combines values; the first is taken as it is.
pub(crate) fn reduce_plan<K, V: Clone>(
    serde: SerdeRef<V>,
    reducer: impl Fn(V, &V) -> Option<V> + Send + Sync + 'static,
) -> Plan<V, impl Step<K, V, V>> {
    let step = move |_: &K, value: &V, old: Option<V>| match old {
        Some(old) => reducer(old, value),
        None => Some(value.clone()),
    };
    Plan { prefix: names::REDUCE, result: Some(serde), step, initial: None }
}

/// Folds values, beginning with what the initializer gives.
pub(crate) fn aggregate_plan<K, V, A: 'static>(
    initializer: impl Fn() -> A + Send + Sync + 'static,
    aggregator: impl Fn(&K, &V, A) -> Option<A> + Send + Sync + 'static,
) -> Plan<A, impl Step<K, V, A>> {
    let initial: Initial<A> = Arc::new(initializer);
    let first = initial.clone();
    let step = move |key: &K, value: &V, old: Option<A>| aggregator(key, value, old.unwrap_or_else(|| first()));
    Plan { prefix: names::AGGREGATE, result: None, step, initial: Some(initial) }
}

impl<K: 'static, V: 'static> KGroupedStream<K, V> {
    pub(crate) fn new(stream: &KStream<K, V>, grouped: Grouped<K, V>) -> Self {
        let mut graph = stream.graph.lock();
        let node = graph.name(stream.node);
        let (key, value) = grouped.serdes_over(stream.serdes.clone()).required(&mut graph, &node);
        drop(graph);
        let stream = KStream { next_name: None, ..stream.clone() };
        Self { stream, key, value, name: grouped.name, next_name: None, repartition: Arc::default() }
    }

    /// Gives the next aggregation that is added through this handle a name.
    #[must_use]
    pub fn named(&self, name: impl Into<Arc<str>>) -> Self {
        Self { next_name: Some(name.into()), ..self.clone() }
    }

    /// The number of records per key (Kafka Streams: `count`).
    ///
    /// ```
    /// # use millstream_operators::dsl::{Materialized, StreamsBuilder};
    /// # let builder = StreamsBuilder::new();
    /// let words = builder.stream::<String, String>("words").group_by(|_, word| word.clone());
    /// words.count(Materialized::named("counts")).to_stream().to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn count(&self, materialized: Materialized<K, i64>) -> KTable<K, i64> {
        if materialized.burns() {
            self.stream.graph.lock().names.burn();
        }
        self.add(count_plan(), materialized)
    }

    /// Combines the values of each key (Kafka Streams: `reduce`). The first value is taken as it is; a result of `None`
    /// deletes the key.
    ///
    /// ```
    /// # use millstream_operators::dsl::{Materialized, StreamsBuilder};
    /// # let builder = StreamsBuilder::new();
    /// let amounts = builder.stream::<String, i64>("amounts").group_by_key();
    /// amounts.reduce(|sum, amount| sum + amount, Materialized::named("sums")).to_stream().to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn reduce<R>(
        &self,
        reducer: impl Fn(V, &V) -> R + Send + Sync + 'static,
        materialized: Materialized<K, V>,
    ) -> KTable<K, V>
    where
        V: Clone,
        R: Into<Option<V>>,
    {
        let plan = reduce_plan(self.value.clone(), move |old, value| reducer(old, value).into());
        self.add(plan, materialized)
    }

    /// Folds the values of each key into a result of another type (Kafka Streams: `aggregate`). A result of `None` deletes
    /// the key; the next record then starts from `initializer` again.
    ///
    /// ```
    /// # use millstream_operators::dsl::{Materialized, StreamsBuilder};
    /// # let builder = StreamsBuilder::new();
    /// let words = builder.stream::<String, String>("words").group_by_key();
    /// let text = words.aggregate(String::new, |_, word, text| text + word, Materialized::named("text"));
    /// text.to_stream().to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn aggregate<A: DefaultSerde, R: Into<Option<A>>>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, &V, A) -> R + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<K, A> {
        self.aggregate_with(initializer, aggregator, materialized.value_serde_or(A::serde()))
    }

    /// As [`KGroupedStream::aggregate`], for a result without a serde of its own: `materialized` has to bring it.
    pub fn aggregate_with<A: 'static, R: Into<Option<A>>>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, &V, A) -> R + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<K, A> {
        let step = move |key: &K, value: &V, old: A| aggregator(key, value, old).into();
        self.add(aggregate_plan(initializer, step), materialized)
    }

    /// Groups by window as well (Kafka Streams: `windowedBy`): [`TimeWindows`](super::TimeWindows),
    /// [`SlidingWindows`](super::SlidingWindows), [`SessionWindows`](super::SessionWindows) or
    /// [`UnlimitedWindows`](super::UnlimitedWindows). Windows that cannot be (of size zero, advancing by more
    /// than their size) make the build fail.
    ///
    /// ```
    /// # use millstream_operators::dsl::{Materialized, StreamsBuilder, TimeWindows};
    /// # use std::time::Duration;
    /// # let builder = StreamsBuilder::new();
    /// let hours = TimeWindows::of_size_and_grace(Duration::from_secs(3600), Duration::from_secs(60));
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// clicks.windowed_by(hours).count(Materialized::named("per-hour")).to_stream().to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn windowed_by<W: WindowedBy>(&self, windows: W) -> W::Stream<K, V> {
        windows.divide(self.clone())
    }

    /// Remembers what is wrong with windows.
    pub(crate) fn check(&self, check: impl FnOnce(&str) -> Result<(), BuildError>) {
        let mut graph = self.stream.graph.lock();
        let node = graph.name(self.stream.node);
        graph.note(check(&node));
    }

    fn add<A, S>(&self, plan: Plan<A, S>, materialized: Materialized<K, A>) -> KTable<K, A>
    where
        A: 'static,
        S: Fn(&K, &V, Option<A>) -> Option<A> + Send + Sync + 'static,
    {
        let mut graph = self.stream.graph.lock();
        let store = materialized.store_name(&mut graph.names, plan.prefix);
        let name = graph.names.node(&self.next_name, plan.prefix);
        let result = required(materialized.serdes.value.clone().or(plan.result), &mut graph, &name, "result");
        let key = materialized.serdes.key.clone().unwrap_or_else(|| self.key.clone());
        let spec = materialized.key_value(store.clone(), &graph.settings);
        drop(graph);

        let (parent, upstream) = self.upstream(&store);
        let kind = Kind::Processor { name: name.clone(), stores: vec![spec] };
        let node = self.stream.graph.lock().add(kind, &[parent]);
        let serdes = Serdes::new(Some(key.clone()), Some(result.clone()));
        let value = self.value.clone();
        let Plan { step, initial, .. } = plan;
        let settings = Arc::new(AggregateSettings { node: name, key, value, result, step, initial });
        let (port, old): (Port<NextApply<K, A>>, _) = (Port::default(), OldValues::stored());
        let (below, asked) = (port.clone(), old.clone());
        let view = View::stored(store.clone(), (settings.key.clone(), settings.result.clone()), None);
        upstream.add(
            node,
            Arc::new(move |chain| {
                let down = TableChildren::new(below.build(chain));
                let (id, _) = chain.store(&store);
                let store = chain.key_value(&store, &settings.key, &settings.result);
                let node = Rc::new(RefCell::new(Aggregate::new(settings.clone(), store, asked.asked(), down)));
                chain.stateful(id, node.clone());
                node as Next<K, V>
            }),
        );
        KTable::new(self.stream.graph.clone(), node, port, serdes, old)
            .seen_by(view)
            .with_versions(materialized.is_versioned())
    }

    /// Where an aggregation into the store of this name gets its records from: the stream itself, or a repartition topic.
    pub(crate) fn upstream(&self, store: &str) -> Upstream<K, V> {
        if !self.stream.rekeyed {
            return (self.stream.node, self.stream.port.clone());
        }
        // Names are taken even if the topic is there already, as in Kafka Streams.
        let names = self.stream.graph.lock().names.repartition(self.name.as_deref().unwrap_or(store));
        let mut shared = self.repartition.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some((node, port)), true) = (&*shared, self.name.is_some()) {
            self.stream.graph.lock().raise(*node);
            return (*node, port.clone());
        }
        let serdes = Serdes::new(Some(self.key.clone()), Some(self.value.clone()));
        let upstream = self.stream.through(&names, serdes, Repartitioned::known());
        *shared = Some(upstream.clone());
        upstream
    }
}
