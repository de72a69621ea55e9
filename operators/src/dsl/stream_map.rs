//! The operators of a stream that change keys, values, or both.

use std::sync::Arc;

use millstream_state::serdes::DefaultSerde;

use super::grouped::KGroupedStream;
use super::serdes::Serdes;
use super::settings::Grouped;
use super::stream::KStream;
use crate::ops::flat_map::FlatMap;
use crate::ops::flat_map_values::FlatMapValues;
use crate::ops::map::Map;
use crate::ops::map_values::MapValues;
use crate::ops::select_key::SelectKey;
use crate::topology::names;

impl<K: 'static, V: 'static> KStream<K, V> {
    fn key_only<U: 'static>(&self) -> Serdes<K, U> {
        Serdes::new(self.serdes.key.clone(), None)
    }

    /// Replaces key and value (Kafka Streams: `map`). Grouping by key afterwards goes through a repartition topic; use
    /// [`KStream::map_values`] where the key stays. Nulls are mapped like anything else.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").map(|key, n| (*n, key.to_uppercase())).to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn map<L, U>(&self, mapper: impl Fn(&K, &V) -> (L, U) + Send + Sync + 'static) -> KStream<L, U>
    where
        L: 'static,
        U: 'static,
    {
        let mapper = Arc::new(mapper);
        let mapped = self.attach(names::MAP, Serdes::default(), move |down| Map::new(mapper.clone(), down));
        mapped.with_new_key()
    }

    /// Replaces the value and keeps the key (Kafka Streams: `mapValues`). Nulls are mapped like anything else.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").map_values(|n| n + 1).to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn map_values<U: 'static>(&self, mapper: impl Fn(&V) -> U + Send + Sync + 'static) -> KStream<K, U> {
        self.map_values_with_key(move |_, value| mapper(value))
    }

    /// As [`KStream::map_values`], and the function sees the key.
    pub fn map_values_with_key<U>(&self, mapper: impl Fn(&K, &V) -> U + Send + Sync + 'static) -> KStream<K, U>
    where
        U: 'static,
    {
        let mapper = Arc::new(mapper);
        self.attach(names::MAP_VALUES, self.key_only(), move |down| MapValues::new(mapper.clone(), down))
    }

    /// Makes any number of records of each, one after the other (Kafka Streams: `flatMap`). They all have the record's
    /// timestamp and headers. Grouping by key afterwards goes through a repartition topic.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").flat_map(|key, n| vec![(key.clone(), *n), (key.clone(), -n)]).to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn flat_map<L, U, I>(&self, mapper: impl Fn(&K, &V) -> I + Send + Sync + 'static) -> KStream<L, U>
    where
        L: 'static,
        U: 'static,
        I: IntoIterator<Item = (L, U)> + 'static,
    {
        let mapper = Arc::new(mapper);
        let mapped = self.attach(names::FLAT_MAP, Serdes::default(), move |down| FlatMap::new(mapper.clone(), down));
        mapped.with_new_key()
    }

    /// Makes any number of records of each, all with its key, timestamp and headers (Kafka Streams: `flatMapValues`).
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// let lines = builder.stream::<String, String>("lines");
    /// lines.flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>()).to("words");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn flat_map_values<U, I>(&self, mapper: impl Fn(&V) -> I + Send + Sync + 'static) -> KStream<K, U>
    where
        U: 'static,
        I: IntoIterator<Item = U> + 'static,
    {
        self.flat_map_values_with_key(move |_, value| mapper(value))
    }

    /// As [`KStream::flat_map_values`], and the function sees the key.
    pub fn flat_map_values_with_key<U, I>(&self, mapper: impl Fn(&K, &V) -> I + Send + Sync + 'static) -> KStream<K, U>
    where
        U: 'static,
        I: IntoIterator<Item = U> + 'static,
    {
        let mapper = Arc::new(mapper);
        self.attach(names::FLAT_MAP_VALUES, self.key_only(), move |down| FlatMapValues::new(mapper.clone(), down))
    }

    /// Replaces the key (Kafka Streams: `selectKey`). Grouping by key afterwards goes through a repartition topic.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream::<String, String>("in").select_key(|_, value| value.len() as i64).to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn select_key<L: 'static>(&self, selector: impl Fn(&K, &V) -> L + Send + Sync + 'static) -> KStream<L, V> {
        let selector = Arc::new(selector);
        let serdes = Serdes::new(None, self.serdes.value.clone());
        let selected = self.attach(names::KEY_SELECT, serdes, move |down| SelectKey::new(selector.clone(), down));
        selected.with_new_key()
    }

    /// Groups the records by a new key (Kafka Streams: `groupBy`); they go through a repartition topic, and null keys are
    /// dropped on the way.
    ///
    /// ```
    /// # use millstream_operators::dsl::{Materialized, StreamsBuilder};
    /// # let builder = StreamsBuilder::new();
    /// let words = builder.stream::<String, String>("words");
    /// words.group_by(|_, word| word.clone()).count(Materialized::named("counts")).to_stream().to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn group_by<L>(&self, selector: impl Fn(&K, &V) -> L + Send + Sync + 'static) -> KGroupedStream<L, V>
    where
        L: DefaultSerde,
        V: DefaultSerde,
    {
        self.group_by_with(selector, Grouped::new())
    }

    /// As [`KStream::group_by`], with settings. The group's name is also that of the node that selects the key.
    pub fn group_by_with<L: 'static>(
        &self,
        selector: impl Fn(&K, &V) -> L + Send + Sync + 'static,
        grouped: Grouped<L, V>,
    ) -> KGroupedStream<L, V> {
        let grouped = grouped.or_name(&self.next_name);
        let named = Self { next_name: grouped.name.clone(), ..self.clone() };
        KGroupedStream::new(&named.select_key(selector), grouped)
    }
}
