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
mod grouped;
mod materialize;
mod old_values;
mod serdes;
mod settings;
mod sink;
mod split;
mod stream;
mod stream_map;
mod table;
mod table_kept;
mod time_windows;
mod topics;
mod windowed;

pub use builder::StreamsBuilder;
pub use grouped::KGroupedStream;
pub use materialize::Materialized;
pub use settings::{Consumed, Grouped, InvalidTimestamp, Produced, Repartitioned};
pub use sink::TopicExtractor;
pub use split::{Branched, Branches, Split};
pub use stream::KStream;
pub use table::KTable;
pub use time_windows::TimeWindows;
pub use topics::IntoTopics;
pub use windowed::TimeWindowedKStream;

pub use crate::ops::inlet::SourceRecord;

#[cfg(test)]
mod tests;
