//! Scans of a database: RocksDB's rows, and over them those it has not been given yet.

use std::ops::{Bound, RangeBounds};

use rocksdb::{ColumnFamily, DB, IteratorMode, ReadOptions};

use crate::engine::{Direction, KeyRange, Scan};
use crate::error::EngineError;
use crate::merge::Merge;
use crate::uncommitted::{Uncommitted, Written};

/// What RocksDB has of a range.
pub(super) fn scan<'a>(
    db: &'a DB,
    family: &ColumnFamily,
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

/// Lays the rows that are ahead over a scan of the same range.
pub(super) fn over<'a>(base: Scan<'a>, ahead: &Uncommitted, range: KeyRange<'_>, direction: Direction) -> Scan<'a> {
    let within = |key: &[u8]| RangeBounds::<[u8]>::contains(&range, key);
    let owned = |(key, value): (&[u8], Option<&[u8]>)| -> Written { (key.into(), value.map(Box::from)) };
    let mut rows: Vec<_> = ahead.changes().filter(|(key, _)| within(key)).map(owned).collect();
    rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    if direction == Direction::Backward {
        rows.reverse();
    }
    Box::new(Merge::new(rows.into_iter(), base, direction))
}

/// The smallest key after `key`.
fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}
