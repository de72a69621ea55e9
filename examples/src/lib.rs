//! What the example programs share around their topologies: topics, reading outputs, knowing when all is done.
//!
//! ```text
//!   Broker ─┬─ topics::create      the program's own topics, made before it starts
//!           ├─ Drained::check      is anything left to process, upstream to downstream
//!           ├─ outputs::read       the result: what a read_committed reader sees
//!           └─ stores::check       does what is on disk agree with the changelogs
//!   screen::show                   results on standard output, for as long as somebody reads them
//! ```
//! Everything stands on the broker seam, so that it works alike on a real Kafka and on the embedded broker.

pub mod calls;
pub mod drained;
pub mod logs;
pub mod outputs;
pub mod screen;
pub mod stores;
pub mod topics;

/// The program in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
