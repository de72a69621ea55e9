//! The words everything else is written in: offsets and positions, topics, time, records and windows.

mod buffer;
mod offset;
mod record;
mod time;
mod topic;
mod window;

pub use buffer::{BufferedRecord, RecordBuffer, RecordMeta};
pub use offset::{Offset, Position};
pub use record::{Header, Headers, RawRecord, RecordContext};
pub use time::Timestamp;
pub use topic::{TopicId, TopicPartition};
pub use window::{Window, Windowed};
