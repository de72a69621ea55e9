//! Stream processing on Kafka in the manner of Kafka Streams.

pub mod broker;
pub mod clock;

pub use millstream_operators as operators;
pub use millstream_state as state;
