//! One grouped stream of a cogroup, with its aggregator, whatever the type of its values.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use millstream_state::model::Windowed;
use millstream_state::serdes::SerdeRef;

use super::grouped::KGroupedStream;
use super::old_values::OldValues;
use super::session_keeper::SessionKeeper;
use super::session_windows::SessionWindows;
use super::sliding_windows::SlidingWindows;
use super::stream::Upstream;
use super::time_windows::FixedWindows;
use super::window_keeper::WindowKeeper;
use crate::ops::aggregate::{Aggregate, AggregateSettings, Initial};
use crate::ops::session::{SessionAggregate, SessionSettings};
use crate::ops::sliding::SlidingAggregate;
use crate::ops::window::WindowAggregate;
use crate::push::{Next, TableChildren};
use crate::topology::chain::ChainBuilder;
use crate::topology::graph::NodeId;
use crate::topology::port::Factory;

/// What an aggregator does; `None` deletes the result.
pub(crate) type Aggregator<K, V, A> = Arc<dyn Fn(&K, &V, A) -> Option<A> + Send + Sync>;

/// Combines the results of two sessions, the earlier first.
pub(crate) type Merger<K, A> = Arc<dyn Fn(&K, A, A) -> A + Send + Sync>;

/// Builds what is below the aggregations of a cogroup.
pub(crate) type Below<K, A> = Arc<dyn Fn(&mut ChainBuilder<'_>) -> TableChildren<K, A> + Send + Sync>;

/// What the aggregations of a cogroup have in common, and the name of one of them.
pub(crate) struct PartPlan<K, A> {
    pub(crate) name: Arc<str>,
    pub(crate) node: NodeId,
    pub(crate) store: Arc<str>,
    pub(crate) key: SerdeRef<K>,
    pub(crate) result: SerdeRef<A>,
    pub(crate) initial: Initial<A>,
    pub(crate) old: OldValues,
}

/// A grouped stream of a cogroup.
pub(crate) trait CogroupPart<K, A>: Send + Sync {
    /// Where its records come from: the stream itself, or a repartition topic, which is made now.
    fn claim(&self, store: &str) -> NodeId;

    /// Aggregates per key.
    fn add_values(&self, plan: PartPlan<K, A>, below: Below<K, A>);

    /// Aggregates per key and window.
    fn add_fixed(
        &self,
        plan: PartPlan<K, A>,
        keeper: Arc<WindowKeeper<K, A>>,
        windows: AnyFixed,
        below: Below<Windowed<K>, A>,
    );

    /// Aggregates per key and sliding window.
    fn add_sliding(
        &self,
        plan: PartPlan<K, A>,
        keeper: Arc<WindowKeeper<K, A>>,
        windows: SlidingWindows,
        below: Below<Windowed<K>, A>,
    ) where
        A: Clone;

    /// Aggregates per key and session.
    fn add_sessions(
        &self,
        plan: PartPlan<K, A>,
        keeper: Arc<SessionKeeper<K, A>>,
        sessions: (SessionWindows, Merger<K, A>),
        below: Below<Windowed<K>, A>,
    );
}

/// Fixed windows of either kind.
#[derive(Clone, Copy, Debug)]
pub enum AnyFixed {
    /// Tumbling or hopping windows.
    Time(super::time_windows::TimeWindows),
    /// The window without an end.
    Unlimited(super::unlimited_windows::UnlimitedWindows),
}

impl FixedWindows for AnyFixed {
    fn of(&self, time: millstream_state::model::Timestamp) -> impl Iterator<Item = millstream_state::model::Window> {
        let (aligned, unlimited) = match self {
            Self::Time(windows) => (Some(windows.of(time)), None),
            Self::Unlimited(windows) => (None, Some(windows.of(time))),
        };
        aligned.into_iter().flatten().chain(unlimited.into_iter().flatten())
    }

    fn size(&self) -> i64 {
        match self {
            Self::Time(windows) => windows.size(),
            Self::Unlimited(windows) => windows.size(),
        }
    }

    fn grace(&self) -> i64 {
        match self {
            Self::Time(windows) => windows.grace(),
            Self::Unlimited(windows) => windows.grace(),
        }
    }

    fn check(&self, node: &str) -> Result<(), crate::error::BuildError> {
        match self {
            Self::Time(windows) => windows.check(node),
            Self::Unlimited(windows) => windows.check(node),
        }
    }
}

/// A grouped stream with its aggregator.
pub(crate) struct Grouped<K, V, A> {
    group: KGroupedStream<K, V>,
    aggregator: Aggregator<K, V, A>,
    /// Where the records of the aggregation that is being added come from.
    claimed: Mutex<Option<Upstream<K, V>>>,
}

/// The new result from the key, the record's value and the old result.
trait PartStep<K, V, A>: Fn(&K, &V, Option<A>) -> Option<A> + Send + Sync + 'static {}

impl<K, V, A, F: Fn(&K, &V, Option<A>) -> Option<A> + Send + Sync + 'static> PartStep<K, V, A> for F {}

impl<K: 'static, V: 'static, A: 'static> Grouped<K, V, A> {
    pub(crate) fn new(group: KGroupedStream<K, V>, aggregator: Aggregator<K, V, A>) -> Self {
        Self { group, aggregator, claimed: Mutex::default() }
    }

    fn settings(&self, plan: &PartPlan<K, A>) -> AggregateSettings<K, V, A, impl PartStep<K, V, A>> {
        let (aggregator, first) = (self.aggregator.clone(), plan.initial.clone());
        let step = move |key: &K, value: &V, old: Option<A>| aggregator(key, value, old.unwrap_or_else(|| first()));
        AggregateSettings {
            node: plan.name.clone(),
            key: plan.key.clone(),
            value: self.group.value.clone(),
            result: plan.result.clone(),
            step,
            initial: Some(plan.initial.clone()),
        }
    }

    fn attach(&self, node: NodeId, factory: Factory<Next<K, V>>) {
        if let Some((_, port)) = &*self.claimed.lock().unwrap_or_else(PoisonError::into_inner) {
            port.add(node, factory);
        }
    }
}

impl<K: 'static, V: 'static, A: 'static> CogroupPart<K, A> for Grouped<K, V, A> {
    fn claim(&self, store: &str) -> NodeId {
        let upstream = self.group.upstream(store);
        let node = upstream.0;
        *self.claimed.lock().unwrap_or_else(PoisonError::into_inner) = Some(upstream);
        node
    }

    fn add_values(&self, plan: PartPlan<K, A>, below: Below<K, A>) {
        let settings = Arc::new(self.settings(&plan));
        self.attach(
            plan.node,
            Arc::new(move |chain| {
                let down = below(chain);
                let (id, _) = chain.store(&plan.store);
                let store = chain.key_value(&plan.store, &plan.key, &plan.result);
                let node = Aggregate::new(settings.clone(), store, plan.old.asked(), down);
                let node = Rc::new(RefCell::new(node));
                chain.stateful(id, node.clone());
                node as Next<K, V>
            }),
        );
    }

    fn add_fixed(
        &self,
        plan: PartPlan<K, A>,
        keeper: Arc<WindowKeeper<K, A>>,
        windows: AnyFixed,
        below: Below<Windowed<K>, A>,
    ) {
        let settings = Arc::new(self.settings(&plan));
        self.attach(
            plan.node,
            Arc::new(move |chain| {
                let down = below(chain);
                let initial = Some(plan.initial.clone());
                let (time_slot, table) = keeper.open(chain, &plan.name, (initial, plan.old.asked()), down);
                let id = table.id;
                let node = Rc::new(RefCell::new(WindowAggregate::new(settings.clone(), windows, time_slot, table)));
                chain.stateful(id, node.clone());
                node as Next<K, V>
            }),
        );
    }

    fn add_sliding(
        &self,
        plan: PartPlan<K, A>,
        keeper: Arc<WindowKeeper<K, A>>,
        windows: SlidingWindows,
        below: Below<Windowed<K>, A>,
    ) where
        A: Clone,
    {
        let settings = Arc::new(self.settings(&plan));
        self.attach(
            plan.node,
            Arc::new(move |chain| {
                let down = below(chain);
                let initial = Some(plan.initial.clone());
                let (time_slot, table) = keeper.open(chain, &plan.name, (initial, plan.old.asked()), down);
                let id = table.id;
                let node = Rc::new(RefCell::new(SlidingAggregate::new(settings.clone(), windows, time_slot, table)));
                chain.stateful(id, node.clone());
                node as Next<K, V>
            }),
        );
    }

    fn add_sessions(
        &self,
        plan: PartPlan<K, A>,
        keeper: Arc<SessionKeeper<K, A>>,
        (windows, merger): (SessionWindows, Merger<K, A>),
        below: Below<Windowed<K>, A>,
    ) {
        let first = plan.initial.clone();
        let merge = move |key: &K, one: Option<A>, other: A| Some(merger(key, one.unwrap_or_else(|| first()), other));
        let settings = Arc::new(SessionSettings { aggregate: self.settings(&plan), windows, merge });
        self.attach(
            plan.node,
            Arc::new(move |chain| {
                let down = below(chain);
                let parts = keeper.open(chain, &plan.name, plan.old.asked());
                let id = parts.id;
                let node = Rc::new(RefCell::new(SessionAggregate::new(settings.clone(), parts, down)));
                chain.stateful(id, node.clone());
                node as Next<K, V>
            }),
        );
    }
}
