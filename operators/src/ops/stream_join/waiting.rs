//! Records of outer sides that have found no partner yet: a key-value store that both sides share, oldest first.

use std::ops::Bound;
use std::sync::Arc;

use millstream_state::engine::Direction;
use millstream_state::error::{SerdeError, StateError};
use millstream_state::model::{Headers, RecordMeta, Timestamp};
use millstream_state::outer_join::{self, WaitingKey};
use millstream_state::store::{Changelog, StoreId, StoreSpec};

use super::Span;
use crate::context::Context;

/// How many entries are looked at in one go: between two the nodes below work.
const BATCH: usize = 256;

/// Changelog records carry no headers, as Kafka Streams'.
static NO_HEADERS: Headers = Headers::new();

/// The shared store of a join's outer sides.
pub(crate) struct Waiting {
    name: Arc<str>,
    id: StoreId,
    logged: bool,
    key: Vec<u8>,
    list: Vec<u8>,
}

/// A record that has waited in vain.
pub(crate) struct Unmatched {
    pub(crate) key: Box<[u8]>,
    pub(crate) list: Box<[u8]>,
}

/// A walk through the store in search of records that wait in vain.
#[derive(Default)]
pub(crate) struct Emission {
    /// The last key that was looked at.
    after: Option<Box<[u8]>>,
    left_open: bool,
    right_open: bool,
    finished: bool,
    /// The time of the last entry looked at, which is what Kafka Streams takes for the least time that is left.
    pub(crate) least: Option<Timestamp>,
}

impl Waiting {
    /// The store that `spec` describes.
    pub(crate) fn new(id: StoreId, spec: &StoreSpec) -> Self {
        let logged = matches!(spec.changelog, Changelog::Topic(_));
        Self { name: spec.name.clone(), id, logged, key: Vec::new(), list: Vec::new() }
    }

    /// The store's bytes are not what they should be.
    pub(crate) fn malformed(&self, what: &'static str, found: &[u8]) -> StateError {
        let source = SerdeError::new("an entry of an outer join", format!("found {} bytes", found.len()));
        StateError::Serde { store: self.name.to_string(), what, source }
    }

    /// Begins a key of the store; the caller then appends the record's key.
    pub(crate) fn begin(&mut self, time: Timestamp, left: bool) -> &mut Vec<u8> {
        self.key.clear();
        outer_join::push_prefix(&mut self.key, time, left);
        &mut self.key
    }

    /// Adds a value to the list of the key that was begun.
    pub(crate) fn add(&mut self, cx: &mut Context, value: &[u8]) -> Result<(), StateError> {
        self.list.clear();
        if !cx.state.stores.get(self.id, &self.key, &mut self.list)? {
            self.list = outer_join::empty_list();
        }
        outer_join::push_element(&mut self.list, value);
        cx.state.stores.put(self.id, &self.key, Some(&self.list))?;
        self.log(cx, &self.key, Some(&self.list));
        Ok(())
    }

    /// Removes the key that was begun, if somebody waits under it: he has found a partner.
    pub(crate) fn matched(&mut self, cx: &mut Context) -> Result<(), StateError> {
        self.list.clear();
        if cx.state.stores.get(self.id, &self.key, &mut self.list)? {
            self.remove(cx, &self.key)?;
        }
        Ok(())
    }

    /// Removes a key.
    pub(crate) fn remove(&self, cx: &mut Context, key: &[u8]) -> Result<(), StateError> {
        cx.state.stores.put(self.id, key, None)?;
        self.log(cx, key, None);
        Ok(())
    }

    fn log(&self, cx: &mut Context, key: &[u8], value: Option<&[u8]>) {
        if self.logged {
            let timestamp = Some(cx.state.record.timestamp);
            let meta = RecordMeta { target: self.id.0, partition: None, timestamp };
            cx.state.changes.append(meta, &NO_HEADERS, Some(key), value);
        }
    }

    /// The next records that wait in vain at `stream_time`, oldest first; none at the end of the walk. `span` is that of
    /// the left side.
    pub(crate) fn unmatched(
        &self,
        cx: &mut Context,
        walk: &mut Emission,
        (span, stream_time): (Span, Timestamp),
    ) -> Result<Vec<Unmatched>, StateError> {
        let mut unmatched = Vec::new();
        if walk.finished {
            return Ok(unmatched);
        }
        let after = walk.after.take();
        let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut entries = cx.state.stores.scan(self.id, (from, Bound::Unbounded), Direction::Forward)?;
        while unmatched.len() < BATCH {
            let Some(entry) = entries.next() else {
                walk.finished = true;
                break;
            };
            let (key, list) = entry?;
            let Some(WaitingKey { time, left, .. }) = outer_join::split_key(&key) else {
                return Err(self.malformed("key", &key));
            };
            walk.least = Some(time);
            if walk.left_open && walk.right_open {
                walk.finished = true;
                break;
            }
            // A left record can still be found by right ones until `after` it, a right one by left ones until `before`.
            let reach = if left { span.after } else { span.before };
            if time.millis().wrapping_add(reach).wrapping_add(span.grace) >= stream_time.millis() {
                *if left { &mut walk.left_open } else { &mut walk.right_open } = true;
                // Kafka Streams looks at values, not at keys: the next one is then of this time too.
                if walk.left_open && walk.right_open && outer_join::count(&list).is_some_and(|count| count > 1) {
                    walk.finished = true;
                    break;
                }
            } else {
                unmatched.push(Unmatched { key: key.clone(), list });
            }
            walk.after = Some(key);
        }
        Ok(unmatched)
    }
}
