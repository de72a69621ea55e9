//! Stores: bytes below ([`TaskStores`]), typed above ([`KeyValue`], [`WindowStore`](crate::store::Windowed)).

mod spec;

pub use spec::{Changelog, Persistence, StoreId, StoreKind, StoreSpec, WindowShape};

/// The stores of one task.
pub struct TaskStores;
