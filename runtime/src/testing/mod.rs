//! Tests of topologies without a broker: records in, records out, one at a time, at moments that the test decides.
//!
//! ```text
//!  test → TestInputTopic → [ topology under test ] → TestOutputTopic → test
//!              wall clock ───────┘        └─────── stores
//! ```
//! Every topic has one partition. A record that is handed in is processed to the end, then whatever came of it in
//! topics that the topology reads itself (repartition topics, sinks that are sources too), smallest time first. After
//! every record comes a commit, so that what the record cache held back comes out.
//!
//! That is how Kafka Streams' driver works, and it hides what happens between partitions. With
//! [`TestConfig::partitions`] topics have several and each task is one of its own; with [`TestConfig::interleave`] chance
//! says which task is next; without [`TestConfig::commit_each_record`] the caches and downstream topics wait for
//! [`TopologyTestDriver::commit`].

mod config;
mod core;
mod driver;
mod error;
mod global;
mod layout;
mod record;
mod session;
mod store;
mod topic;
mod unit;
mod versioned;

pub use config::TestConfig;
pub use driver::TopologyTestDriver;
pub use error::TestError;
pub use layout::Partitions;
pub use record::{RawEntry, RawTestRecord, TestBuffer, TestRecord};
pub use session::TestSessionStore;
pub use store::{TestKeyValueStore, TestWindowStore, WindowEntry};
pub use topic::{TestInputTopic, TestOutputTopic};
pub use versioned::TestVersionedStore;

#[cfg(test)]
mod tests;
