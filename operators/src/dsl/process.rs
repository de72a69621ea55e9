//! The Processor API inside the DSL: processors of your own between streams, and the stores they use.

use std::sync::Arc;

use super::builder::StreamsBuilder;
use super::serdes::Serdes;
use super::stream::KStream;
use crate::processor::node::ProcessorNode;
use crate::processor::{
    ConnectStores, FixedKey, FixedKeyProcessor, Opener, Processor, StoreBuilder, StoreHandle, StoreType,
};
use crate::push::Next;
use crate::topology::graph::{Kind, NodeId, Shared};
use crate::topology::names;
use crate::topology::port::Port;

impl StreamsBuilder {
    /// Adds a store for processors (Kafka Streams: `addStateStore`). The handle is what they are connected to it by; a
    /// store that no processor is connected to is not made.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # use millstream_operators::processor::Stores;
    /// let builder = StreamsBuilder::new();
    /// let seen = builder.add_state_store(Stores::key_value::<String, i64>("seen").caching(true));
    /// assert_eq!(seen.name(), "seen");
    /// ```
    pub fn add_state_store<S: StoreType>(&self, store: StoreBuilder<S>) -> StoreHandle<S> {
        add_state_store(&self.graph, store)
    }
}

/// Makes a store known to a graph.
pub(crate) fn add_state_store<S: StoreType>(graph: &Shared, store: StoreBuilder<S>) -> StoreHandle<S> {
    let (spec, serdes) = store.into_parts();
    let handle = StoreHandle::new(spec.name.clone(), serdes);
    graph.lock().declare(spec);
    handle
}

impl<K: 'static, V: 'static> KStream<K, V> {
    /// Hands the records to a processor of your own (Kafka Streams: `process`); see [`crate::processor`]. `stores` are the
    /// handles of the stores it uses: one, a tuple, or `()`. The supplier makes one processor per task of the opened
    /// stores.
    ///
    /// The processor may change the key, so that grouping by key afterwards goes through a repartition topic; use
    /// [`KStream::process_values`] where the key stays. Nulls are processed like anything else.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # use millstream_operators::processor::*;
    /// # use millstream_operators::push::Record;
    /// /// Passes a record on if its key was not seen before.
    /// struct Distinct(KeyValueStore<String, bool>);
    ///
    /// impl Processor<String, i64, String, i64> for Distinct {
    ///     fn process(&mut self, cx: &mut ProcessorContext<'_, String, i64>, r: Record<'_, String, i64>) -> Outcome {
    ///         if self.0.put_if_absent(cx, r.key, true)?.is_none() {
    ///             cx.forward(r)?;
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let builder = StreamsBuilder::new();
    /// let seen = builder.add_state_store(Stores::key_value::<String, bool>("seen"));
    /// builder.stream::<String, i64>("in").process(&seen, Distinct).to("distinct");
    /// assert!(builder.build()?.describe().contains("Processor: KSTREAM-PROCESSOR-0000000001 (stores: [seen])"));
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn process<S, P, L, U>(
        &self,
        stores: S,
        supplier: impl Fn(S::Opened) -> P + Send + Sync + 'static,
    ) -> KStream<L, U>
    where
        S: ConnectStores,
        P: Processor<K, V, L, U> + 'static,
        L: 'static,
        U: 'static,
    {
        let processed = self.add(names::PROCESSOR, Serdes::default(), stores, supplier);
        KStream { rekeyed: true, ..processed }
    }

    /// Hands the records to a processor that cannot change the key (Kafka Streams: `processValues`), so that nothing has to
    /// be repartitioned for it. Otherwise as [`KStream::process`].
    ///
    /// ```
    /// # use millstream_operators::dsl::{Materialized, StreamsBuilder};
    /// # use millstream_operators::processor::*;
    /// /// Passes a record on if its value differs from the one before.
    /// struct Changes(KeyValueStore<String, i64>);
    ///
    /// impl FixedKeyProcessor<String, i64, i64> for Changes {
    ///     fn process(
    ///         &mut self,
    ///         cx: &mut FixedKeyContext<'_, '_, String, i64>,
    ///         record: FixedKeyRecord<'_, String, i64>,
    ///     ) -> Outcome {
    ///         if self.0.get(cx, record.key())? != Some(*record.value()) {
    ///             self.0.put(cx, record.key(), *record.value())?;
    ///             cx.forward(record)?;
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let builder = StreamsBuilder::new();
    /// let last = builder.add_state_store(Stores::key_value::<String, i64>("last"));
    /// let changes = builder.stream::<String, i64>("in").process_values(&last, Changes);
    /// changes.group_by_key().count(Materialized::named("changes")).to_stream().to("out");
    /// assert_eq!(builder.build()?.sub_topologies().len(), 1);
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn process_values<S, P, U>(
        &self,
        stores: S,
        supplier: impl Fn(S::Opened) -> P + Send + Sync + 'static,
    ) -> KStream<K, U>
    where
        S: ConnectStores,
        P: FixedKeyProcessor<K, V, U> + 'static,
        U: 'static,
    {
        let serdes = Serdes::new(self.serdes.key.clone(), None);
        let fixed = move |opened| FixedKey::<P, V>::new(supplier(opened));
        let processed = self.add(names::PROCESS_VALUES, serdes, stores, fixed);
        KStream { rekeyed: self.rekeyed, ..processed }
    }

    fn add<S, P, L, U>(
        &self,
        prefix: &str,
        serdes: Serdes<L, U>,
        stores: S,
        supplier: impl Fn(S::Opened) -> P + Send + Sync + 'static,
    ) -> KStream<L, U>
    where
        S: ConnectStores,
        P: Processor<K, V, L, U> + 'static,
        L: 'static,
        U: 'static,
    {
        let mut graph = self.graph.lock();
        let name = graph.names.node(&self.next_name, prefix);
        let node = graph.add(Kind::Processor { name: name.clone(), stores: Vec::new() }, &[self.node]);
        graph.connect(node, stores.names());
        drop(graph);
        let port: Port<Next<L, U>> = Port::default();
        self.port.add(node, self::node((node, name), &port, stores, supplier));
        KStream::new(self.graph.clone(), node, port, serdes)
    }
}

/// Builds a processor's node in each chain.
pub(crate) fn node<S, P, K, V, L, U>(
    (node, name): (NodeId, Arc<str>),
    below: &Port<Next<L, U>>,
    stores: S,
    supplier: impl Fn(S::Opened) -> P + Send + Sync + 'static,
) -> crate::topology::port::Factory<Next<K, V>>
where
    S: ConnectStores,
    P: Processor<K, V, L, U> + 'static,
    K: 'static,
    V: 'static,
    L: 'static,
    U: 'static,
{
    let (below, open) = (below.clone(), stores.opener());
    Arc::new(move |chain| {
        let processor = supplier(open(&mut Opener::new(chain)));
        ProcessorNode::build(chain, (node, &name), &below, processor)
    })
}
