//! The typed DSL: what a program is written in.
//!
//! ```text
//!  StreamsBuilder --stream--> KStream --group_by--> KGroupedStream --count--> KTable --to_stream--> KStream --to--> topic
//!                 --table--------------------------------------------------^
//! ```
//! Handles are cheap clones over one shared graph; nothing runs until a [`Topology`](crate::topology::Topology) made by
//! [`StreamsBuilder::build`] is given to the runtime. The words are those of Kafka Streams; what may not follow does not
//! compile:
//!
//! ```compile_fail
//! # use millstream_operators::dsl::*;
//! let builder = StreamsBuilder::new();
//! // A stream must be grouped before it can be aggregated.
//! builder.stream::<String, i64>("in").count(Materialized::default());
//! ```
//! ```compile_fail
//! # use millstream_operators::dsl::*;
//! let builder = StreamsBuilder::new();
//! // The key of a count without windows has no window.
//! let counts = builder.stream::<String, i64>("in").group_by_key().count(Materialized::default());
//! counts.to_stream_with_key(|key, _| key.window.start.millis()).to("out");
//! ```
//! ```compile_fail
//! # use millstream_operators::dsl::*;
//! let builder = StreamsBuilder::new();
//! // Streams of different types cannot be merged.
//! let a = builder.stream::<String, i64>("a");
//! let b = builder.stream::<String, String>("b");
//! a.merge(&b);
//! ```

mod builder;
mod cogroup_part;
mod cogrouped;
mod emit_strategy;
mod foreign_key_join;
mod global;
mod grouped;
mod grouped_table;
mod join_windows;
mod joined;
mod materialize;
mod merge;
mod old_values;
mod process;
mod raw;
mod serdes;
mod session_keeper;
mod session_windowed;
mod session_windows;
mod settings;
mod sink;
mod sliding_windowed;
mod sliding_windows;
mod split;
mod stream;
mod stream_join;
mod stream_join_nodes;
mod stream_joined;
mod stream_map;
mod stream_table;
mod stream_try;
mod suppress;
mod suppressed;
mod table;
mod table_join;
mod table_joined;
mod table_kept;
mod table_store;
mod time_windows;
mod to_table;
mod topics;
mod transform_values;
mod unlimited_windows;
mod view;
mod view_joined;
mod window_keeper;
mod windowed;
mod windowed_by;

pub use builder::StreamsBuilder;
pub use cogroup_part::AnyFixed;
pub use cogrouped::{
    CogroupedKStream, SessionWindowedCogroupedKStream, SlidingWindowedCogroupedKStream, TimeWindowedCogroupedKStream,
};
pub use emit_strategy::EmitStrategy;
pub use global::GlobalKTable;
pub use grouped::KGroupedStream;
pub use grouped_table::KGroupedTable;
pub use join_windows::JoinWindows;
pub use joined::Joined;
pub use materialize::Materialized;
pub use raw::{TopologyBuilder, TopologyNode};
pub use session_windowed::SessionWindowedKStream;
pub use session_windows::SessionWindows;
pub use settings::{Consumed, Grouped, InvalidTimestamp, Produced, Repartitioned};
pub use sink::TopicExtractor;
pub use sliding_windowed::SlidingWindowedKStream;
pub use sliding_windows::SlidingWindows;
pub use split::{Branched, Branches, Split};
pub use stream::KStream;
pub use stream_joined::{JoinStore, StreamJoined};
pub use suppressed::{BufferConfig, EmitEarly, ShutDown, Suppressed, WhenFull};
pub use table::KTable;
pub use table_joined::TableJoined;
pub use time_windows::{FixedWindows, TimeWindows};
pub use topics::IntoTopics;
pub use unlimited_windows::UnlimitedWindows;
pub use windowed::TimeWindowedKStream;
pub use windowed_by::WindowedBy;

pub use crate::ops::inlet::SourceRecord;
pub use crate::topology::{Optimization, StoreFormat, TopologySettings};

#[cfg(test)]
mod tests;
