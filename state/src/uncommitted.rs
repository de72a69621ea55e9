//! The uncommitted layer: what a transaction has written to one family and has not committed yet.
//!
//! ```text
//!  table: hash → slot index      slots: where key and value are     arena: key value value' key value …
//!  sorted: key → slot index      (only once something has scanned in this transaction)
//! ```
//! An entry costs no allocation of its own: keys and values lie in one arena. A value that is replaced by one that is
//! not longer is overwritten in place.

use std::collections::BTreeMap;
use std::hash::Hasher;

use hashbrown::HashTable;
use rustc_hash::FxHasher;

use crate::engine::{Direction, KeyRange, is_empty};

/// What the table and the slot of an entry take, roughly.
const ENTRY_BYTES: usize = size_of::<Slot>() + 8;

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u64,
    key_at: usize,
    value_at: usize,
    key_len: u32,
    /// `None` is a delete.
    value_len: Option<u32>,
}

/// A change as a scan gives it: the key, and the value unless it is a delete.
pub(crate) type Written = (Box<[u8]>, Option<Box<[u8]>>);

/// Uncommitted changes of one family.
#[derive(Debug, Default)]
pub(crate) struct Uncommitted {
    table: HashTable<u32>,
    slots: Vec<Slot>,
    arena: Vec<u8>,
    sorted: Option<BTreeMap<Box<[u8]>, u32>>,
}

pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(bytes);
    hasher.finish()
}

impl Uncommitted {
    fn key(arena: &[u8], slot: &Slot) -> std::ops::Range<usize> {
        debug_assert!(slot.key_at + slot.key_len as usize <= arena.len());
        slot.key_at..slot.key_at + slot.key_len as usize
    }

    fn value(&self, slot: &Slot) -> Option<&[u8]> {
        slot.value_len.map(|len| &self.arena[slot.value_at..slot.value_at + len as usize])
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        let Self { table, slots, arena, .. } = self;
        table
            .find(hash, |&index| {
                let slot = &slots[index as usize];
                slot.hash == hash && arena[Self::key(arena, slot)] == *key
            })
            .copied()
    }

    /// `None` if the key was not touched, `Some(None)` if it was deleted.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        if self.slots.is_empty() {
            return None;
        }
        self.find(hash(key), key).map(|index| self.value(&self.slots[index as usize]))
    }

    /// Sets or deletes a key.
    pub(crate) fn put(&mut self, key: &[u8], value: Option<&[u8]>) {
        let hash = hash(key);
        if let Some(index) = self.find(hash, key) {
            self.replace(index, value);
            return;
        }
        let key_at = self.arena.len();
        self.arena.extend_from_slice(key);
        let value_at = self.arena.len();
        self.arena.extend_from_slice(value.unwrap_or_default());
        let index = self.slots.len() as u32;
        let value_len = value.map(|value| value.len() as u32);
        self.slots.push(Slot { hash, key_at, value_at, key_len: key.len() as u32, value_len });
        let slots = &self.slots;
        self.table.insert_unique(hash, index, |&index| slots[index as usize].hash);
        if let Some(sorted) = &mut self.sorted {
            sorted.insert(key.into(), index);
        }
    }

    fn replace(&mut self, index: u32, value: Option<&[u8]>) {
        let slot = &mut self.slots[index as usize];
        let Some(value) = value else {
            slot.value_len = None;
            return;
        };
        if slot.value_len.is_some_and(|len| value.len() <= len as usize) {
            self.arena[slot.value_at..slot.value_at + value.len()].copy_from_slice(value);
        } else {
            slot.value_at = self.arena.len();
            self.arena.extend_from_slice(value);
        }
        slot.value_len = Some(value.len() as u32);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How much memory the changes take, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.arena.len() + self.slots.len() * ENTRY_BYTES
    }

    /// The changes in the order in which their keys were first written, or after [`Uncommitted::order`] in that of keys.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.slots.iter().map(|slot| (&self.arena[Self::key(&self.arena, slot)], self.value(slot)))
    }

    /// Puts the changes into the order of their keys, for a write in bulk. Look-ups and scans no longer work until the
    /// next `clear`.
    pub(crate) fn order(&mut self) {
        let arena = &self.arena;
        self.slots.sort_unstable_by(|a, b| arena[Self::key(arena, a)].cmp(&arena[Self::key(arena, b)]));
        self.table.clear();
        self.sorted = None;
    }

    /// As [`Uncommitted::order`].
    pub(crate) fn into_sorted(mut self) -> Self {
        self.order();
        self
    }

    /// Makes [`Uncommitted::scan`] possible until the next `clear`.
    pub(crate) fn sort(&mut self) {
        if self.sorted.is_none() {
            let keys = self.slots.iter().zip(0u32..);
            self.sorted =
                Some(keys.map(|(slot, index)| (self.arena[Self::key(&self.arena, slot)].into(), index)).collect());
        }
    }

    /// The changes of a range of keys in order. Empty unless [`Uncommitted::sort`] was called in this transaction.
    pub(crate) fn scan(&self, range: KeyRange<'_>, direction: Direction) -> Box<dyn Iterator<Item = Written> + '_> {
        debug_assert!(self.sorted.is_some() || self.slots.is_empty(), "scan without sort");
        let Some(sorted) = self.sorted.as_ref().filter(|_| !is_empty(&range)) else {
            return Box::new(std::iter::empty());
        };
        let entries = sorted.range::<[u8], _>(range);
        let own =
            |(key, index): (&[u8], &u32)| (Box::from(key), self.value(&self.slots[*index as usize]).map(Box::from));
        match direction {
            Direction::Forward => Box::new(entries.map(|(key, index)| (&**key, index)).map(own)),
            Direction::Backward => Box::new(entries.rev().map(|(key, index)| (&**key, index)).map(own)),
        }
    }

    /// Forgets everything, keeping about as much memory as this transaction needed.
    pub(crate) fn clear(&mut self) {
        let (bytes, entries) = (self.arena.len(), self.slots.len());
        self.sorted = None;
        self.table.clear();
        self.slots.clear();
        self.arena.clear();
        if self.arena.capacity() > 4 * bytes.max(16 << 10) {
            self.arena.shrink_to(2 * bytes);
            self.slots.shrink_to(2 * entries);
            self.table.shrink_to(2 * entries, |_| 0);
        }
    }
}
