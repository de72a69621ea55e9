//! What stateful nodes have in common: handing an update of their store to the nodes below.

use std::cell::RefCell;
use std::sync::Arc;

use millstream_state::error::StateError;
use millstream_state::model::{Timestamp, Windowed};
use millstream_state::store::{Flushed, KeyValue, SessionStore, Stamped, WindowStore};

use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{TableChildren, Update};

/// A store's error with the node's name.
pub(crate) fn failed(node: &Arc<str>) -> impl FnOnce(StateError) -> ProcessError {
    move |source| ProcessError::State { node: node.clone(), source }
}

/// Writes the next update of a store and takes it out, with the store free again when it is handed down.
pub(crate) fn next<K, A>(
    store: &RefCell<KeyValue<K, A>>,
    cx: &mut Context,
    send_old: bool,
) -> Result<Option<Flushed<K, A>>, StateError> {
    store.borrow_mut().take_dirty(cx, send_old)
}

/// As [`next`], of a window store.
pub(crate) fn next_window<K, A>(
    store: &RefCell<WindowStore<K, A>>,
    cx: &mut Context,
    send_old: bool,
) -> Result<Option<Flushed<Windowed<K>, A>>, StateError> {
    store.borrow_mut().take_dirty(cx, send_old)
}

/// As [`next`], of a session store.
pub(crate) fn next_session<K, A>(
    store: &RefCell<SessionStore<K, A>>,
    cx: &mut Context,
    send_old: bool,
) -> Result<Option<Flushed<Windowed<K>, A>>, StateError> {
    store.borrow_mut().take_dirty(cx, send_old)
}

/// How many closed windows are in memory at once while they go down.
pub(crate) const PAGE: usize = 1000;

/// Windows or sessions that have closed, with their results.
pub(crate) type Closed<K, A> = Vec<(Windowed<K>, Stamped<A>)>;

/// Moves the stream time that a node keeps in `slot` on, and answers it.
pub(crate) fn observe(cx: &mut Context, slot: usize, time: Timestamp) -> Timestamp {
    let observed = &mut cx.operator_times[slot];
    *observed = (*observed).max(time);
    *observed
}

/// Hands an update down; the nodes below see the record that caused it as the current one, with the update's time.
pub(crate) fn forward<K, A>(
    cx: &mut Context,
    down: &TableChildren<K, A>,
    update: &mut Flushed<K, A>,
) -> Result<(), ProcessError> {
    let headers = update.record.headers.clone();
    update.swap_record(cx);
    let Flushed { key, new, old, timestamp, latest, .. } = &*update;
    let (timestamp, latest) = (*timestamp, *latest);
    let forwarded =
        at(cx, timestamp, |cx| down.forward(cx, Update { key, new, old, timestamp, headers: &headers, latest }));
    update.swap_record(cx);
    forwarded
}

/// Runs what is below with the time that is handed down as that of the current record: Kafka Streams' `forward` does so,
/// and a changelog shows it where a delete is logged.
pub(crate) fn at<T>(cx: &mut Context, time: Timestamp, run: impl FnOnce(&mut Context) -> T) -> T {
    let before = std::mem::replace(&mut cx.state.record.timestamp, time);
    let result = run(cx);
    cx.state.record.timestamp = before;
    result
}
