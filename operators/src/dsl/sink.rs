//! Where streams end: topics.

use std::sync::Arc;

use millstream_state::model::RecordContext;
use millstream_state::serdes::DefaultSerde;

use super::settings::Produced;
use super::stream::KStream;
use crate::ops::outlet::{Outlet, OutletSettings, TopicChooser};
use crate::topology::graph::{Kind, SinkTopic};
use crate::topology::names;

/// Chooses a topic per record (Kafka Streams' `TopicNameExtractor`). The topics must exist.
pub struct TopicExtractor<K, V> {
    name: Arc<str>,
    choose: TopicChooser<K, V>,
}

impl<K, V> TopicExtractor<K, V> {
    /// Chooses with a function of key, value and the context of the record being processed; `name` is what the
    /// description of the topology calls it.
    pub fn new<T: Into<Arc<str>>>(
        name: impl Into<Arc<str>>,
        choose: impl Fn(&K, &V, &RecordContext) -> T + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), choose: Arc::new(move |key, value, record| choose(key, value, record).into()) }
    }
}

impl<K: 'static, V: 'static> KStream<K, V> {
    /// Writes the records to a topic with their timestamps and headers (Kafka Streams: `to`). The topic must exist. What
    /// the serde says is null is written as null.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").to("out");
    /// assert!(builder.build()?.describe().contains("Sink: KSTREAM-SINK-0000000001 (topic: out)"));
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn to(&self, topic: impl Into<Arc<str>>)
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.to_with(topic, Produced::new());
    }

    /// As [`KStream::to`], with settings: serdes, a name, a partitioner.
    pub fn to_with(&self, topic: impl Into<Arc<str>>, produced: Produced<K, V>) {
        self.write(SinkTopic::Fixed(topic.into()), None, produced);
    }

    /// Writes each record to the topic that the extractor chooses (Kafka Streams: `to` with a `TopicNameExtractor`).
    ///
    /// ```
    /// # use millstream_operators::dsl::{StreamsBuilder, TopicExtractor};
    /// # let builder = StreamsBuilder::new();
    /// let by_size = TopicExtractor::new("BySize", |_, n: &i64, _| if *n < 10 { "small" } else { "large" });
    /// builder.stream::<String, i64>("in").to_extracted(by_size);
    /// assert!(builder.build()?.describe().contains("(extractor class: BySize)"));
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn to_extracted(&self, extractor: TopicExtractor<K, V>)
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.to_extracted_with(extractor, Produced::new());
    }

    /// As [`KStream::to_extracted`], with settings.
    pub fn to_extracted_with(&self, extractor: TopicExtractor<K, V>, produced: Produced<K, V>) {
        self.write(SinkTopic::Extracted(extractor.name), Some(extractor.choose), produced);
    }

    fn write(&self, topic: SinkTopic, choose: Option<TopicChooser<K, V>>, produced: Produced<K, V>) {
        let mut graph = self.graph.lock();
        let given = produced.name.clone().or_else(|| self.next_name.clone());
        let name = graph.names.node(&given, names::SINK);
        let (key, value) = produced.serdes_over(self.serdes.clone()).required(&mut graph, &name);
        // A partitioner that leaves a record to the hash leaves it to that of the whole key, as in Kafka Streams.
        let unhashed_suffix = if produced.partitioner.is_some() { 0 } else { key.unhashed_suffix() };
        let settings = Arc::new(OutletSettings {
            node: name.clone(),
            key,
            value,
            partitioner: produced.partitioner,
            topic: choose,
        });
        let node = graph.add(Kind::Sink { name, topic, unhashed_suffix }, &[self.node]);
        drop(graph);
        self.below(node, move |chain| Outlet::new(settings.clone(), chain.sink(&settings.node)));
    }
}
