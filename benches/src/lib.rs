//! What the benches share: a loader, the raw client loop, the topologies, and meters.
//!
//! ```text
//!  benches/throughput, peers, growth ── bench::Bench ─┬─ load (once for each input)
//!                                                     ├─ child process: raw loop        ┐ by turns, each with a fresh
//!                                                     ├─ child process: Millstream      │ output topic, checked by reading
//!                                                     ├─ child process: Kafka Streams   ┘ what they wrote
//!                                                     └─ report: table, JSON, SVG
//! ```

pub mod bench;
pub mod check;
pub mod child;
pub mod entry;
pub mod growth;
pub mod instance;
pub mod load;
pub mod meter;
pub mod native;
pub mod options;
pub mod order;
pub mod peers;
pub mod plot;
pub mod raw;
pub mod report;
pub mod restart;
pub mod restored;
pub mod throughput;
pub mod topics;
pub mod topology;
