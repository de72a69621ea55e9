//! Joins of two streams: the nodes they become, in the order in which Kafka Streams names them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::serdes::SerdeRef;
use millstream_state::store::StoreSpec;

use super::builder::check_same_builder;
use super::join_windows::JoinWindows;
use super::serdes::{Serdes, required};
use super::stream::{KStream, Upstream};
use super::stream_joined::{Role, StreamJoined};
use super::time_windows::millis;
use crate::ops::pass::Pass;
use crate::ops::stream_join::{
    Joiner, Keep, KeepSettings, OneStoreJoin, OneStoreSettings, SideJoin, SideSettings, SideStores, Span, Tracker,
    Waiting,
};
use crate::push::{Children, Next};
use crate::topology::chain::ChainBuilder;
use crate::topology::graph::{Graph, Kind, NodeId};
use crate::topology::names;
use crate::topology::port::{Factory, Port};
use crate::topology::rewrite::SelfJoin;

/// Which records without a partner have results.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinKind {
    Inner,
    Left,
    Outer,
}

impl JoinKind {
    fn left_outer(self) -> bool {
        self != Self::Inner
    }

    fn right_outer(self) -> bool {
        self == Self::Outer
    }
}

/// The serdes of a join.
struct Types<K, V, W> {
    key: SerdeRef<K>,
    left: SerdeRef<V>,
    right: SerdeRef<W>,
}

/// The names of a join's nodes.
struct JoinNames {
    keep_this: Arc<str>,
    keep_other: Arc<str>,
    this: Arc<str>,
    other: Arc<str>,
    merge: Arc<str>,
}

/// The stores of a join.
struct JoinStores {
    this: StoreSpec,
    other: StoreSpec,
    shared: Option<StoreSpec>,
}

impl JoinStores {
    fn shared_name(&self) -> Option<Arc<str>> {
        self.shared.as_ref().map(|shared| shared.name.clone())
    }
}

/// What all nodes of a join have in common.
struct Plan<K, V, W> {
    kind: JoinKind,
    span: Span,
    retention: i64,
    emit_interval: i64,
    types: Types<K, V, W>,
    names: JoinNames,
    stores: JoinStores,
}

/// Takes the names of a join's nodes, in Kafka Streams' order, and describes its stores.
fn name<K, V, W>(
    graph: &mut Graph,
    kind: JoinKind,
    windows: &JoinWindows,
    joined: &StreamJoined<K, V, W>,
) -> (JoinNames, JoinStores) {
    let Graph { names, settings, .. } = graph;
    let keep_this = names.suffixed(&joined.name, "-this-windowed", names::WINDOWED);
    let keep_other = names.suffixed(&joined.name, "-other-windowed", names::WINDOWED);
    let (this_prefix, this_suffix) = match kind.right_outer() {
        true => (names::OUTER_THIS, "-outer-this-join"),
        false => (names::JOIN_THIS, "-this-join"),
    };
    let (other_prefix, other_suffix) = match kind.left_outer() {
        true => (names::OUTER_OTHER, "-outer-other-join"),
        false => (names::JOIN_OTHER, "-other-join"),
    };
    let (this, other) = (names.generate(this_prefix), names.generate(other_prefix));
    let merge = names.suffixed(&joined.name, "-merge", names::MERGE);
    let shared = kind.left_outer().then(|| {
        let suffix = if kind.right_outer() { "-outer-shared-join" } else { "-left-shared-join" };
        let generated = format!("{}{}", names::OUTER_SHARED, this.trim_start_matches(this_prefix));
        joined.shared_store(&generated, suffix, settings)
    });
    let stores = JoinStores {
        this: joined.window_store(Role::This, (&this, this_suffix), windows, settings),
        other: joined.window_store(Role::Other, (&other, other_suffix), windows, settings),
        shared,
    };
    let given = |generated, suffix| match &joined.name {
        Some(name) => format!("{name}{suffix}").into(),
        None => generated,
    };
    let (this, other) = (given(this, this_suffix), given(other, other_suffix));
    (JoinNames { keep_this, keep_other, this, other, merge }, stores)
}

impl<K: 'static, V: 'static> KStream<K, V> {
    pub(super) fn add_join<W: 'static, R: 'static>(
        &self,
        other: &KStream<K, W>,
        kind: JoinKind,
        joiner: impl Joiner<K, V, W, R> + Send + Sync + 'static,
        (windows, joined): (JoinWindows, StreamJoined<K, V, W>),
    ) -> KStream<K, R> {
        let joined = joined.or_name(&self.next_name);
        let key = joined.key_over(self.serdes.key.clone().or_else(|| other.serdes.key.clone()));
        let left = Serdes::new(key.clone(), joined.value_over(self.serdes.value.clone()));
        let right = Serdes::new(key.clone(), joined.other_over(other.serdes.value.clone()));
        let topic = |side: &str| joined.name.as_ref().map(|name| Arc::from(format!("{name}-{side}")));
        let this = self.for_join(&topic("left"), left.clone());
        let other = other.for_join(&topic("right"), right.clone());
        let mut graph = self.graph.lock();
        let same = self.graph.same(&other.graph);
        let (names, stores) = name(&mut graph, kind, &windows, &joined);
        graph.note(windows.check(&names.merge));
        check_same_builder(&mut graph, same, &names.merge);
        let types = Types {
            key: required(key.clone(), &mut graph, &names.merge, "key"),
            left: required(left.value, &mut graph, &names.merge, "left value"),
            right: required(right.value, &mut graph, &names.merge, "right value"),
        };
        let emit_interval = millis(graph.settings.outer_join_emit_interval);
        drop(graph);
        let port: Port<Next<K, R>> = Port::default();
        let (span, retention) = (windows.span(), windows.retention());
        let plan = Plan { kind, span, retention, emit_interval, types, names, stores };
        // Sides of two builders have no common graph: the build fails anyway.
        let node = if same { this.add_join_nodes(&other, plan, Arc::new(joiner), port.clone()) } else { this.node };
        KStream::new(self.graph.clone(), node, port, Serdes::new(key, None))
    }

    /// Adds the node that keeps this stream's records in the store of `spec`; answers it and what is below it.
    fn add_keep(&self, name: &Arc<str>, spec: &StoreSpec, serdes: (&SerdeRef<K>, &SerdeRef<V>)) -> Upstream<K, V> {
        let kind = Kind::Processor { name: name.clone(), stores: vec![spec.clone()] };
        let node = self.graph.lock().add(kind, &[self.node]);
        let (key, value) = (serdes.0.clone(), serdes.1.clone());
        let settings = Arc::new(KeepSettings { node: name.clone(), key, value });
        let port: Port<Next<K, V>> = Port::default();
        let (below, store) = (port.clone(), spec.name.clone());
        self.below(node, move |chain| {
            let down = Children::new(below.build(chain));
            let store = chain.window_store(&store, &settings.key, &settings.value);
            Keep::new(settings.clone(), store, down)
        });
        (node, port)
    }

    fn add_join_nodes<W: 'static, R: 'static>(
        &self,
        other: &KStream<K, W>,
        plan: Plan<K, V, W>,
        joiner: Arc<impl Joiner<K, V, W, R> + Send + Sync + 'static>,
        port: Port<Next<K, R>>,
    ) -> NodeId {
        let Plan { names, stores, types, .. } = &plan;
        let (keep_this, from_this) = self.add_keep(&names.keep_this, &stores.this, (&types.key, &types.left));
        let (keep_other, from_other) = other.add_keep(&names.keep_other, &stores.other, (&types.key, &types.right));
        let keep = [keep_this, keep_other];
        let mut graph = self.graph.lock();
        let (sides, merge) = add_sides(&mut graph, &plan, keep, other.node);
        let single = graph.settings.optimization.single_store_self_join.then(|| {
            let single = graph.add(Kind::Processor { name: names.merge.clone(), stores: Vec::new() }, &[keep_this]);
            graph.connect(single, [stores.this.name.clone()]);
            graph.may_join_itself(SelfJoin { keep, sides, merge, single });
            single
        });
        drop(graph);

        if let Some(single) = single {
            from_this.add(single, one_store(&plan, joiner.clone(), port.clone()));
        }
        let merged = Merged { node: merge, tracker: names.this.clone(), shared: stores.shared_name(), port };
        let for_right = joiner.clone();
        let in_order = move |key: &K, left: Option<&V>, right: Option<&W>| joiner(key, left, right);
        let reversed = move |key: &K, right: Option<&W>, left: Option<&V>| for_right(key, left, right);
        let settings = side(&plan, true, (types.left.clone(), types.right.clone()), in_order);
        let left = Side { settings, store: stores.other.name.clone(), merged: merged.clone() };
        let settings = side(&plan, false, (types.right.clone(), types.left.clone()), reversed);
        let right = Side { settings, store: stores.this.name.clone(), merged };
        from_this.add(sides[0], Arc::new(move |chain| left.build(chain)));
        from_other.add(sides[1], Arc::new(move |chain| right.build(chain)));
        merge
    }
}

/// Adds the nodes of both sides below those that keep their records, and the one below both.
fn add_sides<K, V, W>(
    graph: &mut Graph,
    plan: &Plan<K, V, W>,
    keep: [NodeId; 2],
    other: NodeId,
) -> ([NodeId; 2], NodeId) {
    let Plan { names, stores, .. } = plan;
    let kind = Kind::Processor { name: names.this.clone(), stores: stores.shared.iter().cloned().collect() };
    let join_this = graph.add(kind, &keep[..1]);
    graph.connect(join_this, [stores.other.name.clone()]);
    graph.copartition(join_this, other);
    let join_other = graph.add(Kind::Processor { name: names.other.clone(), stores: Vec::new() }, &keep[1..]);
    graph.connect(join_other, std::iter::once(stores.this.name.clone()).chain(stores.shared_name()));
    let sides = [join_this, join_other];
    let merge = graph.add(Kind::Processor { name: names.merge.clone(), stores: Vec::new() }, &sides);
    if plan.kind.left_outer() {
        sides.into_iter().for_each(|side| graph.take_null_keys(side));
    }
    (sides, merge)
}

/// The node that a join of a stream with itself is on one store.
fn one_store<K: 'static, V: 'static, W: 'static, R: 'static>(
    plan: &Plan<K, V, W>,
    joiner: Arc<impl Joiner<K, V, W, R> + Send + Sync + 'static>,
    port: Port<Next<K, R>>,
) -> Factory<Next<K, V>> {
    let Plan { names, stores, types, span, retention, .. } = plan;
    let settings = Arc::new(OneStoreSettings {
        node: names.merge.clone(),
        span: *span,
        retention: *retention,
        key: types.key.clone(),
        value: types.left.clone(),
        joiner: move |key: &K, left: Option<&V>, right: Option<&W>| joiner(key, left, right),
    });
    let store = stores.this.name.clone();
    Arc::new(move |chain| {
        let down = Children::new(port.build(chain));
        let store = chain.window_store(&store, &settings.key, &settings.value);
        let slot = chain.time_slot(&settings.node);
        let join = OneStoreJoin::<K, V, W, R, _>::new(settings.clone(), store, slot, down);
        Rc::new(RefCell::new(join)) as Next<K, V>
    })
}

/// The settings of one side.
fn side<K, V, W, A, B, J>(
    plan: &Plan<K, V, W>,
    left: bool,
    (this, other): (SerdeRef<A>, SerdeRef<B>),
    joiner: J,
) -> Arc<SideSettings<K, A, B, J>> {
    let Plan { kind, span, emit_interval, names, types, .. } = plan;
    Arc::new(SideSettings {
        node: if left { names.this.clone() } else { names.other.clone() },
        left,
        outer: if left { kind.left_outer() } else { kind.right_outer() },
        span: if left { *span } else { span.reversed() },
        emit_interval: *emit_interval,
        key: types.key.clone(),
        this,
        other,
        joiner,
    })
}

/// What both sides of a join lead to, and share.
struct Merged<K, R> {
    node: NodeId,
    /// The name of the shared times.
    tracker: Arc<str>,
    /// The name of the shared store.
    shared: Option<Arc<str>>,
    port: Port<Next<K, R>>,
}

impl<K, R> Clone for Merged<K, R> {
    fn clone(&self) -> Self {
        let Self { node, tracker, shared, port } = self;
        Self { node: *node, tracker: tracker.clone(), shared: shared.clone(), port: port.clone() }
    }
}

/// The parts of a chain that both sides of a join use.
struct Common<K, R> {
    tracker: Tracker,
    down: Next<K, R>,
}

impl<K, R> Clone for Common<K, R> {
    fn clone(&self) -> Self {
        Self { tracker: self.tracker, down: self.down.clone() }
    }
}

/// One side of a join, to be built.
struct Side<K, A, B, R, J> {
    settings: Arc<SideSettings<K, A, B, J>>,
    /// Where the other side's records are.
    store: Arc<str>,
    merged: Merged<K, R>,
}

impl<K, A, B, R, J> Side<K, A, B, R, J>
where
    K: 'static,
    A: 'static,
    B: 'static,
    R: 'static,
    J: Joiner<K, A, B, R> + 'static,
{
    fn build(&self, chain: &mut ChainBuilder<'_>) -> Next<K, A> {
        let Merged { node, tracker, shared, port } = &self.merged;
        let common = chain.once(*node, |chain| {
            let tracker = Tracker::new(chain, tracker);
            let below = Children::new(port.build(chain));
            Common { tracker, down: Rc::new(RefCell::new(Pass::new(below))) as Next<K, R> }
        });
        let waiting = shared.as_ref().map(|name| {
            let (id, spec) = chain.store(name);
            Waiting::new(id, spec)
        });
        let other = chain.window_store(&self.store, &self.settings.key, &self.settings.other);
        let stores = SideStores { other, waiting, tracker: common.tracker };
        Rc::new(RefCell::new(SideJoin::new(self.settings.clone(), stores, Children::new([common.down]))))
    }
}
