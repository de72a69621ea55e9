//! Stores: bytes below ([`TaskStores`]), typed above ([`KeyValue`], [`WindowStore`]).

mod cache_budget;
mod key_value;
mod spec;
mod stamped;
mod tasks;
mod window;

pub use cache_budget::CacheBudget;
pub use key_value::KeyValue;
pub use spec::{Changelog, Persistence, StoreId, StoreKind, StoreSpec, WindowShape};
pub use stamped::{Flushed, Stamped};
pub use tasks::TaskStores;
pub use window::WindowStore;
