//! Stores: bytes below ([`TaskStores`]), typed above ([`KeyValue`], [`WindowStore`]).

mod cache;
mod cache_budget;
mod key_value;
mod links;
mod meta;
mod segments;
mod spec;
mod stamped;
mod tasks;
#[cfg(test)]
mod tests;
mod typed;
mod window;

pub use cache_budget::CacheBudget;
pub use key_value::{Entries, KeyValue};
pub use spec::{Changelog, Persistence, StoreId, StoreKind, StoreSpec, WindowShape};
pub use stamped::{Flushed, Stamped};
pub use tasks::{StoreScan, TaskStores};
pub use window::WindowStore;
