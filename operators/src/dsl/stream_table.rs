//! Joins of a stream with a table.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_state::serdes::DefaultSerde;
use millstream_state::store::{Changelog, Persistence, StoreKind, StoreSpec};

use super::builder::check_same_builder;
use super::joined::Joined;
use super::serdes::Serdes;
use super::stream::KStream;
use super::table::KTable;
use super::time_windows::millis;
use crate::error::BuildError;
use crate::ops::grace_join::{GraceJoin, Held, HoldSettings};
use crate::ops::lookup::Sees;
use crate::ops::stream_table_join::{StreamTableJoin, StreamTableSettings};
use crate::push::{Children, Next};
use crate::topology::chain::ChainBuilder;
use crate::topology::graph::{Graph, Kind};
use crate::topology::names;
use crate::topology::port::Port;

impl<K: 'static, V: 'static> KStream<K, V> {
    /// Joins each record with the value that the table has for its key at that moment (Kafka Streams: `join` with a
    /// `KTable`). Only records of the stream have results; a record whose key the table does not have has none.
    ///
    /// The result has the key, the timestamp and the headers of the stream's record. Records with a null key or a null
    /// value are dropped and counted. A table that keeps versions is asked as of the record's timestamp, however late the
    /// record is. If the key of the stream may have changed, it goes through a repartition topic first; the topics of
    /// both sides must have equal partition counts.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// let builder = StreamsBuilder::new();
    /// let prices = builder.table::<String, i64>("prices");
    /// let orders = builder.stream::<String, i64>("orders");
    /// orders.join_table(&prices, |n, price| n * price).to("sums");
    /// assert!(builder.build()?.describe().contains("KSTREAM-JOIN-"));
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    /// Both sides have the same type of key:
    /// ```compile_fail
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// let builder = StreamsBuilder::new();
    /// let prices = builder.table::<i64, i64>("prices");
    /// builder.stream::<String, i64>("orders").join_table(&prices, |n, price| n * price).to("sums");
    /// ```
    pub fn join_table<W: 'static, R: 'static>(
        &self,
        table: &KTable<K, W>,
        joiner: impl Fn(&V, &W) -> R + Send + Sync + 'static,
    ) -> KStream<K, R>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.join_table_with(table, move |_, value, other| joiner(value, other), Joined::new())
    }

    /// As [`KStream::join_table`], with settings, and the joiner sees the key. With a
    /// [grace period](Joined::grace_period) records wait until the table has caught up.
    pub fn join_table_with<W: 'static, R: 'static>(
        &self,
        table: &KTable<K, W>,
        joiner: impl Fn(&K, &V, &W) -> R + Send + Sync + 'static,
        joined: Joined<K, V>,
    ) -> KStream<K, R> {
        let joiner = move |key: &K, value: &V, other: Option<&W>| other.map(|other| joiner(key, value, other));
        self.add_table_join(table, false, joiner, joined)
    }

    /// Joins each record with the value that the table has for its key, or with `None` (Kafka Streams: `leftJoin` with a
    /// `KTable`). As [`KStream::join_table`], and every record with a value has a result, those with a null key too.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// let builder = StreamsBuilder::new();
    /// let names = builder.table::<String, String>("names");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let greet = |page: &String, name: Option<&String>| format!("{page}: {}", name.map_or("?", |name| name));
    /// clicks.left_join_table(&names, greet).to("greetings");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn left_join_table<W: 'static, R: 'static>(
        &self,
        table: &KTable<K, W>,
        joiner: impl Fn(&V, Option<&W>) -> R + Send + Sync + 'static,
    ) -> KStream<K, R>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.left_join_table_with(table, move |_, value, other| joiner(value, other), Joined::new())
    }

    /// As [`KStream::left_join_table`], with settings, and the joiner sees the key. With a
    /// [grace period](Joined::grace_period) records wait until the table has caught up; a null key is an error then.
    pub fn left_join_table_with<W: 'static, R: 'static>(
        &self,
        table: &KTable<K, W>,
        joiner: impl Fn(&K, &V, Option<&W>) -> R + Send + Sync + 'static,
        joined: Joined<K, V>,
    ) -> KStream<K, R> {
        let joiner = move |key: &K, value: &V, other: Option<&W>| Some(joiner(key, value, other));
        self.add_table_join(table, true, joiner, joined)
    }

    fn add_table_join<W: 'static, R: 'static>(
        &self,
        table: &KTable<K, W>,
        left: bool,
        joiner: impl Fn(&K, &V, Option<&W>) -> Option<R> + Send + Sync + 'static,
        joined: Joined<K, V>,
    ) -> KStream<K, R> {
        let joined = joined.or_name(&self.next_name);
        let serdes = joined.serdes_over(self.serdes.clone());
        let stream = self.for_join(&joined.name, serdes.clone());
        let mut graph = self.graph.lock();
        let prefix = if left { names::LEFT_JOIN } else { names::JOIN };
        let name = graph.names.node(&joined.name, prefix);
        let buffer = joined.grace.map(|_| buffer(&name));
        let kind = Kind::Processor { name: name.clone(), stores: buffer.iter().cloned().collect() };
        let node = graph.add(kind, &[stream.node]);
        let same = self.graph.same(&table.graph);
        check_same_builder(&mut graph, same, &name);
        if same {
            let stores = table.view.require(&mut graph);
            if let Some(grace) = joined.grace {
                check_grace(&mut graph, &name, millis(grace), &stores);
            }
            graph.connect(node, stores);
            graph.copartition(node, table.node);
        }
        if left {
            graph.take_null_keys(node);
        }
        let hold = buffer.map(|buffer| {
            let (key, value) = serdes.clone().required(&mut graph, &name);
            let grace = joined.grace.map_or(0, millis);
            Arc::new(HoldSettings { node: name.clone(), store: buffer.name, grace, key, value })
        });
        drop(graph);
        let Serdes { key, value } = serdes.clone();
        let settings = Arc::new(StreamTableSettings { node: name, key, value, left, joiner });
        let port: Port<Next<K, R>> = Port::default();
        let (below, view) = (port.clone(), table.view.clone());
        let make = move |chain: &mut ChainBuilder<'_>| {
            let down = Children::new(below.build(chain));
            StreamTableJoin::new(settings.clone(), view.lookup(chain, &settings.node, Sees::Newest), down)
        };
        match hold {
            None => stream.below(node, make),
            Some(hold) => stream.below(node, move |chain| {
                let join = make(chain);
                GraceJoin::new(join, Held::new(hold.clone(), chain))
            }),
        }
        KStream::new(self.graph.clone(), node, port, Serdes::new(serdes.key, None))
    }
}

/// The store of the records that the join of this name holds back.
fn buffer(name: &str) -> StoreSpec {
    StoreSpec {
        name: format!("{name}-Buffer").into(),
        kind: StoreKind::KeyValue,
        persistence: Persistence::Durable,
        changelog: Changelog::Topic(BTreeMap::new()),
        cached: false,
        headers: false,
    }
}

/// A record that waits is joined as of its own time: the table must still know what it had then.
fn check_grace(graph: &mut Graph, node: &str, grace: i64, stores: &[Arc<str>]) {
    for store in stores {
        let kept = graph.store(store).and_then(|spec| match spec.kind {
            StoreKind::VersionedKeyValue(shape) => Some(shape.history_retention),
            _ => None,
        });
        let reason = match kept {
            Some(kept) if kept >= grace => continue,
            Some(kept) => {
                format!("its grace period of {grace} ms is longer than table {store} keeps versions ({kept} ms)")
            }
            None => format!("a grace period needs a table that keeps versions, and {store} keeps none"),
        };
        graph.fail(BuildError::BadSetting { node: node.to_owned(), reason });
    }
}
