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

/// The length of the value of a delete: no value is that long.
const DELETED: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Slot {
    key_at: usize,
    value_at: usize,
    hash: u32,
    key_len: u32,
    /// Or [`DELETED`].
    value_len: u32,
    /// What the owner keeps with the key.
    tag: u32,
}

/// What the table goes by: 32 bits are kept, and it looks at the upper and at the lower ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
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

/// The hash of a key, for several look-ups of it.
pub(crate) fn key_hash(key: &[u8]) -> u32 {
    let hash = hash(key);
    (hash >> 32) as u32 ^ hash as u32
}

impl Uncommitted {
    fn key(arena: &[u8], slot: &Slot) -> std::ops::Range<usize> {
        debug_assert!(slot.key_at + slot.key_len as usize <= arena.len());
        slot.key_at..slot.key_at + slot.key_len as usize
    }

    fn value(&self, slot: &Slot) -> Option<&[u8]> {
        (slot.value_len != DELETED).then(|| &self.arena[slot.value_at..slot.value_at + slot.value_len as usize])
    }

    fn find(&self, hash: u32, key: &[u8]) -> Option<u32> {
        let Self { table, slots, arena, .. } = self;
        table
            .find(spread(hash), |&index| {
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
        self.get_hashed(key_hash(key), key)
    }

    /// [`Uncommitted::get`] of a key whose hash is known.
    pub(crate) fn get_hashed(&self, hash: u32, key: &[u8]) -> Option<Option<&[u8]>> {
        self.find(hash, key).map(|index| self.value(&self.slots[index as usize]))
    }

    /// The tag of a key whose hash is known, and where it is for [`Uncommitted::renew`].
    #[cfg(feature = "rocksdb")]
    pub(crate) fn tag(&self, hash: u32, key: &[u8]) -> Option<(u32, u32)> {
        self.find(hash, key).map(|index| (self.slots[index as usize].tag, index))
    }

    /// Sets or deletes a key that [`Uncommitted::tag`] has found.
    #[cfg(feature = "rocksdb")]
    pub(crate) fn renew(&mut self, index: u32, value: Option<&[u8]>, tag: u32) {
        self.slots[index as usize].tag = tag;
        self.replace(index, value);
    }

    /// All tags are 0 from now on.
    #[cfg(feature = "rocksdb")]
    pub(crate) fn untag(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.tag = 0);
    }

    /// Sets or deletes a key.
    pub(crate) fn put(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.put_tagged(key_hash(key), key, value, 0);
    }

    /// [`Uncommitted::put`] of a key whose hash is known, with a tag.
    pub(crate) fn put_tagged(&mut self, hash: u32, key: &[u8], value: Option<&[u8]>, tag: u32) {
        if let Some(index) = self.find(hash, key) {
            self.slots[index as usize].tag = tag;
            self.replace(index, value);
            return;
        }
        let key_at = self.arena.len();
        self.arena.extend_from_slice(key);
        let value_at = self.arena.len();
        self.arena.extend_from_slice(value.unwrap_or_default());
        let index = self.slots.len() as u32;
        let value_len = value.map_or(DELETED, |value| value.len() as u32);
        self.slots.push(Slot { key_at, value_at, hash, key_len: key.len() as u32, value_len, tag });
        let slots = &self.slots;
        self.table.insert_unique(spread(hash), index, |&index| spread(slots[index as usize].hash));
        if let Some(sorted) = &mut self.sorted {
            sorted.insert(key.into(), index);
        }
    }

    fn replace(&mut self, index: u32, value: Option<&[u8]>) {
        let slot = &mut self.slots[index as usize];
        let Some(value) = value else {
            slot.value_len = DELETED;
            return;
        };
        if slot.value_len != DELETED && value.len() <= slot.value_len as usize {
            self.arena[slot.value_at..slot.value_at + value.len()].copy_from_slice(value);
        } else {
            slot.value_at = self.arena.len();
            self.arena.extend_from_slice(value);
        }
        slot.value_len = value.len() as u32;
    }

    /// How many keys have a value.
    pub(crate) fn values(&self) -> u64 {
        self.slots.iter().filter(|slot| slot.value_len != DELETED).count() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How much memory the changes take, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.arena.len() + self.slots.len() * ENTRY_BYTES
    }

    /// The changes in the order in which their keys were first written.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.slots.iter().map(|slot| (&self.arena[Self::key(&self.arena, slot)], self.value(slot)))
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

#[cfg(all(test, feature = "rocksdb"))]
mod tests {
    use std::ops::Bound;

    use proptest::prelude::*;

    use super::*;

    /// Many keys have the same.
    fn few(key: &[u8]) -> u32 {
        key.first().map_or(0, |first| u32::from(first % 7))
    }

    proptest! {
        /// Few hashes for many keys; values grow, shrink, go and come back.
        #[test]
        fn changes_are_those_that_were_written_last(
            steps in proptest::collection::vec((0..40u8, proptest::option::of(0..30usize), 0..4u8), 1..200),
        ) {
            let (mut changes, mut model, mut order) = (Uncommitted::default(), BTreeMap::new(), Vec::new());
            for (number, (key, length, kind)) in steps.into_iter().enumerate() {
                let (key, tag) = (vec![key; usize::from(key % 3)], number as u32 + 1);
                let hash = few(&key);
                let value = length.map(|length| vec![number as u8; length]);
                let there = changes.tag(hash, &key);
                prop_assert_eq!(there.map(|(tag, _)| tag), model.get(&key).map(|(_, tag)| *tag));
                match (kind, there) {
                    (0, _) => {
                        changes.untag();
                        model.values_mut().for_each(|(_, tag)| *tag = 0);
                        continue;
                    }
                    (1, Some((_, at))) => changes.renew(at, value.as_deref(), tag),
                    (2, _) => {
                        changes.sort();
                        continue;
                    }
                    _ => changes.put_tagged(hash, &key, value.as_deref(), tag),
                }
                if model.insert(key.clone(), (value, tag)).is_none() {
                    order.push(key);
                }
            }
            for (key, (value, _)) in &model {
                prop_assert_eq!(changes.get_hashed(few(key), key), Some(value.as_deref()));
            }
            prop_assert_eq!(changes.values(), model.values().filter(|(value, _)| value.is_some()).count() as u64);
            let written: Vec<_> = changes.changes().collect();
            let expected: Vec<_> = order.iter().map(|key| (&key[..], model[key].0.as_deref())).collect();
            prop_assert_eq!(written, expected);
            changes.sort();
            let all = (Bound::Unbounded, Bound::Unbounded);
            let scanned: Vec<_> = changes.scan(all, Direction::Backward).collect();
            let backward: Vec<Written> =
                model.iter().rev().map(|(key, (value, _))| (key[..].into(), value.as_deref().map(Box::from))).collect();
            prop_assert_eq!(scanned, backward);
            changes.clear();
            prop_assert!(changes.is_empty() && changes.get_hashed(0, &[]).is_none() && changes.bytes() == 0);
        }
    }
}
