//! Tables: the last value of each key, and the operators on their changes.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::serdes::option;

use super::old_values::OldValues;
use super::serdes::Serdes;
use super::stream::KStream;
use super::view::View;
use crate::ops::table_filter::{FilterShows, TableFilter};
use crate::ops::table_map_values::TableMapValues;
use crate::ops::to_stream::ToStream;
use crate::push::{Apply, Children, Next, NextApply, TableChildren};
use crate::topology::chain::ChainBuilder;
use crate::topology::graph::{NodeId, Shared};
use crate::topology::names::{self, Given};
use crate::topology::port::Port;

/// A table: the last value of each key, seen as its changes (Kafka Streams' `KTable`). A handle, cheap to clone.
///
/// Values are never null; a null deletes the key.
pub struct KTable<K, V> {
    pub(super) graph: Shared,
    pub(super) node: NodeId,
    pub(super) port: Port<NextApply<K, V>>,
    pub(super) serdes: Serdes<K, V>,
    pub(super) old: OldValues,
    /// How joins look values up.
    pub(super) view: View<K, V>,
    /// Whether it keeps versions, or is computed from one that does: changes to the past are then none of now.
    pub(super) versioned: bool,
    pub(super) next_name: Given,
}

impl<K, V> Clone for KTable<K, V> {
    fn clone(&self) -> Self {
        Self {
            graph: self.graph.clone(),
            node: self.node,
            port: self.port.clone(),
            serdes: self.serdes.clone(),
            old: self.old.clone(),
            view: self.view.clone(),
            versioned: self.versioned,
            next_name: self.next_name.clone(),
        }
    }
}

impl<K: 'static, V: 'static> KTable<K, V> {
    pub(crate) fn new(
        graph: Shared,
        node: NodeId,
        port: Port<NextApply<K, V>>,
        serdes: Serdes<K, V>,
        old: OldValues,
    ) -> Self {
        Self { graph, node, port, serdes, old, view: View::none(node), versioned: false, next_name: None }
    }

    /// Says how joins look values up; without it the table cannot be joined with.
    pub(crate) fn seen_by(self, view: View<K, V>) -> Self {
        Self { view, ..self }
    }

    /// Says whether it keeps versions.
    pub(crate) fn with_versions(self, versioned: bool) -> Self {
        Self { versioned, ..self }
    }

    pub(super) fn below<N: Apply<K, V> + 'static>(
        &self,
        node: NodeId,
        make: impl Fn(&mut ChainBuilder<'_>) -> N + Send + Sync + 'static,
    ) {
        self.port.add(node, Arc::new(move |chain| Rc::new(RefCell::new(make(chain))) as NextApply<K, V>));
    }

    /// Adds an operator whose result is a table too.
    fn attach<U: 'static, N: Apply<K, V> + 'static>(
        &self,
        prefix: &str,
        value: Serdes<K, U>,
        old: OldValues,
        make: impl Fn(TableChildren<K, U>) -> N + Send + Sync + 'static,
    ) -> KTable<K, U> {
        let node = self.graph.lock().add_processor(&self.next_name, prefix, &[self.node]);
        let port: Port<NextApply<K, U>> = Port::default();
        let down = port.clone();
        self.below(node, move |chain| make(TableChildren::new(down.build(chain))));
        KTable::new(self.graph.clone(), node, port, value, old).with_versions(self.versioned)
    }

    /// Gives the next operator that is added through this handle a name.
    #[must_use]
    pub fn named(&self, name: impl Into<Arc<str>>) -> Self {
        Self { next_name: Some(name.into()), ..self.clone() }
    }

    /// The changes of the table as a stream; a delete is `None` (Kafka Streams: `toStream`). Serdes stay.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// builder.table::<String, i64>("in").to_stream().filter(|_, n| n.is_some()).to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn to_stream(&self) -> KStream<K, Option<V>> {
        let node = self.graph.lock().add_processor(&self.next_name, names::TO_STREAM, &[self.node]);
        let port: Port<Next<K, Option<V>>> = Port::default();
        let below = port.clone();
        self.below(node, move |chain| ToStream::new(Children::new(below.build(chain))));
        let serdes = Serdes::new(self.serdes.key.clone(), self.serdes.value.clone().map(option));
        KStream::new(self.graph.clone(), node, port, serdes)
    }

    /// The changes of the table as a stream with another key (Kafka Streams: `toStream` with a mapper).
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// let prices = builder.table::<String, i64>("prices");
    /// prices.to_stream_with_key(|key, price| format!("{key}:{}", price.is_some())).to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn to_stream_with_key<L: 'static>(
        &self,
        selector: impl Fn(&K, &Option<V>) -> L + Send + Sync + 'static,
    ) -> KStream<L, Option<V>> {
        self.to_stream().select_key(selector)
    }

    pub(super) fn filter_as(&self, keep: bool, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        // Where the table above is kept anyway, its old values spare the nodes below deletes of what they never saw.
        let old = OldValues::above(&self.old);
        old.ask();
        let (asked, versioned) = (old.clone(), self.versioned);
        let predicate = Arc::new(predicate);
        let wanted = predicate.clone();
        let view = self.view.computed(move |key: &K, value: &V, seen| {
            seen(Some(value).filter(|value| wanted(key, value) == keep));
        });
        let filtered = self.attach(names::TABLE_FILTER, self.serdes.clone(), old, move |down| {
            let shows = FilterShows { keep, old: asked.asked(), versions: versioned };
            TableFilter::new(predicate.clone(), shows, down)
        });
        filtered.seen_by(view)
    }

    /// The table of the values that the predicate wants (Kafka Streams: `filter`). A value that it does not want is passed
    /// on as a delete, unless the table above is kept in a store and its old value was not wanted either. The predicate is
    /// not asked about deletes.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// builder.table::<String, i64>("stock").filter(|_, n| *n > 0).to_stream().to("available");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    #[must_use]
    pub fn filter(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        self.filter_as(true, predicate)
    }

    /// The table of the values that the predicate does not want (Kafka Streams: `filterNot`); see [`KTable::filter`].
    #[must_use]
    pub fn filter_not(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        self.filter_as(false, predicate)
    }

    /// Replaces the values (Kafka Streams: `mapValues`). Deletes are passed on without a call.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// builder.table::<String, i64>("cents").map_values(|n| *n as f64 / 100.0).to_stream().to("euros");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn map_values<U: 'static>(&self, mapper: impl Fn(&V) -> U + Send + Sync + 'static) -> KTable<K, U> {
        self.filter_map_values(move |_, value| Some(mapper(value)))
    }

    /// As [`KTable::map_values`], and the function sees the key.
    pub fn map_values_with_key<U>(&self, mapper: impl Fn(&K, &V) -> U + Send + Sync + 'static) -> KTable<K, U>
    where
        U: 'static,
    {
        self.filter_map_values(move |key, value| Some(mapper(key, value)))
    }

    /// Replaces the values, or deletes them where the function answers `None` (Kafka Streams: `mapValues` with a mapper
    /// that may give null).
    pub fn filter_map_values<U>(&self, mapper: impl Fn(&K, &V) -> Option<U> + Send + Sync + 'static) -> KTable<K, U>
    where
        U: 'static,
    {
        let mapper = Arc::new(mapper);
        let old = OldValues::above(&self.old);
        let asked = old.clone();
        let serdes = Serdes::new(self.serdes.key.clone(), None);
        let computed = mapper.clone();
        let view = self.view.computed(move |key: &K, value: &V, seen| seen(computed(key, value).as_ref()));
        let mapped = self.attach(names::TABLE_MAP_VALUES, serdes, old, move |down| {
            TableMapValues::new(mapper.clone(), asked.asked(), down)
        });
        mapped.seen_by(view)
    }
}
