//! What a program usually needs: `use millstream::prelude::*;`.

pub use crate::config::{AtLeastOnce, ExactlyOnce, Guarantee, MemoryLimits, StateDir, StreamsConfig};
pub use crate::instance::{State, StreamsError};
pub use crate::streams::Streams;
pub use crate::task::{DeserializationHandler, IdlePolicy, PanicHandler, ProcessingHandler};
pub use millstream_operators::dsl::*;
pub use millstream_operators::topology::{OffsetReset, Topology};
pub use millstream_state::model::{Headers, Timestamp, Window, Windowed};
pub use millstream_state::serdes::{self, Bincode, Json, Serde};
