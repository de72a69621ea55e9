//! Operators of Millstream: the typed DSL, the topology and the operator chain; pure and synchronous.

pub mod context;
pub mod dsl;
pub mod error;
pub mod ops;
pub mod push;
pub mod topology;
