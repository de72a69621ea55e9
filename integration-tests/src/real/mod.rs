//! Faults on a real broker: on the wire, of processes, of brokers; and what must come of them, which is nothing.

pub mod chaos;
pub mod check;
pub mod cluster;
mod plan;
pub mod process;
pub mod traffic;
pub mod wire;
pub mod workload;
