//! Handles of tables' stores, for processors that look into a table.

use millstream_state::model::Windowed;

use super::table::KTable;
use super::view::{Stored, StoredSessions, StoredWindows};
use crate::processor::{
    SessionStore, StoreHandle, TimestampedKeyValueStore, TimestampedWindowStore, VersionedKeyValueStore,
};

/// A processor that is connected to a table's store becomes part of the table's sub-topology: what it reads and the table must
/// have their topics partitioned alike. Reading is what the handles are for. A processor's writes go the way of the table's
/// own if the store has a record cache, and otherwise past those who are told of the table's changes; so it is in Kafka
/// Streams.
impl<K: 'static, V: 'static> KTable<K, V> {
    /// The table's key-value store, to be connected to processors (Kafka Streams: `process` with the name of the table's
    /// store). `None` if it has none: it keeps windows or versions, or is only computed; give it a store with
    /// [`Materialized`](super::Materialized) then.
    ///
    /// ```
    /// # use millstream_operators::dsl::{Materialized, StreamsBuilder};
    /// # use millstream_operators::processor::{Outcome, Processor, ProcessorContext, TimestampedKeyValueStore};
    /// # use millstream_operators::push::Record;
    /// struct Quote(TimestampedKeyValueStore<String, i64>);
    ///
    /// impl Processor<String, i64, String, i64> for Quote {
    ///     fn process(&mut self, cx: &mut ProcessorContext<'_, String, i64>, order: Record<'_, String, i64>) -> Outcome {
    ///         match self.0.get(cx, order.key)? {
    ///             Some(price) => cx.forward(order.with_value(&(order.value * price.value))),
    ///             None => Ok(()),
    ///         }
    ///     }
    /// }
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices = builder.table::<String, i64>("prices");
    /// let store = prices.store().ok_or("a source table can be kept")?;
    /// builder.stream::<String, i64>("orders").process(&store, Quote).to("quotes");
    /// assert_eq!(builder.build()?.sub_topologies().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn store(&self) -> Option<StoreHandle<TimestampedKeyValueStore<K, V>>> {
        let Stored { store, key, value, .. } = self.kept(false)?;
        Some(StoreHandle::of_table(store.clone(), (key.clone(), value.clone())))
    }

    /// The store of a table that keeps versions; `None` of any other.
    pub fn versioned_store(&self) -> Option<StoreHandle<VersionedKeyValueStore<K, V>>> {
        let Stored { store, key, value, .. } = self.kept(true)?;
        Some(StoreHandle::of_table(store.clone(), (key.clone(), value.clone())))
    }

    fn kept(&self, versioned: bool) -> Option<&Stored<K, V>> {
        let kept = self.view.store::<Stored<K, V>>().filter(|_| self.versioned == versioned)?;
        // A source table is kept only if somebody needs it.
        self.view.require(&mut self.graph.lock());
        Some(kept)
    }
}

impl<K: 'static, V: 'static> KTable<Windowed<K>, V> {
    /// The store of a table of windows; `None` if it keeps sessions, or is only computed. See [`KTable::store`].
    pub fn window_store(&self) -> Option<StoreHandle<TimestampedWindowStore<K, V>>> {
        let StoredWindows { store, key, value } = self.view.store()?;
        Some(StoreHandle::of_table(store.clone(), (key.clone(), value.clone())))
    }

    /// The store of a table of sessions; `None` of any other. See [`KTable::store`].
    pub fn session_store(&self) -> Option<StoreHandle<SessionStore<K, V>>> {
        let StoredSessions { store, key, value } = self.view.store()?;
        Some(StoreHandle::of_table(store.clone(), (key.clone(), value.clone())))
    }
}
