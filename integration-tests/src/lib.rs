//! What the integration tests share.

pub mod chaos;
pub mod conformance;
pub mod contract;
pub mod sim;
