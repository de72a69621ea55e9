//! Reads of session stores; single sessions are read and written as windows are.

use std::ops::Bound;

use super::super::StoreId;
use super::TaskStores;
use super::key_value::StoreScan;
use super::window::{Wanted, between};
use crate::engine::Direction;
use crate::error::StateError;
use crate::key_order::{session_key, split_session_key};
use crate::model::{Timestamp, Window};

impl TaskStores {
    /// The sessions of one key that end at `earliest_end` or later and start at `latest_start` or earlier, in the
    /// order of their ends.
    ///
    /// # Errors
    /// If the engine cannot read, or the store is not a session store.
    pub fn session_find(
        &mut self,
        store: StoreId,
        key: &[u8],
        (earliest_end, latest_start): (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<StoreScan<'_>, StateError> {
        let from = self.live_from(store, earliest_end)?;
        let bound = |start, end| session_key(key, Window { start: at(start), end: at(end) });
        // Stored times are not negative; as bytes negative ones would sort behind all others.
        let range = (Bound::Included(bound(0, from.max(0))), Bound::Included(bound(i64::MAX, i64::MAX)));
        let place = Wanted { segments: (from, i64::MAX), range, times: (from, i64::MAX), direction, after: None };
        let key = key.to_vec();
        self.segments_scan(store, place, in_sessions((from, latest_start), move |found| found == key))
    }

    /// The sessions of the keys between two (both included, `None` is open) that end at `earliest_end` or later and
    /// start at `latest_start` or earlier: by segment, then in the order of the store.
    ///
    /// # Errors
    /// As [`TaskStores::session_find`].
    pub fn session_find_keys(
        &mut self,
        store: StoreId,
        keys: (Option<&[u8]>, Option<&[u8]>),
        (earliest_end, latest_start): (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<StoreScan<'_>, StateError> {
        let from = self.live_from(store, earliest_end)?;
        let first = keys.0.map_or(Bound::Unbounded, |first| Bound::Included(first.to_vec()));
        let range = (first, Bound::Unbounded);
        let place = Wanted { segments: (from, i64::MAX), range, times: (from, i64::MAX), direction, after: None };
        self.segments_scan(store, place, in_sessions((from, latest_start), between(keys)))
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Whether a session store's key ends late and starts early enough and is `wanted` by its record's key.
fn in_sessions(
    (earliest_end, latest_start): (i64, Timestamp),
    wanted: impl Fn(&[u8]) -> bool,
) -> impl Fn(&[u8]) -> bool {
    move |bytes| {
        split_session_key(bytes).is_some_and(|(key, session)| {
            session.end.millis() >= earliest_end && session.start <= latest_start && wanted(key)
        })
    }
}
