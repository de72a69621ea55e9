//! Grouped streams in windows: aggregation per key and window.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::model::Windowed;
use millstream_state::serdes::{DefaultSerde, time_windowed};

use super::emit_strategy::EmitStrategy;
use super::grouped::{KGroupedStream, Plan, aggregate_plan, count_plan, reduce_plan};
use super::materialize::Materialized;
use super::old_values::OldValues;
use super::serdes::{Serdes, required};
use super::table::KTable;
use super::time_windows::{FixedWindows, TimeWindows};
use super::view::View;
use super::window_keeper::{WindowKeeper, WindowShapes};
use crate::ops::aggregate::AggregateSettings;
use crate::ops::window::WindowAggregate;
use crate::ops::windowed::WindowTable;
use crate::push::{Flush, Next, NextApply, Process, TableChildren};
use crate::topology::graph::Kind;
use crate::topology::port::Port;

/// A stream grouped by key and window, to be aggregated (Kafka Streams' `TimeWindowedKStream`).
///
/// Records with a null key and records for closed windows are dropped and counted; null values are aggregated like any
/// other. Each update of a window goes down at once, or with a record cache at the commit, unless
/// [`TimeWindowedKStream::emit_strategy`] says otherwise.
pub struct TimeWindowedKStream<K, V, W = TimeWindows> {
    group: KGroupedStream<K, V>,
    windows: W,
    strategy: EmitStrategy,
}

impl<K, V, W: Copy> Clone for TimeWindowedKStream<K, V, W> {
    fn clone(&self) -> Self {
        Self { group: self.group.clone(), windows: self.windows, strategy: self.strategy }
    }
}

impl<K: 'static, V: 'static> TimeWindowedKStream<K, V> {
    /// Says when results go down (Kafka Streams: `emitStrategy`).
    #[must_use]
    pub fn emit_strategy(&self, strategy: EmitStrategy) -> Self {
        Self { strategy, ..self.clone() }
    }
}

impl<K: 'static, V: 'static, W: FixedWindows> TimeWindowedKStream<K, V, W> {
    pub(crate) fn new(group: KGroupedStream<K, V>, windows: W) -> Self {
        Self { group, windows, strategy: EmitStrategy::default() }
    }

    /// Gives the next aggregation that is added through this handle a name.
    #[must_use]
    pub fn named(&self, name: impl Into<Arc<str>>) -> Self {
        Self { group: self.group.named(name), ..self.clone() }
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
        self.add(count_plan(), materialized)
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
        let plan = reduce_plan(self.group.value.clone(), move |old, value| reducer(old, value).into());
        self.add(plan, materialized)
    }

    /// Folds the values of each key and window into a result of another type, as [`KGroupedStream::aggregate`].
    pub fn aggregate<A: DefaultSerde, R: Into<Option<A>>>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, &V, A) -> R + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        self.aggregate_with(initializer, aggregator, materialized.value_serde_or(A::serde()))
    }

    /// As [`TimeWindowedKStream::aggregate`], for a result without a serde of its own: `materialized` has to bring it.
    pub fn aggregate_with<A: 'static, R: Into<Option<A>>>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, &V, A) -> R + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let step = move |key: &K, value: &V, old: A| aggregator(key, value, old).into();
        self.add(aggregate_plan(initializer, step), materialized)
    }

    fn add<A, S>(&self, plan: Plan<A, S>, materialized: Materialized<K, A>) -> KTable<Windowed<K>, A>
    where
        A: 'static,
        S: Fn(&K, &V, Option<A>) -> Option<A> + Send + Sync + 'static,
    {
        let windows = self.windows;
        let shapes = WindowShapes::fixed(&windows, self.strategy);
        add_windowed(&self.group, shapes, plan, materialized, move |settings, time_slot, table| {
            Rc::new(RefCell::new(WindowAggregate::new(settings, windows, time_slot, table)))
        })
    }
}

/// Adds an aggregation over time windows; `make` makes its node.
pub(super) fn add_windowed<K, V, A, S, N>(
    group: &KGroupedStream<K, V>,
    shapes: WindowShapes,
    plan: Plan<A, S>,
    materialized: Materialized<K, A>,
    make: impl Fn(Arc<AggregateSettings<K, V, A, S>>, usize, WindowTable<K, A>) -> Rc<RefCell<N>> + Send + Sync + 'static,
) -> KTable<Windowed<K>, A>
where
    K: 'static,
    V: 'static,
    A: 'static,
    S: Send + Sync + 'static,
    N: Process<K, V> + Flush + 'static,
{
    let mut graph = group.stream.graph.lock();
    let store = materialized.store_name(&mut graph.names, plan.prefix);
    let name = graph.names.node(&group.next_name, plan.prefix);
    let result = required(materialized.serdes.value.clone().or(plan.result), &mut graph, &name, "result");
    let key = materialized.serdes.key.clone().unwrap_or_else(|| group.key.clone());
    let serdes = (key.clone(), result.clone());
    let (keeper, spec) = WindowKeeper::new(store.clone(), serdes.clone(), shapes, &materialized, &mut graph);
    drop(graph);

    let (parent, upstream) = group.upstream(&store);
    let mut graph = group.stream.graph.lock();
    let node = graph.add(Kind::Processor { name: name.clone(), stores: vec![spec] }, &[parent]);
    graph.close_windows(node, shapes.grace);
    drop(graph);
    let Plan { step, initial, .. } = plan;
    let value = group.value.clone();
    let view = View::windowed(store, serdes);
    let serdes = Serdes::new(Some(time_windowed(key.clone(), Some(shapes.size))), Some(result.clone()));
    let settings = Arc::new(AggregateSettings { node: name, key, value, result, step, initial });
    let (port, old): (Port<NextApply<Windowed<K>, A>>, _) = (Port::default(), OldValues::stored());
    let (below, asked) = (port.clone(), old.clone());
    upstream.add(
        node,
        Arc::new(move |chain| {
            let down = TableChildren::new(below.build(chain));
            let initial = settings.initial.clone();
            let (time_slot, table) = keeper.open(chain, &settings.node, (initial, asked.asked()), down);
            let id = table.id;
            let node = make(settings.clone(), time_slot, table);
            chain.stateful(id, node.clone());
            node as Next<K, V>
        }),
    );
    KTable::new(group.stream.graph.clone(), node, port, serdes, old).seen_by(view)
}
