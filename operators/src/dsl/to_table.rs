//! Streams as tables.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::serdes::{DefaultSerde, SerdeRef};
use millstream_state::store::StoreSpec;

use super::materialize::Materialized;
use super::old_values::OldValues;
use super::serdes::{Serdes, required};
use super::settings::Repartitioned;
use super::stream::KStream;
use super::table::KTable;
use super::view::View;
use crate::ops::table_source::Kept;
use crate::ops::to_table::{ToTable, ToTableSettings};
use crate::push::{Next, NextApply, TableChildren};
use crate::topology::graph::{Keep, Kind, NodeId, Shared};
use crate::topology::names;
use crate::topology::port::Port;

impl<K: DefaultSerde, V: DefaultSerde + Clone> KStream<K, Option<V>> {
    /// The records as changes of a table (Kafka Streams: `toTable`): a null value deletes its key, records with a null key
    /// are dropped and counted. If an operator above may have changed the key, they go through a repartition topic first.
    /// The table is kept in a store only if something below needs it; [`KStream::to_table_with`] names the store.
    ///
    /// ```
    /// # use millstream_operators::dsl::{Materialized, StreamsBuilder};
    /// # let builder = StreamsBuilder::new();
    /// let readings = builder.stream::<String, Option<i64>>("readings");
    /// readings.to_table().filter(|_, reading| *reading > 100).to_stream().to("high");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn to_table(&self) -> KTable<K, V> {
        self.to_table_with(Materialized::default())
    }

    /// As [`KStream::to_table`]; if `materialized` has a name, the table is kept in a store of that name.
    pub fn to_table_with(&self, materialized: Materialized<K, V>) -> KTable<K, V> {
        let own = (K::serde(), V::serde());
        self.as_table(materialized, own, Some(<Option<V> as DefaultSerde>::serde()), Clone::clone)
    }
}

impl<K: DefaultSerde, V: DefaultSerde + Clone> KStream<K, V> {
    /// As [`KStream::to_table`], for a stream whose values have no null of their own: keys are never deleted, unless the
    /// serde says that a value stands for null.
    ///
    /// ```
    /// # use millstream_operators::dsl::{Materialized, StreamsBuilder};
    /// # let builder = StreamsBuilder::new();
    /// let orders = builder.stream::<String, i64>("orders");
    /// orders.values_to_table().to_stream().to("latest");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn values_to_table(&self) -> KTable<K, V> {
        self.values_to_table_with(Materialized::default())
    }

    /// As [`KStream::values_to_table`]; if `materialized` has a name, the table is kept in a store of that name.
    pub fn values_to_table_with(&self, materialized: Materialized<K, V>) -> KTable<K, V> {
        self.as_table(materialized, (K::serde(), V::serde()), Some(V::serde()), |value: &V| Some(value.clone()))
    }
}

impl<K: 'static, R: 'static> KStream<K, R> {
    fn as_table<V: 'static>(
        &self,
        materialized: Materialized<K, V>,
        own: (SerdeRef<K>, SerdeRef<V>),
        record: Option<SerdeRef<R>>,
        of: impl Fn(&R) -> Option<V> + Send + Sync + 'static,
    ) -> KTable<K, V> {
        let mut graph = self.graph.lock();
        let name = graph.names.node(&self.next_name, names::TO_TABLE);
        let store = materialized.store_name(&mut graph.names, names::TO_TABLE);
        let key = materialized.serdes.key.clone().or_else(|| self.serdes.key.clone()).or(Some(own.0));
        let key = required(key, &mut graph, &name, "key");
        let value = materialized.serdes.value.clone().unwrap_or(own.1);
        let kept = Keep::new(materialized.is_named());
        let spec = materialized.key_value(store.clone(), &graph.settings);
        let versioned = materialized.is_versioned();
        let (mut parent, mut upstream) = (self.node, self.port.clone());
        if self.rekeyed {
            let names = graph.names.repartition(&name);
            let serdes = Serdes::new(Some(key.clone()), self.serdes.value.clone().or(record));
            drop(graph);
            (parent, upstream) = self.through(&names, serdes, Repartitioned::known());
            graph = self.graph.lock();
        }
        drop(graph);
        let node = Node { name, store, spec, kept, versioned };
        add(&self.graph, (parent, upstream), node, Arc::new(ToTableSettings { key, value, of }))
    }
}

/// A table node that is to be added.
struct Node {
    name: Arc<str>,
    store: Arc<str>,
    spec: StoreSpec,
    kept: Keep,
    versioned: bool,
}

/// Adds the table that a foreign-key join results in: it is kept if it has a name, or something below needs it.
pub(super) fn keep_result<K: 'static, U: Clone + 'static>(
    shared: &Shared,
    upstream: (NodeId, Port<Next<K, Option<U>>>),
    (name, key, value): (Arc<str>, SerdeRef<K>, SerdeRef<U>),
    materialized: Materialized<K, U>,
) -> KTable<K, U> {
    let mut graph = shared.lock();
    let store = materialized.store_name(&mut graph.names, names::FK_OUTPUT);
    let spec = materialized.key_value(store.clone(), &graph.settings);
    drop(graph);
    let (kept, versioned) = (Keep::new(materialized.is_named()), materialized.is_versioned());
    let key = materialized.serdes.key.clone().unwrap_or(key);
    let value = materialized.serdes.value.clone().unwrap_or(value);
    let settings = Arc::new(ToTableSettings { key, value, of: |value: &Option<U>| value.clone() });
    add(shared, upstream, Node { name, store, spec, kept, versioned }, settings)
}

fn add<K: 'static, R: 'static, V: 'static, F: Fn(&R) -> Option<V> + Send + Sync + 'static>(
    shared: &Shared,
    (parent, upstream): (NodeId, Port<Next<K, R>>),
    Node { name, store, spec, kept, versioned }: Node,
    settings: Arc<ToTableSettings<K, V, F>>,
) -> KTable<K, V> {
    let kind = Kind::Keeper { name: name.clone(), store: spec, kept: kept.clone() };
    let node = shared.lock().add(kind, &[parent]);
    let old = OldValues::source(kept.clone());
    let port: Port<NextApply<K, V>> = Port::default();
    let (key, value) = (settings.key.clone(), settings.value.clone());
    let view = View::stored(store.clone(), (key.clone(), value.clone()), Some(kept));
    let (below, asked) = (port.clone(), old.clone());
    upstream.add(
        node,
        Arc::new(move |chain| {
            let down = Rc::new(TableChildren::new(below.build(chain)));
            let kept = chain.has_store(&store).then(|| {
                let (id, _) = chain.store(&store);
                let store = chain.key_value(&store, &settings.key, &settings.value);
                let kept = Rc::new(RefCell::new(Kept::new(name.clone(), store, asked.asked(), down.clone())));
                chain.stateful(id, kept.clone());
                kept
            });
            Rc::new(RefCell::new(ToTable::new(settings.clone(), kept, down))) as Next<K, R>
        }),
    );
    let serdes = Serdes::new(Some(key), Some(value));
    KTable::new(shared.clone(), node, port, serdes, old).seen_by(view).with_versions(versioned)
}
