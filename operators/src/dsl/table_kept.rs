//! `filter` and `map_values` of tables with a store for the result.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::serdes::{DefaultSerde, SerdeRef};

use super::materialize::Materialized;
use super::old_values::OldValues;
use super::serdes::{Serdes, required};
use super::table::KTable;
use super::view::View;
use crate::ops::table_kept::{KeptSettings, KeptShows, TableKept};
use crate::push::{NextApply, TableChildren};
use crate::topology::graph::Kind;
use crate::topology::names;
use crate::topology::port::Port;

/// Which changes a node with a store passes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Changes {
    /// All, also deletes of what it does not have.
    All,
    /// All, but once somebody asks for old values no deletes of what it does not have.
    Asked,
    /// No deletes of what it does not have.
    Real,
}

impl Changes {
    fn when(known: bool) -> Self {
        if known { Self::Real } else { Self::Asked }
    }

    fn only_real(self, asked: bool) -> bool {
        self == Self::Real || (self == Self::Asked && asked)
    }
}

/// What kind of node is to be added.
struct Plan<U> {
    prefix: &'static str,
    value: Option<SerdeRef<U>>,
    changes: Changes,
}

impl<K: 'static, V: 'static> KTable<K, V> {
    /// As [`KTable::filter`], and the result is kept in a store (Kafka Streams: `filter` with `Materialized`). Without a
    /// name for the store it is not kept.
    ///
    /// ```
    /// # use millstream_operators::dsl::{Materialized, StreamsBuilder};
    /// # let builder = StreamsBuilder::new();
    /// let stock = builder.table::<String, i64>("stock");
    /// stock.filter_with(|_, n| *n > 0, Materialized::named("available")).to_stream().to("out");
    /// assert_eq!(&*builder.build()?.sub_topologies()[0].spec().stores[0].name, "available");
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    #[must_use]
    pub fn filter_with(
        &self,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
        materialized: Materialized<K, V>,
    ) -> Self
    where
        V: Clone,
    {
        self.filter_kept(true, predicate, materialized)
    }

    /// As [`KTable::filter_not`], and the result is kept in a store; see [`KTable::filter_with`].
    #[must_use]
    pub fn filter_not_with(
        &self,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
        materialized: Materialized<K, V>,
    ) -> Self
    where
        V: Clone,
    {
        self.filter_kept(false, predicate, materialized)
    }

    fn filter_kept(
        &self,
        keep: bool,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
        materialized: Materialized<K, V>,
    ) -> Self
    where
        V: Clone,
    {
        if !materialized.is_named() {
            self.graph.lock().names.burn();
            return self.filter_as(keep, predicate);
        }
        let plan = Plan {
            prefix: names::TABLE_FILTER,
            value: self.serdes.value.clone(),
            // As without a store of its own: only a table that is kept above says that deletes are worth a look.
            changes: if self.versioned { Changes::All } else { Changes::when(self.old.ask()) },
        };
        self.keep(plan, move |key, value| (predicate(key, value) == keep).then(|| value.clone()), materialized)
    }

    /// As [`KTable::map_values`], and the result is kept in a store (Kafka Streams: `mapValues` with `Materialized`).
    /// Without a name for the store it is not kept.
    ///
    /// ```
    /// # use millstream_operators::dsl::{Materialized, StreamsBuilder};
    /// # let builder = StreamsBuilder::new();
    /// let cents = builder.table::<String, i64>("cents");
    /// cents.map_values_with(|n| *n as f64 / 100.0, Materialized::named("euros")).to_stream().to("euros");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn map_values_with<U: DefaultSerde>(
        &self,
        mapper: impl Fn(&V) -> U + Send + Sync + 'static,
        materialized: Materialized<K, U>,
    ) -> KTable<K, U> {
        self.filter_map_values_with(move |_, value| Some(mapper(value)), materialized)
    }

    /// As [`KTable::filter_map_values`], and the result is kept in a store; see [`KTable::map_values_with`].
    pub fn filter_map_values_with<U: DefaultSerde>(
        &self,
        mapper: impl Fn(&K, &V) -> Option<U> + Send + Sync + 'static,
        materialized: Materialized<K, U>,
    ) -> KTable<K, U> {
        if !materialized.is_named() {
            self.graph.lock().names.burn();
            return self.filter_map_values(mapper);
        }
        let plan = Plan { prefix: names::TABLE_MAP_VALUES, value: Some(U::serde()), changes: Changes::All };
        self.keep(plan, mapper, materialized)
    }

    fn keep<U: 'static>(
        &self,
        plan: Plan<U>,
        compute: impl Fn(&K, &V) -> Option<U> + Send + Sync + 'static,
        materialized: Materialized<K, U>,
    ) -> KTable<K, U> {
        let mut graph = self.graph.lock();
        let store = materialized.store_name(&mut graph.names, plan.prefix);
        let name = graph.names.node(&self.next_name, plan.prefix);
        let key = materialized.serdes.key.clone().or_else(|| self.serdes.key.clone());
        let key = required(key, &mut graph, &name, "key");
        let value = required(materialized.serdes.value.clone().or(plan.value), &mut graph, &name, "value");
        let spec = materialized.key_value(store.clone(), &graph.settings);
        let kind = Kind::Processor { name: name.clone(), stores: vec![spec] };
        let node = graph.add(kind, &[self.node]);
        drop(graph);
        let settings = Arc::new(KeptSettings { node: name, compute });
        let serdes = Serdes::new(Some(key.clone()), Some(value.clone()));
        let (port, old): (Port<NextApply<K, U>>, _) = (Port::default(), OldValues::stored());
        let (below, asked) = (port.clone(), old.clone());
        let (view, changes) = (View::stored(store.clone(), (key.clone(), value.clone()), None), plan.changes);
        self.port.add(
            node,
            Arc::new(move |chain| {
                let down = TableChildren::new(below.build(chain));
                let (id, _) = chain.store(&store);
                let store = chain.key_value(&store, &key, &value);
                let shows = KeptShows { old: asked.asked(), only_changes: changes.only_real(asked.asked()) };
                let node = Rc::new(RefCell::new(TableKept::new(settings.clone(), store, shows, down)));
                chain.stateful(id, node.clone());
                node as NextApply<K, V>
            }),
        );
        KTable::new(self.graph.clone(), node, port, serdes, old)
            .seen_by(view)
            .with_versions(materialized.is_versioned())
    }
}
