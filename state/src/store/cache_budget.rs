//! How many bytes the record caches of one worker may hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A shared bound on the memory of record caches. Clones share the bound; a typed store returns what it used when it
/// is dropped.
#[derive(Clone, Debug)]
pub struct CacheBudget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: usize,
    used: AtomicUsize,
}

impl CacheBudget {
    /// A budget of `limit` bytes; 0 means that nothing is held back (Kafka Streams: `statestore.cache.max.bytes`).
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Inner { limit, used: AtomicUsize::new(0) }))
    }

    /// The bound.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// What all caches of this budget hold now.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Whether the caches hold more than they may.
    pub fn exceeded(&self) -> bool {
        self.used() > self.0.limit
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.0.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn remove(&self, bytes: usize) {
        self.0.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}
