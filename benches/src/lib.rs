//! What the benches share: a loader, the raw client loop, the topologies, and meters.
//!
//! ```text
//!  benches/throughput ── throughput::main ─┬─ load (once)
//!                                          ├─ child process: raw loop        ┐ by turns, each with a fresh output topic,
//!                                          ├─ child process: Millstream      ┘ checked by reading what they wrote
//!                                          └─ report
//! ```

pub mod check;
pub mod load;
pub mod meter;
pub mod native;
pub mod options;
pub mod raw;
pub mod report;
pub mod restart;
pub mod throughput;
pub mod topics;
pub mod topology;
