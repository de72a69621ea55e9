//! Grouped streams in sliding windows: aggregation per key and window.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::model::Windowed;
use millstream_state::serdes::DefaultSerde;

use super::emit_strategy::EmitStrategy;
use super::grouped::{KGroupedStream, Plan, aggregate_plan, count_plan, reduce_plan};
use super::materialize::Materialized;
use super::sliding_windows::SlidingWindows;
use super::table::KTable;
use super::window_keeper::WindowShapes;
use super::windowed::add_windowed;
use crate::ops::sliding::SlidingAggregate;

/// A stream grouped by key and sliding window, to be aggregated (in Kafka Streams a `TimeWindowedKStream` as well).
///
/// Records with a null key or a null value are dropped and counted, and late records too. A record changes each window
/// that it falls into, and begins new ones from the results of their neighbours: hence results can be cloned. Each
/// update of a window goes down at once, or with a record cache at the commit, unless
/// [`SlidingWindowedKStream::emit_strategy`] says otherwise.
pub struct SlidingWindowedKStream<K, V> {
    group: KGroupedStream<K, V>,
    windows: SlidingWindows,
    strategy: EmitStrategy,
}

impl<K, V> Clone for SlidingWindowedKStream<K, V> {
    fn clone(&self) -> Self {
        Self { group: self.group.clone(), windows: self.windows, strategy: self.strategy }
    }
}

impl<K: 'static, V: 'static> SlidingWindowedKStream<K, V> {
    pub(crate) fn new(group: KGroupedStream<K, V>, windows: SlidingWindows) -> Self {
        Self { group, windows, strategy: EmitStrategy::default() }
    }

    /// Gives the next aggregation that is added through this handle a name.
    #[must_use]
    pub fn named(&self, name: impl Into<Arc<str>>) -> Self {
        Self { group: self.group.named(name), ..self.clone() }
    }

    /// Says when results go down (Kafka Streams: `emitStrategy`).
    #[must_use]
    pub fn emit_strategy(&self, strategy: EmitStrategy) -> Self {
        Self { strategy, ..self.clone() }
    }

    /// The number of records per key and window (Kafka Streams: `count`).
    ///
    /// ```
    /// # use millstream_operators::dsl::{Materialized, SlidingWindows, StreamsBuilder};
    /// # use std::time::Duration;
    /// # let builder = StreamsBuilder::new();
    /// let close = SlidingWindows::of_time_difference_and_grace(Duration::from_secs(60), Duration::from_secs(5));
    /// let logins = builder.stream::<String, String>("failed-logins").group_by_key().windowed_by(close);
    /// let bursts = logins.count(Materialized::named("bursts")).filter(|_, n| *n >= 5);
    /// bursts.to_stream_with_key(|key, _| key.key.clone()).to("alarms");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn count(&self, materialized: Materialized<K, i64>) -> KTable<Windowed<K>, i64> {
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
    pub fn aggregate<A: DefaultSerde + Clone, R: Into<Option<A>>>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, &V, A) -> R + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        self.aggregate_with(initializer, aggregator, materialized.value_serde_or(A::serde()))
    }

    /// As [`SlidingWindowedKStream::aggregate`], for a result without a serde of its own: `materialized` has to bring
    /// it.
    pub fn aggregate_with<A: Clone + 'static, R: Into<Option<A>>>(
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
        A: Clone + 'static,
        S: Fn(&K, &V, Option<A>) -> Option<A> + Send + Sync + 'static,
    {
        let windows = self.windows;
        let shapes = WindowShapes::sliding(&windows, self.strategy);
        add_windowed(&self.group, shapes, plan, materialized, move |settings, time_slot, table| {
            Rc::new(RefCell::new(SlidingAggregate::new(settings, windows, time_slot, table)))
        })
    }
}
