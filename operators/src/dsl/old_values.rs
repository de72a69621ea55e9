//! Whether a table can tell, and is asked to tell, what a value was before an update.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::topology::graph::Keep;

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
    /// The table is read from a topic and has a store only if it is kept.
    Source(Keep),
    /// As the table above.
    Above(Box<OldValues>),
    /// The table is joined from two.
    Joined(Box<OldValues>, Box<OldValues>),
}

impl OldValues {
    fn new(origin: Origin) -> Self {
        Self { asked: Arc::default(), origin }
    }

    /// Of a table with a store.
    pub(crate) fn stored() -> Self {
        Self::new(Origin::Store)
    }

    /// Of a table that is read from a topic.
    pub(crate) fn source(kept: Keep) -> Self {
        Self::new(Origin::Source(kept))
    }

    /// Of a table that is computed from another.
    pub(crate) fn above(above: &Self) -> Self {
        Self::new(Origin::Above(Box::new(above.clone())))
    }

    /// Of a table that is joined from two; whether it has a store makes no difference.
    pub(crate) fn joined(left: &Self, right: &Self) -> Self {
        Self::new(Origin::Joined(Box::new(left.clone()), Box::new(right.clone())))
    }

    /// Asks for old values; answers whether they will come. Nothing is made to keep a store for it.
    pub(crate) fn ask(&self) -> bool {
        self.enable(false)
    }

    /// Has old values come: a source table that is not kept yet is kept from now on.
    pub(crate) fn demand(&self) {
        self.enable(true);
    }

    fn enable(&self, force: bool) -> bool {
        let known = match &self.origin {
            Origin::Store => true,
            Origin::Source(kept) => {
                if force {
                    kept.ask();
                }
                kept.asked()
            }
            Origin::Above(above) => above.enable(force),
            Origin::Joined(left, right) => {
                left.enable(true);
                right.enable(true);
                true
            }
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
