//! The record cache of one store: typed values by encoded key, in order of use and in order of update.
//!
//! ```text
//!  table: hash → slot     slots: [key, value, record context, state]
//!  used:    least ⇄ … ⇄ most recently used        (all entries; eviction takes the least)
//!  updated: first ⇄ … ⇄ last updated              (dirty entries; a flush goes through them in this order)
//! ```
//! A value is in one of three states: clean (as below), dirty (newer than below), lent (moved out; below has it).

use std::collections::BTreeMap;
use std::ops::Bound;

use hashbrown::HashTable;

use super::CacheBudget;
use super::links::{Links, List, NONE};
use super::stamped::Lent;
use crate::model::{RecordContext, Timestamp};
use crate::uncommitted::hash;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Clean,
    Dirty,
    Lent,
}

pub(super) struct Slot<V> {
    pub(super) key: Box<[u8]>,
    hash: u64,
    /// `None` is a delete if dirty, and a value that is elsewhere if lent.
    pub(super) value: Option<V>,
    pub(super) timestamp: Timestamp,
    pub(super) state: State,
    /// The record of the last update, until it is flushed.
    pub(super) record: Option<RecordContext>,
    /// The number of the last update.
    pub(super) update: u64,
    weight: usize,
    used: Links,
    updated: Links,
}

pub(super) struct Cache<V> {
    budget: CacheBudget,
    table: HashTable<u32>,
    slots: Vec<Slot<V>>,
    free: Vec<u32>,
    used: List,
    updated: List,
    /// The entries in the order of their keys, in stores that look for ranges of keys at every record.
    sorted: Option<BTreeMap<Box<[u8]>, u32>>,
    /// Counts updates.
    clock: u64,
    /// What all entries weigh.
    held: usize,
}

impl<V> Cache<V> {
    /// What an entry takes besides key and encoded value.
    const OVERHEAD: usize = size_of::<Slot<V>>() + 8;

    pub(super) fn new(budget: CacheBudget) -> Self {
        Self {
            budget,
            table: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            used: List::default(),
            updated: List::default(),
            sorted: None,
            clock: 0,
            held: 0,
        }
    }

    /// Keeps the entries in the order of their keys from now on: [`Cache::between`] then costs what it finds.
    pub(super) fn sort(&mut self) {
        let entries = self.slots.iter().zip(0u32..).filter(|(slot, _)| !slot.key.is_empty());
        self.sorted = Some(entries.map(|(slot, index)| (slot.key.clone(), index)).collect());
    }

    pub(super) fn find(&self, key: &[u8]) -> Option<u32> {
        let hash = hash(key);
        self.table.find(hash, |&index| *self.slots[index as usize].key == *key).copied()
    }

    pub(super) fn slot(&self, index: u32) -> &Slot<V> {
        &self.slots[index as usize]
    }

    pub(super) fn slot_mut(&mut self, index: u32) -> &mut Slot<V> {
        &mut self.slots[index as usize]
    }

    /// Makes an entry the most recently used.
    pub(super) fn touch(&mut self, index: u32) {
        if self.used.last != index {
            self.used.remove(&mut self.slots, index, |slot| &mut slot.used);
            self.used.push(&mut self.slots, index, |slot| &mut slot.used);
        }
    }

    /// Adds an entry that holds nothing yet; `bytes` is what its value takes when encoded.
    pub(super) fn insert(&mut self, key: &[u8], bytes: usize) -> u32 {
        let hash = hash(key);
        let weight = Self::OVERHEAD + key.len() + bytes;
        let slot = Slot {
            key: key.into(),
            hash,
            value: None,
            timestamp: Timestamp::UNKNOWN,
            state: State::Lent,
            record: None,
            update: self.clock,
            weight,
            used: Links::default(),
            updated: Links::default(),
        };
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = slot;
                index
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        let slots = &self.slots;
        self.table.insert_unique(hash, index, |&index| slots[index as usize].hash);
        if let Some(sorted) = &mut self.sorted {
            sorted.insert(key.into(), index);
        }
        self.used.push(&mut self.slots, index, |slot| &mut slot.used);
        self.held += weight;
        self.budget.add(weight);
        index
    }

    /// Corrects what an entry weighs, once its value has been encoded.
    pub(super) fn weigh(&mut self, index: u32, bytes: usize) {
        let slot = &mut self.slots[index as usize];
        let weight = Self::OVERHEAD + slot.key.len() + bytes;
        if weight != slot.weight {
            self.held = self.held - slot.weight + weight;
            self.budget.add(weight);
            self.budget.remove(slot.weight);
            slot.weight = weight;
        }
    }

    /// Removes an entry; its key and value are dropped.
    pub(super) fn remove(&mut self, index: u32) {
        let (hash, weight) = (self.slots[index as usize].hash, self.slots[index as usize].weight);
        if let Ok(entry) = self.table.find_entry(hash, |&other| other == index) {
            entry.remove();
        }
        self.clean(index);
        self.used.remove(&mut self.slots, index, |slot| &mut slot.used);
        let slot = &mut self.slots[index as usize];
        if let Some(sorted) = &mut self.sorted {
            sorted.remove(&slot.key);
        }
        slot.key = Box::default();
        slot.value = None;
        slot.record = None;
        self.free.push(index);
        self.held -= weight;
        self.budget.remove(weight);
    }

    /// Sets the value of an entry, as the last update of all.
    pub(super) fn update(&mut self, index: u32, value: Option<V>, timestamp: Timestamp, record: &RecordContext) {
        self.clock += 1;
        let clock = self.clock;
        let slot = &mut self.slots[index as usize];
        slot.value = value;
        slot.timestamp = timestamp;
        slot.update = clock;
        match &mut slot.record {
            Some(known) => known.clone_from_record(record),
            None => slot.record = Some(record.clone()),
        }
        let was_dirty = slot.state == State::Dirty;
        slot.state = State::Dirty;
        if !was_dirty {
            self.updated.push(&mut self.slots, index, |slot| &mut slot.updated);
        } else if self.updated.last != index {
            self.updated.remove(&mut self.slots, index, |slot| &mut slot.updated);
            self.updated.push(&mut self.slots, index, |slot| &mut slot.updated);
        }
        self.touch(index);
    }

    /// Takes an entry out of the dirty ones; its value is then to be moved out.
    pub(super) fn clean(&mut self, index: u32) {
        if self.slots[index as usize].state == State::Dirty {
            self.updated.remove(&mut self.slots, index, |slot| &mut slot.updated);
            self.slots[index as usize].state = State::Lent;
        }
    }

    /// The number of the last update so far.
    pub(super) fn clock(&self) -> u64 {
        self.clock
    }

    /// The dirty entry whose last update is the oldest.
    pub(super) fn first_dirty(&self) -> Option<u32> {
        (self.updated.first != NONE).then_some(self.updated.first)
    }

    /// All dirty entries, in the order of their last update.
    pub(super) fn dirty(&self) -> impl Iterator<Item = &Slot<V>> {
        let next = |index: u32| (index != NONE).then_some(index);
        std::iter::successors(next(self.updated.first), move |&index| next(self.slots[index as usize].updated.next))
            .map(|index| &self.slots[index as usize])
    }

    /// The entries between two keys, both included, in the order of their keys; only the dirty ones, and in no order,
    /// unless the cache is sorted.
    pub(super) fn between<'a>(&'a self, first: &'a [u8], last: &'a [u8]) -> Box<dyn Iterator<Item = &'a Slot<V>> + 'a> {
        let Some(sorted) = &self.sorted else {
            return Box::new(self.dirty().filter(move |slot| *slot.key >= *first && *slot.key <= *last));
        };
        if first > last {
            return Box::new(std::iter::empty());
        }
        let found = sorted.range::<[u8], _>((Bound::Included(first), Bound::Included(last)));
        Box::new(found.map(|(_, index)| self.slot(*index)))
    }

    /// Puts a lent value back, unless the entry has changed in the meantime.
    pub(super) fn put_back(&mut self, lent: Lent, value: Option<V>) {
        let waits = |slot: &Slot<V>| slot.state == State::Lent && slot.update == lent.update;
        match self.slots.get_mut(lent.slot as usize).filter(|slot| waits(slot)) {
            Some(slot) if value.is_some() => {
                slot.value = value;
                slot.state = State::Clean;
            }
            _ => {}
        }
    }

    /// Drops the least recently used entries that are clean while the budget is exceeded. Answers the dirty entry that
    /// stands in the way.
    pub(super) fn trim(&mut self) -> Option<u32> {
        while self.budget.exceeded() && self.used.first != NONE {
            let least = self.used.first;
            match self.slots[least as usize].state {
                State::Clean => self.remove(least),
                State::Dirty => return Some(least),
                // It is on its way through the nodes below and comes back soon.
                State::Lent => return None,
            }
        }
        None
    }
}

impl<V> Drop for Cache<V> {
    fn drop(&mut self) {
        self.budget.remove(self.held);
    }
}
