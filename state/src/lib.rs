//! State stores of Millstream: bytes laid out as Kafka Streams lays them out, on RocksDB or in memory.
//!
//! ```text
//!  typed store (record cache) → TaskStores (uncommitted layer) → Engine (RocksDB | memory): committed data only
//! ```
//! Nothing here knows a Kafka client or reads a clock.

pub mod changelog;
pub mod commit;
pub mod context;
pub mod engine;
pub mod error;
pub mod held_records;
mod java_set;
pub mod key_order;
mod merge;
pub mod model;
pub mod outer_join;
pub mod serdes;
pub mod store;
mod uncommitted;
