//! Whether a table can tell, and is asked to tell, what a value was before an update.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by a table's handle and its node. Old values cost a read of the store, so they are sent only when asked for.
#[derive(Clone)]
pub(crate) struct OldValues {
    asked: Arc<AtomicBool>,
    origin: Origin,
}

#[derive(Clone)]
enum Origin {
    /// The table has a store of its own.
    Store,
    /// Nothing is kept.
    Nowhere,
    /// As the table above.
    Above(Box<OldValues>),
}

impl OldValues {
    fn new(origin: Origin) -> Self {
        Self { asked: Arc::default(), origin }
    }

    /// Of a table with a store.
    pub(crate) fn stored() -> Self {
        Self::new(Origin::Store)
    }

    /// Of a table that keeps nothing.
    pub(crate) fn unknown() -> Self {
        Self::new(Origin::Nowhere)
    }

    /// Of a table that is computed from another.
    pub(crate) fn above(above: &Self) -> Self {
        Self::new(Origin::Above(Box::new(above.clone())))
    }

    /// Asks for old values; answers whether they will come. Nothing is made to keep a store for it.
    pub(crate) fn ask(&self) -> bool {
        let known = match &self.origin {
            Origin::Store => true,
            Origin::Nowhere => false,
            Origin::Above(above) => above.ask(),
        };
        if known {
            self.asked.store(true, Ordering::Relaxed);
        }
        known
    }

    /// Whether somebody has asked, and they come.
    pub(crate) fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}
