//! Transformers of a table's values.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::serdes::{DefaultSerde, SerdeRef};

use super::materialize::Materialized;
use super::old_values::OldValues;
use super::serdes::{Serdes, required};
use super::table::KTable;
use super::view::{View, Viewed};
use crate::ops::lookup::{Lookup, Sees};
use crate::ops::transform_values::{TransformLookup, TransformValues};
use crate::processor::{ConnectStores, Opener, ValueTransformer};
use crate::push::{NextApply, TableChildren};
use crate::topology::chain::ChainBuilder;
use crate::topology::graph::{Graph, Kind};
use crate::topology::names;
use crate::topology::port::Port;

/// Makes a transformer for one task.
type Make<T> = Arc<dyn Fn(&mut ChainBuilder<'_>) -> T + Send + Sync>;

impl<K: 'static, V: Clone + 'static> KTable<K, V> {
    /// Replaces the values with those that a transformer makes, which may keep state in stores of its own (Kafka Streams:
    /// `KTable.transformValues`). `stores` are the handles of these stores: one, a tuple, or `()`. The result is not kept:
    /// a transformer is asked about each new value, about each old one where something below needs it, and again where a
    /// join looks the table up. With state, keep the result: [`KTable::transform_values_with`].
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # use millstream_operators::processor::TransformerContext;
    /// # let builder = StreamsBuilder::new();
    /// let table = builder.table::<String, i64>("in");
    /// let shown = table.transform_values((), |()| {
    ///     |cx: &mut TransformerContext<'_>, key: &String, n: Option<&i64>| {
    ///         Ok(n.map(|n| format!("{key}={n} at {}", cx.timestamp())))
    ///     }
    /// });
    /// shown.to_stream().to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn transform_values<S, T, U>(
        &self,
        stores: S,
        supplier: impl Fn(S::Opened) -> T + Send + Sync + 'static,
    ) -> KTable<K, U>
    where
        S: ConnectStores,
        T: ValueTransformer<K, V, U> + 'static,
        U: 'static,
    {
        self.transform(stores, supplier, None)
    }

    /// As [`KTable::transform_values`], and the result is kept in a store (Kafka Streams: `transformValues` with
    /// `Materialized`): each change is transformed once. Without a name for the store it is not kept.
    pub fn transform_values_with<S, T, U>(
        &self,
        stores: S,
        supplier: impl Fn(S::Opened) -> T + Send + Sync + 'static,
        materialized: Materialized<K, U>,
    ) -> KTable<K, U>
    where
        S: ConnectStores,
        T: ValueTransformer<K, V, U> + 'static,
        U: DefaultSerde,
    {
        let kept = materialized.is_named().then(|| (materialized, U::serde()));
        self.transform(stores, supplier, kept)
    }

    fn transform<S, T, U>(
        &self,
        stores: S,
        supplier: impl Fn(S::Opened) -> T + Send + Sync + 'static,
        materialized: Option<(Materialized<K, U>, SerdeRef<U>)>,
    ) -> KTable<K, U>
    where
        S: ConnectStores,
        T: ValueTransformer<K, V, U> + 'static,
        U: 'static,
    {
        let mut graph = self.graph.lock();
        let name = graph.names.node(&self.next_name, names::TABLE_TRANSFORM_VALUES);
        let (mut serdes, mut kept, mut specs) = (Serdes::new(self.serdes.key.clone(), None), None, Vec::new());
        let mut versioned = self.versioned;
        if let Some((materialized, own)) = materialized {
            let store = materialized.store_name(&mut graph.names, names::TABLE_TRANSFORM_VALUES);
            let key = materialized.serdes.key.clone().or(serdes.key);
            let key = required(key, &mut graph, &name, "key");
            let value = materialized.serdes.value.clone().unwrap_or(own);
            specs.push(materialized.key_value(store.clone(), &graph.settings));
            serdes = Serdes::new(Some(key.clone()), Some(value.clone()));
            versioned = materialized.is_versioned();
            kept = Some((store, key, value));
        }
        let node = graph.add(Kind::Processor { name: name.clone(), stores: specs }, &[self.node]);
        graph.connect(node, stores.names());
        drop(graph);

        let open = stores.opener();
        let make: Make<T> = Arc::new(move |chain| supplier(open(&mut Opener::new(chain))));
        let (old, view) = match &kept {
            Some((store, key, value)) => {
                (OldValues::stored(), View::stored(store.clone(), (key.clone(), value.clone()), None))
            }
            None => {
                let viewed = Transformed { name: name.clone(), above: self.view.clone(), make: make.clone() };
                (OldValues::above(&self.old), View::new(viewed))
            }
        };
        let port: Port<NextApply<K, U>> = Port::default();
        let (below, asked) = (port.clone(), old.clone());
        self.port.add(
            node,
            Arc::new(move |chain| {
                let down = TableChildren::new(below.build(chain));
                let store = kept.as_ref().map(|(store, key, value)| chain.key_value(store, key, value));
                let built = TransformValues::new(name.clone(), make(chain), store, asked.asked(), down);
                let built = Rc::new(RefCell::new(built));
                if let Some((store, ..)) = &kept {
                    let (id, _) = chain.store(store);
                    chain.stateful(id, built.clone());
                }
                built as NextApply<K, V>
            }),
        );
        KTable::new(self.graph.clone(), node, port, serdes, old).seen_by(view).with_versions(versioned)
    }
}

/// A table that is transformed and not kept.
struct Transformed<K, V, T> {
    name: Arc<str>,
    above: View<K, V>,
    make: Make<T>,
}

impl<K, V, U, T> Viewed<K, U> for Transformed<K, V, T>
where
    K: 'static,
    V: Clone + 'static,
    U: 'static,
    T: ValueTransformer<K, V, U> + 'static,
{
    fn require(&self, graph: &mut Graph) -> Vec<Arc<str>> {
        self.above.require(graph)
    }

    fn lookup(&self, chain: &mut ChainBuilder<'_>, node: &Arc<str>, sees: Sees) -> Box<dyn Lookup<K, U>> {
        let above = self.above.lookup(chain, node, sees);
        Box::new(TransformLookup::new(self.name.clone(), above, (self.make)(chain)))
    }
}
