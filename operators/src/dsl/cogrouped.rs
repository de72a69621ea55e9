//! Several grouped streams with one result.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::model::Windowed;
use millstream_state::serdes::{DefaultSerde, SerdeRef, session_windowed, time_windowed};
use millstream_state::store::StoreSpec;

use super::builder::check_same_builder;
use super::cogroup_part::{AnyFixed, Below, CogroupPart, Grouped, Merger, PartPlan};
use super::emit_strategy::EmitStrategy;
use super::grouped::KGroupedStream;
use super::materialize::Materialized;
use super::old_values::OldValues;
use super::serdes::{Serdes, required};
use super::session_keeper::SessionKeeper;
use super::session_windows::SessionWindows;
use super::sliding_windows::SlidingWindows;
use super::table::KTable;
use super::time_windows::FixedWindows;
use super::view::View;
use super::window_keeper::{WindowKeeper, WindowShapes};
use super::windowed_by::WindowedBy;
use crate::error::BuildError;
use crate::ops::aggregate::Initial;
use crate::ops::table_pass::TablePass;
use crate::push::{NextApply, TableChildren};
use crate::topology::graph::{Graph, Kind, NodeId, Shared};
use crate::topology::names::{self, Given};
use crate::topology::port::Port;

/// Several streams grouped by the same key, to be aggregated into one table (Kafka Streams' `CogroupedKStream`): each
/// record goes to the aggregator of its stream, and all aggregators work on the same result.
///
/// What the parts do with nulls, timestamps and late records is what
/// [`KGroupedStream`](super::KGroupedStream) and its windowed forms do. The topics of all streams must have the same
/// number of partitions; a stream whose key may have changed goes through a repartition topic first.
///
/// ```
/// # use millstream_operators::dsl::{Materialized, StreamsBuilder};
/// # let builder = StreamsBuilder::new();
/// let clicks = builder.stream::<String, String>("clicks").group_by_key();
/// let buys = builder.stream::<String, i64>("buys").group_by_key();
/// let scores = clicks
///     .cogroup(|_, _, score: i64| score + 1)
///     .cogroup(&buys, |_, price, score| score + 10 * price)
///     .aggregate(|| 0, Materialized::named("scores"));
/// scores.to_stream().to("out");
/// # builder.build()?;
/// # Ok::<(), millstream_operators::error::BuildError>(())
/// ```
/// All aggregators have the same result:
/// ```compile_fail
/// # use millstream_operators::dsl::{Materialized, StreamsBuilder};
/// # let builder = StreamsBuilder::new();
/// # let clicks = builder.stream::<String, String>("clicks").group_by_key();
/// # let buys = builder.stream::<String, i64>("buys").group_by_key();
/// clicks.cogroup(|_, _, score: i64| score + 1).cogroup(&buys, |_, _, score: String| score);
/// ```
pub struct CogroupedKStream<K, A> {
    graph: Shared,
    key: SerdeRef<K>,
    parts: Vec<Arc<dyn CogroupPart<K, A>>>,
    next_name: Given,
}

impl<K, A> Clone for CogroupedKStream<K, A> {
    fn clone(&self) -> Self {
        Self {
            graph: self.graph.clone(),
            key: self.key.clone(),
            parts: self.parts.clone(),
            next_name: self.next_name.clone(),
        }
    }
}

impl<K: 'static, V: 'static> KGroupedStream<K, V> {
    /// Begins a cogroup with this stream and its aggregator (Kafka Streams: `cogroup`). An aggregator that answers `None`
    /// deletes the result.
    pub fn cogroup<A: 'static, R: Into<Option<A>>>(
        &self,
        aggregator: impl Fn(&K, &V, A) -> R + Send + Sync + 'static,
    ) -> CogroupedKStream<K, A> {
        let first = CogroupedKStream {
            graph: self.stream.graph.clone(),
            key: self.key.clone(),
            parts: Vec::new(),
            next_name: None,
        };
        first.cogroup(self, aggregator)
    }
}

/// What is the same for all kinds of windows: what to keep, and how it is called.
struct Common<K, A> {
    store: Arc<str>,
    key: SerdeRef<K>,
    result: SerdeRef<A>,
    initial: Initial<A>,
}

impl<K: 'static, A: 'static> CogroupedKStream<K, A> {
    /// Adds a stream with its aggregator (Kafka Streams: `cogroup`).
    #[must_use]
    pub fn cogroup<V: 'static, R: Into<Option<A>>>(
        &self,
        group: &KGroupedStream<K, V>,
        aggregator: impl Fn(&K, &V, A) -> R + Send + Sync + 'static,
    ) -> Self {
        let same = self.graph.same(&group.stream.graph);
        check_same_builder(&mut self.graph.lock(), same, "a cogroup");
        let mut parts = self.parts.clone();
        let aggregator = Arc::new(move |key: &K, value: &V, old: A| aggregator(key, value, old).into());
        parts.push(Arc::new(Grouped::new(group.clone(), aggregator)));
        Self { parts, ..self.clone() }
    }

    /// Gives the next aggregation that is added through this handle a name.
    #[must_use]
    pub fn named(&self, name: impl Into<Arc<str>>) -> Self {
        Self { next_name: Some(name.into()), ..self.clone() }
    }

    /// Divides the streams into windows as well (Kafka Streams: `windowedBy`).
    ///
    /// ```
    /// # use millstream_operators::dsl::{Materialized, StreamsBuilder, TimeWindows};
    /// # use std::time::Duration;
    /// # let builder = StreamsBuilder::new();
    /// # let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// # let buys = builder.stream::<String, i64>("buys").group_by_key();
    /// let scores = clicks.cogroup(|_, _, score: i64| score + 1).cogroup(&buys, |_, price, score| score + price);
    /// let hours = TimeWindows::of_size_with_no_grace(Duration::from_secs(3600));
    /// let per_hour = scores.windowed_by(hours).aggregate(|| 0, Materialized::named("per-hour"));
    /// per_hour.to_stream_with_key(|key, _| key.key.clone()).to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn windowed_by<W: WindowedBy>(&self, windows: W) -> W::Cogrouped<K, A> {
        windows.divide_cogrouped(self.clone())
    }

    /// Folds the values of each key into one result, each stream with its aggregator (Kafka Streams: `aggregate`).
    pub fn aggregate(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<K, A>
    where
        A: DefaultSerde,
    {
        self.aggregate_with(initializer, materialized.value_serde_or(A::serde()))
    }

    /// As [`CogroupedKStream::aggregate`], for a result without a serde of its own: `materialized` has to bring it.
    pub fn aggregate_with(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<K, A> {
        let common = self.common(initializer, &materialized);
        let spec = materialized.key_value(common.store.clone(), &self.graph.lock().settings);
        let view = View::stored(common.store.clone(), (common.key.clone(), common.result.clone()), None);
        let serdes = Serdes::new(Some(common.key.clone()), Some(common.result.clone()));
        let nodes = self.add(&common, spec, None, |part, plan, below| part.add_values(plan, below));
        self.table(nodes, serdes, view)
    }

    pub(super) fn check(&self, check: impl FnOnce(&str) -> Result<(), BuildError>) {
        self.graph.lock().note(check("a cogroup"));
    }

    fn common(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        materialized: &Materialized<K, A>,
    ) -> Common<K, A> {
        let mut graph = self.graph.lock();
        let store = materialized.store_name(&mut graph.names, names::COGROUP_AGGREGATE);
        let result = required(materialized.serdes.value.clone(), &mut graph, &store, "result");
        let key = materialized.serdes.key.clone().unwrap_or_else(|| self.key.clone());
        Common { store, key, result, initial: Arc::new(initializer) }
    }

    /// Adds a node for each stream, and the one below them all. `close` says when their windows close, if they have
    /// any.
    fn add<T: 'static>(
        &self,
        common: &Common<K, A>,
        spec: StoreSpec,
        close: Option<i64>,
        add: impl Fn(&dyn CogroupPart<K, A>, PartPlan<K, A>, Below<T, A>),
    ) -> Nodes<T, A> {
        let above: Vec<NodeId> = self.parts.iter().map(|part| part.claim(&common.store)).collect();
        let mut graph = self.graph.lock();
        let mut spec = Some(spec);
        let mut nodes = Vec::new();
        for (index, parent) in above.iter().enumerate() {
            let suffix = format!("-cogroup-agg-{index}");
            let name = graph.names.suffixed(&self.next_name, &suffix, names::COGROUP_AGGREGATE);
            let stores: Vec<StoreSpec> = spec.take().into_iter().collect();
            let node = graph.add(Kind::Processor { name: name.clone(), stores }, &[*parent]);
            share(&mut graph, node, &nodes, &common.store);
            close.into_iter().for_each(|grace| graph.close_windows(node, grace));
            nodes.push((node, name));
        }
        let ids: Vec<NodeId> = nodes.iter().map(|(node, _)| *node).collect();
        let name = graph.names.suffixed(&self.next_name, "-cogroup-merge", names::COGROUP_MERGE);
        let merge = graph.add(Kind::Processor { name, stores: Vec::new() }, &ids);
        drop(graph);
        let (port, old): (Port<NextApply<T, A>>, _) = (Port::default(), OldValues::stored());
        let merged = port.clone();
        let below: Below<T, A> = Arc::new(move |chain| {
            let node = chain.once(merge, |chain| {
                let down = TableChildren::new(merged.build(chain));
                Rc::new(RefCell::new(TablePass::new(down))) as NextApply<T, A>
            });
            TableChildren::new([node])
        });
        for (part, (node, name)) in self.parts.iter().zip(nodes) {
            let plan = PartPlan {
                name,
                node,
                store: common.store.clone(),
                key: common.key.clone(),
                result: common.result.clone(),
                initial: common.initial.clone(),
                old: old.clone(),
            };
            add(&**part, plan, below.clone());
        }
        Nodes { merge, port, old }
    }

    fn table<T: 'static>(&self, nodes: Nodes<T, A>, serdes: Serdes<T, A>, view: View<T, A>) -> KTable<T, A> {
        let Nodes { merge, port, old } = nodes;
        KTable::new(self.graph.clone(), merge, port, serdes, old).seen_by(view)
    }
}

/// Lets a node of a cogroup use the store of the first, whose topics must then have as many partitions.
fn share(graph: &mut Graph, node: NodeId, others: &[(NodeId, Arc<str>)], store: &Arc<str>) {
    if let Some((first, _)) = others.first() {
        graph.connect(node, [store.clone()]);
        graph.copartition(*first, node);
    }
}

/// What was added for a cogroup.
struct Nodes<T, A> {
    merge: NodeId,
    port: Port<NextApply<T, A>>,
    old: OldValues,
}

/// A cogroup in tumbling, hopping or unlimited windows (Kafka Streams' `TimeWindowedCogroupedKStream`).
pub struct TimeWindowedCogroupedKStream<K, A> {
    cogrouped: CogroupedKStream<K, A>,
    windows: AnyFixed,
}

impl<K: 'static, A: 'static> TimeWindowedCogroupedKStream<K, A> {
    pub(super) fn new(cogrouped: CogroupedKStream<K, A>, windows: AnyFixed) -> Self {
        cogrouped.check(|node| windows.check(node));
        Self { cogrouped, windows }
    }

    /// Gives the aggregation a name.
    #[must_use]
    pub fn named(&self, name: impl Into<Arc<str>>) -> Self {
        Self { cogrouped: self.cogrouped.named(name), windows: self.windows }
    }

    /// Folds the values of each key and window into one result, each stream with its aggregator (Kafka Streams:
    /// `aggregate`).
    pub fn aggregate(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A>
    where
        A: DefaultSerde,
    {
        self.aggregate_with(initializer, materialized.value_serde_or(A::serde()))
    }

    /// As [`TimeWindowedCogroupedKStream::aggregate`], for a result without a serde of its own: `materialized` has to
    /// bring it.
    pub fn aggregate_with(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let (cogrouped, windows) = (&self.cogrouped, self.windows);
        let shapes = WindowShapes::fixed(&windows, EmitStrategy::OnWindowUpdate);
        cogrouped.windows(shapes, initializer, &materialized, move |part, plan, keeper, below| {
            part.add_fixed(plan, keeper, windows, below);
        })
    }
}

impl<K: 'static, A: 'static> CogroupedKStream<K, A> {
    fn windows(
        &self,
        shapes: WindowShapes,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        materialized: &Materialized<K, A>,
        add: impl Fn(&dyn CogroupPart<K, A>, PartPlan<K, A>, Arc<WindowKeeper<K, A>>, Below<Windowed<K>, A>),
    ) -> KTable<Windowed<K>, A> {
        let common = self.common(initializer, materialized);
        let serdes = (common.key.clone(), common.result.clone());
        let kept = (common.store.clone(), serdes.clone());
        let (keeper, spec) = WindowKeeper::new(kept.0, kept.1, shapes, materialized, &mut self.graph.lock());
        let keeper = Arc::new(keeper);
        let nodes = self.add(&common, spec, Some(shapes.grace), |part, plan, below| {
            add(part, plan, keeper.clone(), below);
        });
        let view = View::windowed(common.store, serdes);
        let serdes = Serdes::new(Some(time_windowed(common.key, Some(shapes.size))), Some(common.result));
        self.table(nodes, serdes, view)
    }
}

/// A cogroup in sliding windows (in Kafka Streams a `TimeWindowedCogroupedKStream` as well).
pub struct SlidingWindowedCogroupedKStream<K, A> {
    cogrouped: CogroupedKStream<K, A>,
    windows: SlidingWindows,
}

impl<K: 'static, A: Clone + 'static> SlidingWindowedCogroupedKStream<K, A> {
    /// Folds the values of each key and window into one result, each stream with its aggregator (Kafka Streams:
    /// `aggregate`).
    pub fn aggregate(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A>
    where
        A: DefaultSerde,
    {
        self.aggregate_with(initializer, materialized.value_serde_or(A::serde()))
    }

    /// As [`SlidingWindowedCogroupedKStream::aggregate`], for a result without a serde of its own: `materialized` has to
    /// bring it.
    pub fn aggregate_with(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let windows = self.windows;
        let shapes = WindowShapes::sliding(&windows, EmitStrategy::OnWindowUpdate);
        self.cogrouped.windows(shapes, initializer, &materialized, move |part, plan, keeper, below| {
            part.add_sliding(plan, keeper, windows, below);
        })
    }
}

impl<K: 'static, A: 'static> SlidingWindowedCogroupedKStream<K, A> {
    pub(super) fn new(cogrouped: CogroupedKStream<K, A>, windows: SlidingWindows) -> Self {
        cogrouped.check(|node| windows.check(node));
        Self { cogrouped, windows }
    }

    /// Gives the aggregation a name.
    #[must_use]
    pub fn named(&self, name: impl Into<Arc<str>>) -> Self {
        Self { cogrouped: self.cogrouped.named(name), windows: self.windows }
    }
}

/// A cogroup in sessions (Kafka Streams' `SessionWindowedCogroupedKStream`).
pub struct SessionWindowedCogroupedKStream<K, A> {
    cogrouped: CogroupedKStream<K, A>,
    windows: SessionWindows,
}

impl<K: 'static, A: 'static> SessionWindowedCogroupedKStream<K, A> {
    pub(super) fn new(cogrouped: CogroupedKStream<K, A>, windows: SessionWindows) -> Self {
        cogrouped.check(|node| windows.check(node));
        Self { cogrouped, windows }
    }

    /// Gives the aggregation a name.
    #[must_use]
    pub fn named(&self, name: impl Into<Arc<str>>) -> Self {
        Self { cogrouped: self.cogrouped.named(name), windows: self.windows }
    }

    /// Folds the values of each key and session into one result, each stream with its aggregator; `merger` combines the
    /// results of two sessions that become one, the earlier first (Kafka Streams: `aggregate`).
    pub fn aggregate(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        merger: impl Fn(&K, A, A) -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A>
    where
        A: DefaultSerde,
    {
        self.aggregate_with(initializer, merger, materialized.value_serde_or(A::serde()))
    }

    /// As [`SessionWindowedCogroupedKStream::aggregate`], for a result without a serde of its own: `materialized` has to
    /// bring it.
    pub fn aggregate_with(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        merger: impl Fn(&K, A, A) -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let (cogrouped, windows) = (&self.cogrouped, self.windows);
        let common = cogrouped.common(initializer, &materialized);
        let serdes = (common.key.clone(), common.result.clone());
        let kept = (windows, EmitStrategy::OnWindowUpdate);
        let mut graph = cogrouped.graph.lock();
        let (keeper, spec) = SessionKeeper::new(common.store.clone(), serdes.clone(), kept, &materialized, &mut graph);
        drop(graph);
        let (keeper, merger): (_, Merger<K, A>) = (Arc::new(keeper), Arc::new(merger));
        let nodes = cogrouped.add(&common, spec, Some(windows.open_for()), |part, plan, below| {
            part.add_sessions(plan, keeper.clone(), (windows, merger.clone()), below);
        });
        let view = View::sessions(common.store, serdes);
        let serdes = Serdes::new(Some(session_windowed(common.key)), Some(common.result));
        cogrouped.table(nodes, serdes, view)
    }
}
