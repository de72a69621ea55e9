//! Holding changes of a table back.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::serdes::SerdeRef;
use millstream_state::store::{Changelog, Persistence, StoreKind, StoreSpec};

use super::old_values::OldValues;
use super::serdes::Serdes;
use super::suppressed::{Suppressed, Until};
use super::table::KTable;
use super::view::{View, Viewed};
use crate::error::BuildError;
use crate::ops::lookup::{Lookup, Sees};
use crate::ops::suppress::{Suppress, SuppressLookup, SuppressSettings};
use crate::push::{NextApply, TableChildren};
use crate::topology::chain::ChainBuilder;
use crate::topology::graph::{Graph, Kind};
use crate::topology::names;
use crate::topology::port::Port;

impl<K: 'static, V: 'static> KTable<K, V> {
    /// Holds changes back (Kafka Streams: `suppress`): until the window of their key is closed, or until a time limit.
    /// A change that comes while one waits for its key takes its place, and its time. What goes down has the timestamp
    /// and the headers of the last change; changes go down when stream time, the highest timestamp of any change that
    /// this node has seen, says so, in the order of their time and then of their keys' bytes.
    ///
    /// What waits is in memory and in a changelog topic, from which it comes back after a restart.
    ///
    /// ```
    /// # use millstream_operators::dsl::*;
    /// # use std::time::Duration;
    /// # let builder = StreamsBuilder::new();
    /// let minutes = TimeWindows::of_size_and_grace(Duration::from_secs(60), Duration::from_secs(5));
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(minutes);
    /// let counts = clicks.count(Materialized::named("per-minute"));
    /// let last = counts.suppress(Suppressed::until_window_closes(BufferConfig::unbounded()).name("final"));
    /// last.to_stream_with_key(|key, _| key.key.clone()).to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    /// ```
    /// # use millstream_operators::dsl::*;
    /// # use std::time::Duration;
    /// # let builder = StreamsBuilder::new();
    /// // At most one change per key in ten seconds, and never more than 1000 keys in memory.
    /// let seldom = Suppressed::until_time_limit(Duration::from_secs(10), BufferConfig::max_records(1000));
    /// builder.table::<String, i64>("prices").suppress(seldom).to_stream().to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    /// Only windows close:
    /// ```compile_fail
    /// # use millstream_operators::dsl::*;
    /// # let builder = StreamsBuilder::new();
    /// let prices = builder.table::<String, i64>("prices");
    /// prices.suppress(Suppressed::until_window_closes(BufferConfig::unbounded()));
    /// ```
    /// A final result cannot come early:
    /// ```compile_fail
    /// # use millstream_operators::dsl::*;
    /// let early: Suppressed<millstream_state::model::Windowed<String>> =
    ///     Suppressed::until_window_closes(BufferConfig::max_records(10).emit_early_when_full());
    /// ```
    #[must_use]
    pub fn suppress(&self, suppressed: Suppressed<K>) -> Self {
        let Suppressed { name, until, buffer, shuts_down } = suppressed;
        let mut graph = self.graph.lock();
        let given = name.or_else(|| self.next_name.clone());
        let name = given.clone().unwrap_or_else(|| graph.names.generate(names::TABLE_SUPPRESS));
        let store = match &given {
            Some(name) => format!("{name}-store").into(),
            None => graph.names.store(names::TABLE_SUPPRESS),
        };
        if self.versioned {
            let reason =
                "it holds back changes of a table that keeps versions, of which each counts; suppress a table without";
            graph.fail(BuildError::BadSetting { node: name.to_string(), reason: reason.to_owned() });
        }
        let (key, value) = self.serdes.clone().required(&mut graph, &name);
        let (wait, end) = match until {
            Until::TimeLimit(wait) => (wait, None),
            Until::WindowCloses(end) => (self.closing(&mut graph, &name), Some(end)),
        };
        let changelog = if buffer.logged { Changelog::Topic(buffer.topic_config) } else { Changelog::Off };
        let spec = StoreSpec {
            name: store.clone(),
            kind: StoreKind::TimeOrderedBuffer,
            persistence: Persistence::InMemory,
            changelog,
            cached: false,
            headers: false,
        };
        let node = graph.add(Kind::Processor { name: name.clone(), stores: vec![spec] }, &[self.node]);
        drop(graph);
        // What was there before is part of what waits.
        self.old.demand();
        let old = OldValues::above(&self.old);
        old.demand();
        let (max_records, max_bytes) = (buffer.max_records, buffer.max_bytes);
        let settings =
            Arc::new(SuppressSettings { node: name, key, value, wait, end, max_records, max_bytes, shuts_down });
        let port: Port<NextApply<K, V>> = Port::default();
        let serdes = Serdes::new(Some(settings.key.clone()), Some(settings.value.clone()));
        let view = View::new(SuppressView {
            above: self.view.clone(),
            store: store.clone(),
            key: settings.key.clone(),
            value: settings.value.clone(),
        });
        let below = port.clone();
        self.port.add(
            node,
            Arc::new(move |chain| {
                let down = TableChildren::new(below.build(chain));
                let (id, _) = chain.store(&store);
                let time_slot = chain.time_slot(&settings.node);
                let node = Rc::new(RefCell::new(Suppress::new(settings.clone(), id, time_slot, down)));
                chain.stateful(id, node.clone());
                node as NextApply<K, V>
            }),
        );
        KTable::new(self.graph.clone(), node, port, serdes, old).seen_by(view)
    }

    /// How long after their ends the windows of the keys close.
    fn closing(&self, graph: &mut Graph, node: &str) -> i64 {
        graph.windows_close(self.node).unwrap_or_else(|| {
            let reason = "its keys have windows, but nothing above makes them, so that it is not known when they close; \
                          suppress with a time limit";
            graph.fail(BuildError::BadSetting { node: node.to_owned(), reason: reason.to_owned() });
            0
        })
    }
}

/// A suppressed table seen from the side: of what waits, the value before it.
struct SuppressView<K, V> {
    above: View<K, V>,
    store: Arc<str>,
    key: SerdeRef<K>,
    value: SerdeRef<V>,
}

impl<K: 'static, V: 'static> Viewed<K, V> for SuppressView<K, V> {
    fn require(&self, graph: &mut Graph) -> Vec<Arc<str>> {
        let mut stores = vec![self.store.clone()];
        stores.extend(self.above.require(graph));
        stores
    }

    fn lookup(&self, chain: &mut ChainBuilder<'_>, node: &Arc<str>, sees: Sees) -> Box<dyn Lookup<K, V>> {
        let (id, _) = chain.store(&self.store);
        let above = self.above.lookup(chain, node, sees);
        Box::new(SuppressLookup::new(node.clone(), id, (self.key.clone(), self.value.clone()), above))
    }
}
