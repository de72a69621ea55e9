//! The operators of a stream whose functions may refuse a record.

use std::sync::Arc;

use millstream_state::error::BoxError;

use super::serdes::Serdes;
use super::stream::KStream;
use crate::ops::attempt::{Attempt, TryFilter, TryFlatMap, TryFlatMapValues, TryForEach};
use crate::push::{Children, Next, Process};
use crate::topology::graph::Kind;
use crate::topology::names;
use crate::topology::port::Port;

/// What a record that was refused comes to: what the configuration says (Kafka Streams'
/// `processing.exception.handler`). By default the task stops at the record, which is not lost; it can be skipped and
/// counted, or sent to a dead-letter topic with the error in its headers.
impl<K: 'static, V: 'static> KStream<K, V> {
    fn attempt<L, U, N, F>(
        &self,
        prefix: &str,
        serdes: Serdes<L, U>,
        function: F,
        make: impl Fn(Arc<Attempt<F>>, Children<L, U>) -> N + Send + Sync + 'static,
    ) -> KStream<L, U>
    where
        L: 'static,
        U: 'static,
        F: Send + Sync + 'static,
        N: Process<K, V> + 'static,
    {
        let mut graph = self.graph.lock();
        let name = graph.names.node(&self.next_name, prefix);
        let node = graph.add(Kind::Processor { name: name.clone(), stores: Vec::new() }, &[self.node]);
        drop(graph);
        let attempt = Arc::new(Attempt { node: name, function });
        let port: Port<Next<L, U>> = Port::default();
        let below = port.clone();
        self.below(node, move |chain| make(attempt.clone(), Children::new(below.build(chain))));
        KStream { rekeyed: self.rekeyed, ..KStream::new(self.graph.clone(), node, port, serdes) }
    }

    /// As [`KStream::map`], with a function that may refuse the record; the handler for refused records then says what
    /// follows. Other operators on the same stream still get it.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// let lines = builder.stream::<String, String>("lines");
    /// lines.try_map(|key, line| Ok::<_, std::num::ParseIntError>((key.clone(), line.parse::<i64>()?))).to("numbers");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn try_map<L, U, E>(
        &self,
        mapper: impl Fn(&K, &V) -> Result<(L, U), E> + Send + Sync + 'static,
    ) -> KStream<L, U>
    where
        L: 'static,
        U: 'static,
        E: Into<BoxError> + 'static,
    {
        let mapper = move |key: &K, value: &V| mapper(key, value).map(Some);
        let mapped = self.attempt(names::MAP, Serdes::default(), mapper, |attempt, down| TryFlatMap { attempt, down });
        KStream { rekeyed: true, ..mapped }
    }

    /// As [`KStream::map_values`], with a function that may refuse the record; see [`KStream::try_map`].
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream::<String, String>("lines").try_map_values(|line| line.parse::<i64>()).to("numbers");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn try_map_values<U, E>(&self, mapper: impl Fn(&V) -> Result<U, E> + Send + Sync + 'static) -> KStream<K, U>
    where
        U: 'static,
        E: Into<BoxError> + 'static,
    {
        self.try_map_values_with_key(move |_, value| mapper(value))
    }

    /// As [`KStream::try_map_values`], and the function sees the key.
    pub fn try_map_values_with_key<U, E>(
        &self,
        mapper: impl Fn(&K, &V) -> Result<U, E> + Send + Sync + 'static,
    ) -> KStream<K, U>
    where
        U: 'static,
        E: Into<BoxError> + 'static,
    {
        let serdes = Serdes::new(self.serdes.key.clone(), None);
        let mapper = move |key: &K, value: &V| mapper(key, value).map(Some);
        self.attempt(names::MAP_VALUES, serdes, mapper, |attempt, down| TryFlatMapValues { attempt, down })
    }

    /// As [`KStream::flat_map`], with a function that may refuse the record; see [`KStream::try_map`]. A refused record
    /// gives no records at all.
    pub fn try_flat_map<L, U, I, E>(
        &self,
        mapper: impl Fn(&K, &V) -> Result<I, E> + Send + Sync + 'static,
    ) -> KStream<L, U>
    where
        L: 'static,
        U: 'static,
        I: IntoIterator<Item = (L, U)> + 'static,
        E: Into<BoxError> + 'static,
    {
        let serdes = Serdes::default();
        let mapped = self.attempt(names::FLAT_MAP, serdes, mapper, |attempt, down| TryFlatMap { attempt, down });
        KStream { rekeyed: true, ..mapped }
    }

    /// As [`KStream::flat_map_values`], with a function that may refuse the record; see [`KStream::try_flat_map`].
    pub fn try_flat_map_values<U, I, E>(
        &self,
        mapper: impl Fn(&V) -> Result<I, E> + Send + Sync + 'static,
    ) -> KStream<K, U>
    where
        U: 'static,
        I: IntoIterator<Item = U> + 'static,
        E: Into<BoxError> + 'static,
    {
        let serdes = Serdes::new(self.serdes.key.clone(), None);
        let mapper = move |_: &K, value: &V| mapper(value);
        self.attempt(names::FLAT_MAP_VALUES, serdes, mapper, |attempt, down| TryFlatMapValues { attempt, down })
    }

    /// As [`KStream::select_key`], with a function that may refuse the record; see [`KStream::try_map`].
    pub fn try_select_key<L, E>(
        &self,
        selector: impl Fn(&K, &V) -> Result<L, E> + Send + Sync + 'static,
    ) -> KStream<L, V>
    where
        L: 'static,
        V: Clone,
        E: Into<BoxError> + 'static,
    {
        let serdes = Serdes::new(None, self.serdes.value.clone());
        let mapper = move |key: &K, value: &V| selector(key, value).map(|key| Some((key, value.clone())));
        let selected = self.attempt(names::KEY_SELECT, serdes, mapper, |attempt, down| TryFlatMap { attempt, down });
        KStream { rekeyed: true, ..selected }
    }

    /// As [`KStream::filter`], with a predicate that may refuse the record; see [`KStream::try_map`].
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// let lines = builder.stream::<String, String>("lines");
    /// lines.try_filter(|_, line| line.parse::<i64>().map(|number| number > 0)).to("positive");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn try_filter<E>(&self, predicate: impl Fn(&K, &V) -> Result<bool, E> + Send + Sync + 'static) -> Self
    where
        E: Into<BoxError> + 'static,
    {
        let serdes = self.serdes.clone();
        self.attempt(names::FILTER, serdes, predicate, |attempt, down| TryFilter { attempt, down })
    }

    /// As [`KStream::peek`], with a function that may refuse the record, which then goes no further; see
    /// [`KStream::try_map`].
    pub fn try_peek<E>(&self, look: impl Fn(&K, &V) -> Result<(), E> + Send + Sync + 'static) -> Self
    where
        E: Into<BoxError> + 'static,
    {
        let look = move |key: &K, value: &V| look(key, value).map(|()| true);
        self.attempt(names::PEEK, self.serdes.clone(), look, |attempt, down| TryFilter { attempt, down })
    }

    /// As [`KStream::for_each`], with a function that may refuse the record; see [`KStream::try_map`].
    pub fn try_for_each<E>(&self, action: impl Fn(&K, &V) -> Result<(), E> + Send + Sync + 'static)
    where
        E: Into<BoxError> + 'static,
    {
        let make = |attempt, _: Children<(), ()>| TryForEach { attempt };
        self.attempt(names::FOR_EACH, Serdes::default(), action, make);
    }
}
