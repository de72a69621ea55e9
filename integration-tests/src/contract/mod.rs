//! What Millstream relies on of a broker: one set of checks for every implementation of the seam.
//!
//! Each check takes a [`Scene`] and is named as the sentence it proves. `tests/contract.rs` runs them on the embedded
//! broker, and on a real Kafka where `MILLSTREAM_TEST_BOOTSTRAP` names one.

pub mod fencing;
pub mod groups;
pub mod offsets;
pub mod reading;
pub mod records;
pub mod retention;
pub mod topics;
pub mod transactions;

mod clients;
mod members;
mod scene;

pub use clients::{Record, TestProducer, TestReader};
pub use members::{Event, TestMember};
pub use scene::{Outcome, Scene, class_of};
