//! What stateful nodes have in common: handing an update of their store to the nodes below.

use std::sync::Arc;

use millstream_state::error::StateError;
use millstream_state::store::Flushed;

use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{TableChildren, Update};

/// A store's error with the node's name.
pub(crate) fn failed(node: &Arc<str>) -> impl FnOnce(StateError) -> ProcessError {
    move |source| ProcessError::State { node: node.clone(), source }
}

/// Hands an update down; the nodes below see the record that caused it as the current one.
pub(crate) fn forward<K, A>(
    cx: &mut Context,
    down: &TableChildren<K, A>,
    update: &mut Flushed<K, A>,
) -> Result<(), ProcessError> {
    let headers = update.record.headers.clone();
    update.swap_record(cx);
    let Flushed { key, new, old, timestamp, .. } = &*update;
    let forwarded = down.forward(cx, Update { key, new, old, timestamp: *timestamp, headers: &headers });
    update.swap_record(cx);
    forwarded
}
