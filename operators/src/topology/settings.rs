//! Settings that change what a topology becomes, rather than how it is run.

use std::time::Duration;

use millstream_state::store::Persistence;

/// What applies to a whole topology while it is built: given to
/// [`StreamsBuilder::with_settings`](crate::dsl::StreamsBuilder::with_settings). The defaults are those of Kafka Streams.
///
/// ```
/// use millstream_operators::dsl::StreamsBuilder;
/// use millstream_operators::topology::{Optimization, TopologySettings};
///
/// let settings = TopologySettings { optimization: Optimization::ALL, ..TopologySettings::default() };
/// let builder = StreamsBuilder::with_settings(settings);
/// # builder.stream::<String, String>("in").to("out");
/// # builder.build()?;
/// # Ok::<(), millstream_operators::error::BuildError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopologySettings {
    /// What the topology is rewritten for (`topology.optimization`).
    pub optimization: Optimization,
    /// Where the stores of DSL operators live if nothing else is said (`dsl.store.suppliers.class`).
    pub dsl_store: Persistence,
    /// How the stores of DSL operators lay out their values (`dsl.store.format`).
    pub dsl_store_format: StoreFormat,
    /// Refuses a topology in which a store or an internal topic has a generated name
    /// (`ensure.explicit.internal.resource.naming`). Such names carry a running number and change with the program; then
    /// what was in them is lost.
    pub require_explicit_names: bool,
    /// How much wall-clock time passes at least between two looks for results of left and outer stream–stream joins that
    /// found no partner (`__emit.interval.ms.kstreams.outer.join.spurious.results.fix__`).
    pub outer_join_emit_interval: Duration,
    /// How much wall-clock time passes at least between two emissions of closed windows
    /// (`__emit.interval.ms.kstreams.windowed.aggregation__`).
    pub window_close_emit_interval: Duration,
}

impl Default for TopologySettings {
    fn default() -> Self {
        Self {
            optimization: Optimization::NONE,
            dsl_store: Persistence::Durable,
            dsl_store_format: StoreFormat::Plain,
            require_explicit_names: false,
            outer_join_emit_interval: Duration::from_secs(1),
            window_close_emit_interval: Duration::from_secs(1),
        }
    }
}

/// The layout of values in the stores of DSL operators (Kafka Streams' `dsl.store.format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreFormat {
    /// A timestamp and the value.
    #[default]
    Plain,
    /// Headers, a timestamp and the value.
    Headers,
}

/// The rewritings of a topology (Kafka Streams' `topology.optimization`). Each changes which internal topics and stores
/// there are, so an application that already has state must keep what it has.
///
/// ```
/// # use millstream_operators::topology::Optimization;
/// let only_merge = Optimization { merge_repartition_topics: true, ..Optimization::NONE };
/// assert_ne!(only_merge, Optimization::ALL);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Optimization {
    /// The store of a source table is restored from the table's topic and has no changelog of its own
    /// (`reuse.ktable.source.topics`).
    pub reuse_source_topics: bool,
    /// Repartition topics with the same records below one change of key become one (`merge.repartition.topics`).
    pub merge_repartition_topics: bool,
    /// A stream joined with itself keeps one store instead of two (`single.store.self.join`).
    pub single_store_self_join: bool,
}

impl Optimization {
    /// Nothing is rewritten: the default.
    pub const NONE: Self =
        Self { reuse_source_topics: false, merge_repartition_topics: false, single_store_self_join: false };

    /// All rewritings.
    pub const ALL: Self =
        Self { reuse_source_topics: true, merge_repartition_topics: true, single_store_self_join: true };
}
