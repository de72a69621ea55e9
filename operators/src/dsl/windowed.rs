//! Grouped streams in windows: aggregation per key and window.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::model::Windowed;
use millstream_state::serdes::{DefaultSerde, time_windowed};
use millstream_state::store::WindowStore;

use super::grouped::{KGroupedStream, Plan};
use super::materialize::Materialized;
use super::old_values::OldValues;
use super::serdes::{Serdes, required};
use super::table::KTable;
use super::time_windows::TimeWindows;
use crate::ops::aggregate::AggregateSettings;
use crate::ops::window::{WindowAggregate, WindowParts};
use crate::push::{Next, NextApply, TableChildren};
use crate::topology::graph::Kind;
use crate::topology::names;
use crate::topology::port::Port;

/// A stream grouped by key and window, to be aggregated (Kafka Streams' `TimeWindowedKStream`).
///
/// Records with a null key and records for closed windows are dropped and counted; null values are aggregated like any
/// other. Each update of a window goes down at once, or with a record cache at the commit.
pub struct TimeWindowedKStream<K, V> {
    group: KGroupedStream<K, V>,
    windows: TimeWindows,
}

impl<K, V> Clone for TimeWindowedKStream<K, V> {
    fn clone(&self) -> Self {
        Self { group: self.group.clone(), windows: self.windows }
    }
}

impl<K: 'static, V: 'static> TimeWindowedKStream<K, V> {
    pub(crate) fn new(group: KGroupedStream<K, V>, windows: TimeWindows) -> Self {
        Self { group, windows }
    }

    /// Gives the next aggregation that is added through this handle a name.
    #[must_use]
    pub fn named(&self, name: impl Into<Arc<str>>) -> Self {
        Self { group: self.group.named(name), windows: self.windows }
    }

    /// The number of records per key and window (Kafka Streams: `count`).
    ///
    /// ```
    /// # use millstream_operators::dsl::{Materialized, StreamsBuilder, TimeWindows};
    /// # use std::time::Duration;
    /// # let builder = StreamsBuilder::new();
    /// let minutes = TimeWindows::of_size_with_no_grace(Duration::from_secs(60));
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(minutes);
    /// let counts = clicks.count(Materialized::named("per-minute"));
    /// counts.to_stream_with_key(|key, _| format!("{}@{}", key.key, key.window.start)).to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn count(&self, materialized: Materialized<K, i64>) -> KTable<Windowed<K>, i64> {
        if materialized.burns() {
            self.group.stream.graph.lock().names.burn();
        }
        let step = |_: &K, _: &V, old: Option<i64>| Some(old.unwrap_or(0) + 1);
        self.add(Plan { prefix: names::AGGREGATE, result: Some(i64::serde()), step }, materialized)
    }

    /// Combines the values of each key and window, as [`KGroupedStream::reduce`].
    pub fn reduce<R>(
        &self,
        reducer: impl Fn(V, &V) -> R + Send + Sync + 'static,
        materialized: Materialized<K, V>,
    ) -> KTable<Windowed<K>, V>
    where
        V: Clone,
        R: Into<Option<V>>,
    {
        let step = move |_: &K, value: &V, old: Option<V>| match old {
            Some(old) => reducer(old, value).into(),
            None => Some(value.clone()),
        };
        self.add(Plan { prefix: names::REDUCE, result: Some(self.group.value.clone()), step }, materialized)
    }

    /// Folds the values of each key and window into a result of another type, as [`KGroupedStream::aggregate`].
    pub fn aggregate<A: DefaultSerde, R: Into<Option<A>>>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, &V, A) -> R + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let step =
            move |key: &K, value: &V, old: Option<A>| aggregator(key, value, old.unwrap_or_else(&initializer)).into();
        self.add(Plan { prefix: names::AGGREGATE, result: Some(A::serde()), step }, materialized)
    }

    /// As [`TimeWindowedKStream::aggregate`], for a result without a serde of its own: `materialized` has to bring it.
    pub fn aggregate_with<A: 'static, R: Into<Option<A>>>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, &V, A) -> R + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let step =
            move |key: &K, value: &V, old: Option<A>| aggregator(key, value, old.unwrap_or_else(&initializer)).into();
        self.add(Plan { prefix: names::AGGREGATE, result: None, step }, materialized)
    }

    fn add<A, S>(&self, plan: Plan<A, S>, materialized: Materialized<K, A>) -> KTable<Windowed<K>, A>
    where
        A: 'static,
        S: Fn(&K, &V, Option<A>) -> Option<A> + Send + Sync + 'static,
    {
        let (group, windows) = (&self.group, self.windows);
        let mut graph = group.stream.graph.lock();
        let store = materialized.store_name(&mut graph.names, plan.prefix);
        let name = graph.names.node(&group.next_name, plan.prefix);
        let result = required(materialized.serdes.value.clone().or(plan.result), &mut graph, &name, "result");
        let key = materialized.serdes.key.clone().unwrap_or_else(|| group.key.clone());
        let spec = materialized.windowed(store.clone(), &windows, &mut graph);
        drop(graph);

        let (parent, upstream) = group.upstream(&store);
        let kind = Kind::Processor { name: name.clone(), stores: vec![spec] };
        let node = group.stream.graph.lock().add(kind, &[parent]);
        let serdes = Serdes::new(Some(time_windowed(key.clone(), Some(windows.size()))), Some(result.clone()));
        let value = group.value.clone();
        let settings = Arc::new(AggregateSettings { node: name, key, value, result, step: plan.step });
        let (port, old): (Port<NextApply<Windowed<K>, A>>, _) = (Port::default(), OldValues::stored());
        let (below, asked) = (port.clone(), old.clone());
        upstream.add(
            node,
            Arc::new(move |chain| {
                let down = TableChildren::new(below.build(chain));
                let (id, spec) = chain.store(&store);
                let AggregateSettings { key, result, .. } = &*settings;
                let store = WindowStore::new(id, spec, key.clone(), result.clone(), chain.cache());
                let time_slot = chain.time_slot(&settings.node);
                let parts = WindowParts { store, time_slot, send_old: asked.asked() };
                let node = Rc::new(RefCell::new(WindowAggregate::new(settings.clone(), windows, parts, down)));
                chain.stateful(id, node.clone());
                node as Next<K, V>
            }),
        );
        KTable::new(group.stream.graph.clone(), node, port, serdes, old)
    }
}
