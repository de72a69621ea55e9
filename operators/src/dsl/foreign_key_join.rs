//! Joins of tables by a key that is in the rows of one of them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::serdes::{DefaultSerde, SerdeRef, byte_vec, option};
use millstream_state::store::{Changelog, StoreKind, StoreSpec};

use super::builder::{check_same_builder, stream_inlet};
use super::old_values::OldValues;
use super::serdes::Serdes;
use super::table::KTable;
use super::table_joined::{KeyPartitioner, TableJoined};
use crate::foreign_key::{Response, Subscription, response, subscription};
use crate::ops::foreign_key::{Answer, Join, KeySerdes, Notify, Receive, Resolve, Subscribe, SubscribeSettings};
use crate::ops::inlet::{InletSettings, TimeSource};
use crate::ops::lookup::Sees;
use crate::ops::outlet::{Outlet, OutletSettings};
use crate::push::{Children, Next, NextApply};
use crate::topology::StoreFormat;
use crate::topology::graph::{Graph, Kind, NodeId, Shared};
use crate::topology::names::{self, Given};
use crate::topology::port::Port;

/// The names of a join's nodes, store and topics, in the order in which they take their numbers.
struct Names {
    registration: Arc<str>,
    subscribe: Arc<str>,
    registration_sink: Arc<str>,
    registration_source: Arc<str>,
    store: Arc<str>,
    receive: Arc<str>,
    answer: Arc<str>,
    notify: Arc<str>,
    response: Arc<str>,
    response_sink: Arc<str>,
    response_source: Arc<str>,
    resolve: Arc<str>,
    result: Arc<str>,
}

impl Names {
    fn take(given: &Given, graph: &mut Graph) -> Self {
        let names = &mut graph.names;
        let mut of = |suffix: &str, prefix: &str| names.suffixed(given, suffix, prefix);
        Self {
            registration: topic(&of("-subscription-registration", names::FK_REGISTRATION)),
            subscribe: of("-subscription-registration-processor", names::FK_REGISTRATION),
            registration_sink: of("-subscription-registration-sink", names::TABLE_SINK),
            registration_source: of("-subscription-registration-source", names::TABLE_SOURCE),
            store: of("-subscription-store", names::FK_STORE),
            receive: of("-subscription-receive", names::FK_PROCESSOR),
            answer: of("-subscription-join-foreign", names::FK_PROCESSOR),
            notify: of("-foreign-join-subscription", names::FK_PROCESSOR),
            response: topic(&of("-subscription-response", names::FK_RESPONSE)),
            response_sink: of("-subscription-response-sink", names::TABLE_SINK),
            response_source: of("-subscription-response-source", names::TABLE_SOURCE),
            resolve: of("-subscription-response-resolver", names::FK_RESOLVER),
            result: of("-result", names::FK_OUTPUT),
        }
    }
}

fn topic(name: &str) -> Arc<str> {
    format!("{name}-topic").into()
}

/// Serdes of all that is sent.
struct Wire<K, V, F, W> {
    key: SerdeRef<K>,
    value: SerdeRef<V>,
    foreign: SerdeRef<F>,
    foreign_value: SerdeRef<W>,
}

/// What the join is to be.
struct Plan<K, V, F, W, U, E> {
    extract: E,
    join: Join<V, W, U>,
    left: bool,
    how: TableJoined<K, F, U>,
    result: SerdeRef<U>,
}

type Subscribed<K, F> = Port<Next<Option<F>, Subscription<K>>>;
type Answered<K, W> = Port<Next<K, Response<W>>>;

impl<K: DefaultSerde + Clone, V: DefaultSerde> KTable<K, V> {
    /// The rows of this table, each with the row of the other table whose key the extractor finds in it; rows that have no
    /// such key (`None`) or for whose key the other table has nothing are not in the result (Kafka Streams:
    /// `KTable.join` with a foreign-key extractor). The result has the keys of this table; a change of either table
    /// changes it. Subscriptions and answers go through two topics of the application's own.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// let orders = builder.table::<i64, String>("orders");
    /// let customers = builder.table::<String, String>("customers");
    /// let customer = |_: &i64, order: &String| order.split(':').next().map(str::to_owned);
    /// let named = orders.join_on(&customers, customer, |order, name| format!("{order} by {name}"));
    /// named.to_stream().to("named-orders");
    /// assert_eq!(builder.build()?.sub_topologies().len(), 2);
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    /// The extractor must find a key of the other table:
    /// ```compile_fail
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// let orders = builder.table::<i64, String>("orders");
    /// let customers = builder.table::<i64, String>("customers");
    /// orders.join_on(&customers, |_, order| order.clone(), |order, name| format!("{order} by {name}"));
    /// ```
    pub fn join_on<F, W, U, R>(
        &self,
        other: &KTable<F, W>,
        extractor: impl Fn(&K, &V) -> R + Send + Sync + 'static,
        joiner: impl Fn(&V, &W) -> U + Send + Sync + 'static,
    ) -> KTable<K, U>
    where
        F: DefaultSerde,
        W: DefaultSerde + Clone,
        U: DefaultSerde + Clone,
        R: Into<Option<F>>,
    {
        self.join_on_with(other, extractor, joiner, TableJoined::default())
    }

    /// As [`KTable::join_on`], with settings: names, partitioners, how the result is kept.
    pub fn join_on_with<F, W, U, R>(
        &self,
        other: &KTable<F, W>,
        extractor: impl Fn(&K, &V) -> R + Send + Sync + 'static,
        joiner: impl Fn(&V, &W) -> U + Send + Sync + 'static,
        how: TableJoined<K, F, U>,
    ) -> KTable<K, U>
    where
        F: DefaultSerde,
        W: DefaultSerde + Clone,
        U: DefaultSerde + Clone,
        R: Into<Option<F>>,
    {
        let extract = move |key: &K, value: &V| extractor(key, value).into();
        let join: Join<V, W, U> = Arc::new(move |row, foreign| foreign.map(|foreign| joiner(row, foreign)));
        self.join_foreign(other, Plan { extract, join, left: false, how, result: U::serde() })
    }

    /// The rows of this table, each with the row of the other table whose key the extractor finds in it, if there is one
    /// (Kafka Streams: `KTable.leftJoin` with a foreign-key extractor); see [`KTable::join_on`].
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// let orders = builder.table::<i64, String>("orders");
    /// let customers = builder.table::<String, String>("customers");
    /// let customer = |_: &i64, order: &String| order.split(':').next().map(str::to_owned);
    /// orders.left_join_on(&customers, customer, |order, name| format!("{order} by {name:?}")).to_stream().to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn left_join_on<F, W, U, R>(
        &self,
        other: &KTable<F, W>,
        extractor: impl Fn(&K, &V) -> R + Send + Sync + 'static,
        joiner: impl Fn(&V, Option<&W>) -> U + Send + Sync + 'static,
    ) -> KTable<K, U>
    where
        F: DefaultSerde,
        W: DefaultSerde + Clone,
        U: DefaultSerde + Clone,
        R: Into<Option<F>>,
    {
        self.left_join_on_with(other, extractor, joiner, TableJoined::default())
    }

    /// As [`KTable::left_join_on`], with settings: names, partitioners, how the result is kept.
    pub fn left_join_on_with<F, W, U, R>(
        &self,
        other: &KTable<F, W>,
        extractor: impl Fn(&K, &V) -> R + Send + Sync + 'static,
        joiner: impl Fn(&V, Option<&W>) -> U + Send + Sync + 'static,
        how: TableJoined<K, F, U>,
    ) -> KTable<K, U>
    where
        F: DefaultSerde,
        W: DefaultSerde + Clone,
        U: DefaultSerde + Clone,
        R: Into<Option<F>>,
    {
        let extract = move |key: &K, value: &V| extractor(key, value).into();
        let join: Join<V, W, U> = Arc::new(move |row, foreign| Some(joiner(row, foreign)));
        self.join_foreign(other, Plan { extract, join, left: true, how, result: U::serde() })
    }

    fn join_foreign<F, W, U, E>(&self, other: &KTable<F, W>, plan: Plan<K, V, F, W, U, E>) -> KTable<K, U>
    where
        F: DefaultSerde,
        W: DefaultSerde + Clone,
        U: Clone + 'static,
        E: Fn(&K, &V) -> Option<F> + Send + Sync + 'static,
    {
        other.old.demand();
        self.old.demand();
        let given = plan.how.name.clone().or_else(|| self.next_name.clone());
        let mut graph = self.graph.lock();
        let names = Names::take(&given, &mut graph);
        let same = self.graph.same(&other.graph);
        check_same_builder(&mut graph, same, &names.subscribe);
        drop(graph);
        if !same {
            // The build fails; this table's graph must not get nodes of the other's.
            return KTable::new(self.graph.clone(), self.node, Port::default(), Serdes::default(), OldValues::stored());
        }
        let wire = Wire {
            key: self.serdes.key.clone().unwrap_or_else(K::serde),
            value: self.serdes.value.clone().unwrap_or_else(V::serde),
            foreign: other.serdes.key.clone().unwrap_or_else(F::serde),
            foreign_value: other.serdes.value.clone().unwrap_or_else(W::serde),
        };
        let Plan { extract, join, left, how, result } = plan;
        let TableJoined { partitioner, other_partitioner, materialized, .. } = how;
        let (versions, node) = (self.versioned, names.subscribe.clone());
        let (value, foreign) = (wire.value.clone(), wire.foreign.clone());
        let settings = Arc::new(SubscribeSettings { node, value, foreign, extract, left, versions });

        let registration = self.register(&names, &wire, settings, other_partitioner);
        let (receive, received) = subscriptions(&self.graph, &names, &wire, registration);
        let response = answers(other, &names, &wire, (receive, received), partitioner);
        let resolved = self.resolve(&names, &wire, response, join);
        self.graph.lock().copartition(receive, other.node);
        super::to_table::keep_result(&self.graph, resolved, (names.result, wire.key, result), materialized)
    }

    /// From the left table to the registration topic; answers the node that reads it.
    fn register<F: 'static, W: 'static, E>(
        &self,
        names: &Names,
        wire: &Wire<K, V, F, W>,
        settings: Arc<SubscribeSettings<V, F, E>>,
        partitioner: Option<KeyPartitioner<F>>,
    ) -> (NodeId, Subscribed<K, F>)
    where
        E: Fn(&K, &V) -> Option<F> + Send + Sync + 'static,
    {
        let mut graph = self.graph.lock();
        let kind = Kind::Processor { name: names.subscribe.clone(), stores: Vec::new() };
        let node = graph.add(kind, &[self.node]);
        drop(graph);
        let port: Subscribed<K, F> = Port::default();
        let below = port.clone();
        self.below(node, move |chain| Subscribe::new(settings.clone(), Children::new(below.build(chain))));
        let writer = OutletSettings {
            node: names.registration_sink.clone(),
            key: option(wire.foreign.clone()),
            value: subscription(wire.key.clone()),
            partitioner: partitioner.map(|choose| {
                Arc::new(move |key: &Option<F>, _: &Subscription<K>, count| {
                    key.as_ref().and_then(|key| choose(key, count))
                }) as crate::ops::outlet::Partitioner<Option<F>, Subscription<K>>
            }),
            topic: None,
        };
        let through = (names.registration.clone(), names.registration_source.clone());
        internal_topic(&self.graph, &[(node, port)], writer, through)
    }

    /// Below the response topic: what makes results of answers.
    fn resolve<F: 'static, W: 'static, U: 'static>(
        &self,
        names: &Names,
        wire: &Wire<K, V, F, W>,
        (parent, answered): (NodeId, Answered<K, W>),
        join: Join<V, W, U>,
    ) -> (NodeId, Port<Next<K, Option<U>>>) {
        let mut graph = self.graph.lock();
        let reads = self.view.require(&mut graph);
        let kind = Kind::Processor { name: names.resolve.clone(), stores: Vec::new() };
        let node = graph.add(kind, &[parent]);
        graph.connect(node, reads);
        graph.copartition(node, self.node);
        drop(graph);
        let port: Port<Next<K, Option<U>>> = Port::default();
        let (below, rows, name, value) = (port.clone(), self.view.clone(), names.resolve.clone(), wire.value.clone());
        answered.add(
            node,
            Arc::new(move |chain| {
                let rows = rows.lookup(chain, &name, Sees::HandedOn);
                let down = Children::new(below.build(chain));
                let resolve = Resolve::new((name.clone(), value.clone()), rows, join.clone(), down);
                Rc::new(RefCell::new(resolve)) as Next<K, Response<W>>
            }),
        );
        (node, port)
    }
}

/// Below the registration topic: the store of subscriptions.
fn subscriptions<K: Clone + 'static, V: 'static, F: 'static, W: 'static>(
    shared: &Shared,
    names: &Names,
    wire: &Wire<K, V, F, W>,
    (parent, registered): (NodeId, Subscribed<K, F>),
) -> (NodeId, Subscribed<K, F>) {
    let mut graph = shared.lock();
    let headers = graph.settings.dsl_store_format == StoreFormat::Headers;
    let store = StoreSpec {
        name: names.store.clone(),
        kind: StoreKind::TimestampedKeyValue,
        persistence: graph.settings.dsl_store,
        changelog: Changelog::Topic(Default::default()),
        cached: false,
        headers,
    };
    let node = graph.add(Kind::Processor { name: names.receive.clone(), stores: vec![store] }, &[parent]);
    drop(graph);
    let port: Subscribed<K, F> = Port::default();
    let (below, store, value) = (port.clone(), names.store.clone(), subscription(wire.key.clone()));
    let serdes = Arc::new(key_serdes(&names.receive, wire));
    registered.add(
        node,
        Arc::new(move |chain| {
            let store = chain.key_value(&store, &byte_vec(), &value);
            store.borrow_mut().keep_headers();
            let receive = Receive::new(serdes.clone(), store, Children::new(below.build(chain)));
            Rc::new(RefCell::new(receive)) as Next<Option<F>, Subscription<K>>
        }),
    );
    (node, port)
}

fn key_serdes<K, V, F, W>(node: &Arc<str>, wire: &Wire<K, V, F, W>) -> KeySerdes<K, F> {
    KeySerdes { node: node.clone(), primary: wire.key.clone(), foreign: wire.foreign.clone() }
}

/// From subscriptions and from the right table to the response topic; answers the node that reads it.
fn answers<K: Clone + 'static, V: 'static, F: 'static, W: Clone + 'static>(
    other: &KTable<F, W>,
    names: &Names,
    wire: &Wire<K, V, F, W>,
    (receive, received): (NodeId, Subscribed<K, F>),
    partitioner: Option<KeyPartitioner<K>>,
) -> (NodeId, Answered<K, W>) {
    let mut graph = other.graph.lock();
    let reads = other.view.require(&mut graph);
    let answer = graph.add(Kind::Processor { name: names.answer.clone(), stores: Vec::new() }, &[receive]);
    graph.connect(answer, reads);
    let notify = graph.add(Kind::Processor { name: names.notify.clone(), stores: Vec::new() }, &[other.node]);
    graph.connect(notify, [names.store.clone()]);
    drop(graph);

    let (from_answer, from_notify): (Answered<K, W>, Answered<K, W>) = (Port::default(), Port::default());
    let (below, foreign, name) = (from_answer.clone(), other.view.clone(), names.answer.clone());
    received.add(
        answer,
        Arc::new(move |chain| {
            let foreign = foreign.lookup(chain, &name, Sees::HandedOn);
            let node = Answer::new(foreign, Children::new(below.build(chain)));
            Rc::new(RefCell::new(node)) as Next<Option<F>, Subscription<K>>
        }),
    );
    let (below, store, versions) = (from_notify.clone(), names.store.clone(), other.versioned);
    let (value, serdes) = (subscription(wire.key.clone()), Arc::new(key_serdes(&names.notify, wire)));
    other.port.add(
        notify,
        Arc::new(move |chain| {
            let store = chain.key_value(&store, &byte_vec(), &value);
            let node = Notify::new(serdes.clone(), store, versions, Children::new(below.build(chain)));
            Rc::new(RefCell::new(node)) as NextApply<F, W>
        }),
    );
    let writer = OutletSettings {
        node: names.response_sink.clone(),
        key: wire.key.clone(),
        value: response(wire.foreign_value.clone()),
        partitioner: Some(match partitioner {
            Some(choose) => Arc::new(move |key: &K, _: &Response<W>, count| choose(key, count)),
            None => Arc::new(|_: &K, answer: &Response<W>, _| answer.primary_partition),
        }),
        topic: None,
    };
    let through = (names.response.clone(), names.response_source.clone());
    internal_topic(&other.graph, &[(answer, from_answer), (notify, from_notify)], writer, through)
}

/// Writes what comes from `above` to an internal topic and reads it again.
fn internal_topic<K: 'static, V: 'static>(
    shared: &Shared,
    above: &[(NodeId, Port<Next<K, V>>)],
    writer: OutletSettings<K, V>,
    (topic, source): (Arc<str>, Arc<str>),
) -> (NodeId, Port<Next<K, V>>) {
    let parents: Vec<NodeId> = above.iter().map(|(node, _)| *node).collect();
    let (key, value, name) = (writer.key.clone(), writer.value.clone(), writer.node.clone());
    let mut graph = shared.lock();
    let sink = graph.add(Kind::InternalSink { name, topic: topic.clone() }, &parents);
    let reader = InletSettings { node: source.clone(), key, value, time: TimeSource::Fail };
    let port: Port<Next<K, V>> = Port::default();
    let inlet = stream_inlet(Arc::new(reader), port.clone());
    let node = graph.add(Kind::InternalSource { name: source, topic, inlet }, &[sink]);
    drop(graph);
    let writer = Arc::new(writer);
    for (_, port) in above {
        let writer = writer.clone();
        port.add(
            sink,
            Arc::new(move |chain| {
                chain.once(sink, |chain| {
                    let outlet = Outlet::new(writer.clone(), chain.sink(&writer.node));
                    Rc::new(RefCell::new(outlet)) as Next<K, V>
                })
            }),
        );
    }
    (node, port)
}
