//! What the integration tests share.

pub mod alone;
pub mod chaos;
pub mod conformance;
pub mod contract;
pub mod lives;
pub mod proxy;
pub mod real;
pub mod sim;
pub mod slow;
pub mod support;
