//! Operators of Millstream: the typed DSL, the topology and the operator chain; pure and synchronous.
//!
//! ```text
//!  dsl (handles) → topology::graph → physical nodes → sub-topologies → ops (the chain, per task)
//! ```

pub mod context;
pub mod dsl;
pub mod error;
pub mod foreign_key;
pub mod global;
pub mod ops;
pub mod processor;
pub mod push;
pub mod topology;
