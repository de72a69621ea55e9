//! The join of a table with another by a key that is in its rows.
//!
//! ```text
//!  left change → [subscribe] ══ registration topic ══▶ [receive] → [answer]      (looks into the right table) ─┐
//!                                                         │ subscription store                                  │
//!                                                         ▼                                                     │
//!                                     right change → [notify] (all rows subscribed) ────────────────────────────┤
//!  result ← [resolve] (is the row still as it was?) ◀══════════════════ response topic ═════════════════════════┘
//! ```
//! Rows and foreign keys are in different partitions; so the join is a conversation through two topics.

mod notify;
mod receive;
mod resolve;
mod subscribe;

use std::sync::Arc;

use millstream_state::error::SerdeError;
use millstream_state::serdes::SerdeRef;

pub(crate) use notify::Notify;
pub(crate) use receive::{Answer, Receive};
pub(crate) use resolve::{Join, Resolve};
pub(crate) use subscribe::{Subscribe, SubscribeSettings};

use crate::error::ProcessError;

/// The serdes that store keys are made with.
pub(crate) struct KeySerdes<K, F> {
    pub(crate) node: Arc<str>,
    pub(crate) primary: SerdeRef<K>,
    pub(crate) foreign: SerdeRef<F>,
}

fn refused(node: &Arc<str>, what: &'static str) -> impl FnOnce(SerdeError) -> ProcessError {
    move |source| ProcessError::Encode { node: node.clone(), what, source }
}
