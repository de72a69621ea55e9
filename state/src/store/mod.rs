//! Stores: bytes below ([`TaskStores`]), typed above ([`KeyValue`], [`WindowStore`],
//! [`SessionStore`]).

mod cache;
mod cache_budget;
mod key_value;
mod links;
mod meta;
mod segments;
mod session;
mod spec;
mod stamped;
mod tasks;
#[cfg(test)]
mod tests;
mod time_buffer;
mod typed;
mod versioned;
mod window;

pub use cache_budget::CacheBudget;
pub use key_value::{Entries, KeyValue};
pub use session::SessionStore;
pub use spec::{
    Changelog, Persistence, SegmentOrder, SessionShape, StoreId, StoreKind, StoreSpec, VersionedShape, WindowShape,
};
pub use stamped::{Flushed, Stamped};
pub use tasks::{Placed, StoreScan, TaskStores, log_buffer};
pub use time_buffer::{Buffered, Waited};
pub use versioned::{Version, VersionedStore};
pub use window::WindowStore;
