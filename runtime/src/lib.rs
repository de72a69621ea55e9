//! Stream processing on Kafka in the manner of Kafka Streams: a topology is a Rust program, state lives in RocksDB and
//! is changelogged to Kafka, and state, output and input offsets are committed in one transaction.
//!
//! ```no_run
//! use millstream::prelude::*;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let builder = StreamsBuilder::new();
//! builder
//!     .stream::<String, String>("lines")
//!     .flat_map_values(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
//!     .group_by(|_, word| word.clone())
//!     .count(Materialized::named("counts"))
//!     .to_stream()
//!     .to("word-counts");
//! let config = StreamsConfig::new("word-count", "localhost:9092");
//! Streams::new(builder.build()?, config)?.run_until_ctrl_c().await?;
//! # Ok(())
//! # }
//! ```
//!
//! ```text
//!  Streams ─ threads ─┬─ Controller ── Member (the group)
//!                     └─ Worker × n ── Transaction (producer) ── Task × m ── operator chain ── stores
//! ```

pub mod broker;
pub mod clock;
pub mod commit;
pub mod config;
#[cfg(feature = "deliberate-bugs")]
pub mod deliberate;
pub mod global;
pub mod identity;
pub mod instance;
pub mod partitioner;
pub mod prelude;
pub mod restore;
pub mod task;
pub mod testing;
pub mod topics;
mod trouble;
pub mod worker;

#[cfg(not(feature = "deliberate-bugs"))]
mod deliberate;
mod streams;
mod thread;

pub use config::StreamsConfig;
pub use instance::{State, StreamsError, TopicRole};
pub use streams::{SharedError, Streams, stop_signal};
pub use trouble::{Trouble, Troubles};

pub use millstream_operators as operators;
pub use millstream_state as state;

/// What running an application answers.
pub type Result<T, E = SharedError> = std::result::Result<T, E>;
