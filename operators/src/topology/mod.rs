//! The topology: nodes, sub-topologies, and the chain that is built from them.

mod spec;

pub use spec::{OffsetReset, RepartitionSpec, SinkSpec, SourceSpec, SubTopologySpec, TopicRef};
