//! Lays changes over the entries of a scan.

use std::cmp::Ordering;
use std::iter::Peekable;

use crate::engine::{Direction, Entry};
use crate::uncommitted::Written;

/// The entries of `base` as `overlay` changes them; both must be in the order of `direction`.
pub(crate) struct Merge<O: Iterator, B: Iterator> {
    overlay: Peekable<O>,
    base: Peekable<B>,
    direction: Direction,
}

impl<O: Iterator<Item = Written>, E, B: Iterator<Item = Result<Entry, E>>> Merge<O, B> {
    pub(crate) fn new(overlay: O, base: B, direction: Direction) -> Self {
        Self { overlay: overlay.peekable(), base: base.peekable(), direction }
    }
}

impl<O: Iterator<Item = Written>, E, B: Iterator<Item = Result<Entry, E>>> Iterator for Merge<O, B> {
    type Item = Result<Entry, E>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let order = match (self.overlay.peek(), self.base.peek()) {
                (None, _) | (_, Some(Err(_))) => return self.base.next(),
                (Some(_), None) => Ordering::Less,
                (Some((over, _)), Some(Ok((base, _)))) => match self.direction {
                    Direction::Forward => over.cmp(base),
                    Direction::Backward => base.cmp(over),
                },
            };
            if order == Ordering::Greater {
                return self.base.next();
            }
            if order == Ordering::Equal {
                self.base.next();
            }
            if let Some((key, Some(value))) = self.overlay.next() {
                return Some(Ok((key, value)));
            }
        }
    }
}
