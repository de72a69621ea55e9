//! Grouped streams in sessions: aggregation per key and session.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::model::Windowed;
use millstream_state::serdes::{DefaultSerde, session_windowed};

use super::emit_strategy::EmitStrategy;
use super::grouped::{KGroupedStream, Plan, aggregate_plan, count_plan, reduce_plan};
use super::materialize::Materialized;
use super::old_values::OldValues;
use super::serdes::{Serdes, required};
use super::session_keeper::SessionKeeper;
use super::session_windows::SessionWindows;
use super::table::KTable;
use super::view::View;
use crate::ops::aggregate::AggregateSettings;
use crate::ops::session::{SessionAggregate, SessionSettings};
use crate::push::{Next, NextApply, TableChildren};
use crate::topology::graph::Kind;
use crate::topology::port::Port;

/// A stream grouped by key and session, to be aggregated (Kafka Streams' `SessionWindowedKStream`).
///
/// A record joins the sessions of its key that are not farther away than the gap; if it joins several, or makes one
/// longer, the sessions that were there are deleted (a delete goes down for each) and one with the merged result takes
/// their place. The time of a result is the end of its session. Records with a null key and late records are dropped
/// and counted; null values are aggregated like any other.
///
/// ```compile_fail
/// # use millstream_operators::dsl::*;
/// # use std::time::Duration;
/// # let builder = StreamsBuilder::new();
/// # let sessions = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_secs(60));
/// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(sessions);
/// // Sessions merge: an aggregation needs to know how.
/// clicks.aggregate(String::new, |_, click, text| text + click, Materialized::default());
/// ```
pub struct SessionWindowedKStream<K, V> {
    group: KGroupedStream<K, V>,
    windows: SessionWindows,
    strategy: EmitStrategy,
}

impl<K, V> Clone for SessionWindowedKStream<K, V> {
    fn clone(&self) -> Self {
        Self { group: self.group.clone(), windows: self.windows, strategy: self.strategy }
    }
}

impl<K: 'static, V: 'static> SessionWindowedKStream<K, V> {
    pub(crate) fn new(group: KGroupedStream<K, V>, windows: SessionWindows) -> Self {
        Self { group, windows, strategy: EmitStrategy::default() }
    }

    /// Says when results go down (Kafka Streams: `emitStrategy`). Sessions that merge before they are closed then go
    /// down as one, and there are no deletes.
    #[must_use]
    pub fn emit_strategy(&self, strategy: EmitStrategy) -> Self {
        Self { strategy, ..self.clone() }
    }

    /// Gives the next aggregation that is added through this handle a name.
    #[must_use]
    pub fn named(&self, name: impl Into<Arc<str>>) -> Self {
        Self { group: self.group.named(name), ..self.clone() }
    }

    /// The number of records per key and session (Kafka Streams: `count`).
    ///
    /// ```
    /// # use millstream_operators::dsl::{Materialized, SessionWindows, StreamsBuilder};
    /// # use std::time::Duration;
    /// # let builder = StreamsBuilder::new();
    /// let visits = SessionWindows::of_inactivity_gap_and_grace(Duration::from_secs(1800), Duration::from_secs(60));
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(visits);
    /// let counts = clicks.count(Materialized::named("clicks-per-visit"));
    /// counts.to_stream_with_key(|visit, _| visit.key.clone()).to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn count(&self, materialized: Materialized<K, i64>) -> KTable<Windowed<K>, i64> {
        if materialized.burns() {
            self.group.stream.graph.lock().names.burn();
        }
        self.add(count_plan(), |_, one, other| Some(one.unwrap_or(0) + other), materialized)
    }

    /// Combines the values of each key and session, as [`KGroupedStream::reduce`]; the results of merged sessions are
    /// combined in the same way (Kafka Streams: `reduce`).
    pub fn reduce<R>(
        &self,
        reducer: impl Fn(V, &V) -> R + Send + Sync + 'static,
        materialized: Materialized<K, V>,
    ) -> KTable<Windowed<K>, V>
    where
        V: Clone,
        R: Into<Option<V>>,
    {
        let reducer = Arc::new(reducer);
        let merger = reducer.clone();
        let merge = move |_: &K, one: Option<V>, other: V| match one {
            Some(one) => merger(one, &other).into(),
            None => Some(other),
        };
        let plan = reduce_plan(self.group.value.clone(), move |old, value| reducer(old, value).into());
        self.add(plan, merge, materialized)
    }

    /// Folds the values of each key and session into a result of another type, as [`KGroupedStream::aggregate`];
    /// `merger` combines the results of two sessions that become one, the earlier first (Kafka Streams: `aggregate`).
    ///
    /// ```
    /// # use millstream_operators::dsl::{Materialized, SessionWindows, StreamsBuilder};
    /// # use std::time::Duration;
    /// # let builder = StreamsBuilder::new();
    /// let visits = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_secs(1800));
    /// let pages = builder.stream::<String, String>("pages").group_by_key().windowed_by(visits);
    /// let trails = pages.aggregate(
    ///     String::new,
    ///     |_, page, trail| trail + ">" + page,
    ///     |_, earlier, later| earlier + &later,
    ///     Materialized::named("trails"),
    /// );
    /// trails.to_stream_with_key(|visit, _| visit.key.clone()).to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn aggregate<A: DefaultSerde, R: Into<Option<A>>>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, &V, A) -> R + Send + Sync + 'static,
        merger: impl Fn(&K, A, A) -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let materialized = materialized.value_serde_or(A::serde());
        self.aggregate_with(initializer, aggregator, merger, materialized)
    }

    /// As [`SessionWindowedKStream::aggregate`], for a result without a serde of its own: `materialized` has to bring
    /// it.
    pub fn aggregate_with<A: 'static, R: Into<Option<A>>>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, &V, A) -> R + Send + Sync + 'static,
        merger: impl Fn(&K, A, A) -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let initializer = Arc::new(initializer);
        let first = initializer.clone();
        let merge = move |key: &K, one: Option<A>, other: A| Some(merger(key, one.unwrap_or_else(|| first()), other));
        let step = move |key: &K, value: &V, old: A| aggregator(key, value, old).into();
        let plan = aggregate_plan(move || initializer(), step);
        self.add(plan, merge, materialized)
    }

    fn add<A, S, M>(&self, plan: Plan<A, S>, merge: M, materialized: Materialized<K, A>) -> KTable<Windowed<K>, A>
    where
        A: 'static,
        S: Fn(&K, &V, Option<A>) -> Option<A> + Send + Sync + 'static,
        M: Fn(&K, Option<A>, A) -> Option<A> + Send + Sync + 'static,
    {
        let (group, windows) = (&self.group, self.windows);
        let mut graph = group.stream.graph.lock();
        let store = materialized.store_name(&mut graph.names, plan.prefix);
        let name = graph.names.node(&group.next_name, plan.prefix);
        let result = required(materialized.serdes.value.clone().or(plan.result), &mut graph, &name, "result");
        let key = materialized.serdes.key.clone().unwrap_or_else(|| group.key.clone());
        let serdes = (key.clone(), result.clone());
        let (keeper, spec) =
            SessionKeeper::new(store.clone(), serdes.clone(), (windows, self.strategy), &materialized, &mut graph);
        drop(graph);

        let (parent, upstream) = group.upstream(&store);
        let mut graph = group.stream.graph.lock();
        let node = graph.add(Kind::Processor { name: name.clone(), stores: vec![spec] }, &[parent]);
        graph.close_windows(node, windows.open_for());
        drop(graph);
        let view = View::sessions(store, serdes);
        let serdes = Serdes::new(Some(session_windowed(key.clone())), Some(result.clone()));
        let value = group.value.clone();
        let Plan { step, initial, .. } = plan;
        let aggregate = AggregateSettings { node: name, key, value, result, step, initial };
        let settings = Arc::new(SessionSettings { aggregate, windows, merge });
        let (port, old): (Port<NextApply<Windowed<K>, A>>, _) = (Port::default(), OldValues::stored());
        let (below, asked) = (port.clone(), old.clone());
        upstream.add(
            node,
            Arc::new(move |chain| {
                let down = TableChildren::new(below.build(chain));
                let parts = keeper.open(chain, &settings.aggregate.node, asked.asked());
                let id = parts.id;
                let node = Rc::new(RefCell::new(SessionAggregate::new(settings.clone(), parts, down)));
                chain.stateful(id, node.clone());
                node as Next<K, V>
            }),
        );
        KTable::new(group.stream.graph.clone(), node, port, serdes, old).seen_by(view)
    }
}
