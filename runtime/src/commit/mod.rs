//! The commit protocol of one worker: effects, offsets and the proof that both are in the log for good.

mod offsets;
mod settle;
mod transaction;

pub use offsets::{OffsetCommitter, OffsetRequest};
pub use transaction::{CommitRequest, Outcome, Transaction, TransactionSettings};
