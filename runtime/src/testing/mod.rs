//! Tests of topologies without a broker: records in, records out, one at a time, at moments that the test decides.
//!
//! ```text
//!  test → TestInputTopic → [ topology under test ] → TestOutputTopic → test
//!              wall clock ───────┘        └─────── stores
//! ```
//! Every topic has one partition. A record that is handed in is processed to the end, then whatever came of it in
//! topics that the topology reads itself (repartition topics, sinks that are sources too), smallest time first. After
//! every record comes a commit, so that what the record cache held back comes out.

mod config;
mod core;
mod driver;
mod error;
mod record;
mod store;
mod topic;
mod unit;

pub use config::TestConfig;
pub use driver::TopologyTestDriver;
pub use error::TestError;
pub use record::{RawEntry, RawTestRecord, TestRecord};
pub use store::{TestKeyValueStore, TestWindowStore, WindowEntry};
pub use topic::{TestInputTopic, TestOutputTopic};

#[cfg(test)]
mod tests;
