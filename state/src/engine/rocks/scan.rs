//! Scans of a database, which RocksDB has all rows of by then.

use std::ops::Bound;

use rocksdb::{AsColumnFamilyRef, IteratorMode, ReadOptions};

use super::base::Db;
use crate::engine::{Direction, KeyRange, Scan};
use crate::error::EngineError;

/// The rows of a range.
pub(super) fn scan<'a>(
    db: &'a Db,
    family: &impl AsColumnFamilyRef,
    range: KeyRange<'_>,
    direction: Direction,
    failed: impl Fn(rocksdb::Error) -> EngineError + 'a,
) -> Scan<'a> {
    let mut options = ReadOptions::default();
    match range.0 {
        Bound::Included(from) => options.set_iterate_lower_bound(from),
        Bound::Excluded(from) => options.set_iterate_lower_bound(successor(from)),
        Bound::Unbounded => {}
    }
    match range.1 {
        Bound::Included(to) => options.set_iterate_upper_bound(successor(to)),
        Bound::Excluded(to) => options.set_iterate_upper_bound(to),
        Bound::Unbounded => {}
    }
    let mode = match direction {
        Direction::Forward => IteratorMode::Start,
        Direction::Backward => IteratorMode::End,
    };
    Box::new(db.iterator_cf_opt(family, options, mode).map(move |entry| entry.map_err(&failed)))
}

/// The smallest key after `key`.
fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}
