//! Rows of a database in memory: those that RocksDB has not been given yet, and copies of others that were looked up lately.
//!
//! ```text
//!  get ──▶ ahead ──▶ young ──▶ old ──▶ RocksDB       what is found in old or in RocksDB is copied to young
//!  write ─▶ ahead
//!           too many ahead: RocksDB takes them over, in the order of their keys, and they are old now
//!           too many young: they are old now, and the old ones go
//! ```
//! Each is newer than the next one, so that a row counts where it is found first, and nothing has to be changed in two places.
//! RocksDB has to be told of a key once for many writes to it, and a row that is in use is found by one hash instead of a
//! search through a memtable, its filter and files.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use crate::engine::FamilyId;
use crate::uncommitted::{Uncommitted, key_hash};

/// A longer value is not copied: that costs as much as finding it.
const LONGEST: usize = 2 << 10;

/// What the rows of all databases of an instance may take. Each has an equal share.
#[derive(Debug)]
pub(in crate::engine) struct Budget {
    bytes: usize,
    journals: u64,
    databases: AtomicUsize,
}

impl Budget {
    /// Bounds in bytes, of memory and of journals. With no memory nothing is kept.
    pub(in crate::engine) fn new(bytes: usize, journals: u64) -> Arc<Self> {
        Arc::new(Self { bytes, journals, databases: AtomicUsize::new(0) })
    }

    fn databases(&self) -> usize {
        self.databases.load(Ordering::Relaxed).max(1)
    }

    /// How long the journal of one database may be.
    pub(super) fn journal(&self) -> u64 {
        self.journals / self.databases() as u64
    }
}

#[derive(Default)]
struct FamilyRows {
    ahead: Uncommitted,
    young: Uncommitted,
    old: Uncommitted,
}

/// Whether copies are worth their making: each should be found a few times before it goes.
#[derive(Default)]
struct Worth {
    copies: u32,
    found: u32,
    /// Only one row in [`SAMPLE`] is copied, to notice when that changes.
    low: bool,
    skipped: u32,
}

/// See [`Worth::low`].
const SAMPLE: u32 = 16;
/// After so many copies they are judged.
const JUDGED: u32 = 4096;

impl Worth {
    fn allows(&mut self) -> bool {
        self.skipped += 1;
        if self.low && self.skipped < SAMPLE {
            return false;
        }
        self.skipped = 0;
        self.copies += 1;
        if self.copies == JUDGED {
            let low = self.found < self.copies / 2;
            *self = Self { low, ..Self::default() };
        }
        true
    }
}

/// The rows of one database.
pub(super) struct Rows {
    budget: Arc<Budget>,
    families: HashMap<FamilyId, FamilyRows, FxBuildHasher>,
    /// Bytes of all families, by generation.
    ahead: usize,
    young: usize,
    old: usize,
    worth: Worth,
}

impl Rows {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        budget.databases.fetch_add(1, Ordering::Relaxed);
        Self { budget, families: HashMap::default(), ahead: 0, young: 0, old: 0, worth: Worth::default() }
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Whether rows are kept at all.
    pub(super) fn are_kept(&self) -> bool {
        self.budget.bytes > 0
    }

    fn share(&self) -> usize {
        self.budget.bytes / self.budget.databases()
    }

    /// Whether it is time for RocksDB to take over those that it lacks: they may take a third of the memory, for they take
    /// as much again when they are old.
    pub(super) fn is_full(&self) -> bool {
        self.ahead > self.share() / 3
    }

    /// Appends the value of a row to `out` and answers whether there is one; `None` if only RocksDB knows.
    pub(super) fn get(&mut self, family: FamilyId, key: &[u8], out: &mut Vec<u8>) -> Option<bool> {
        let FamilyRows { ahead, young, old } = self.families.get_mut(&family)?;
        let hash = key_hash(key);
        if let Some(value) = ahead.get_hashed(hash, key) {
            out.extend_from_slice(value.unwrap_or_default());
            return Some(value.is_some());
        }
        if let Some(value) = young.get_hashed(hash, key) {
            self.worth.found = self.worth.found.saturating_add(1);
            out.extend_from_slice(value.unwrap_or_default());
            return Some(value.is_some());
        }
        let value = old.get_hashed(hash, key)?;
        self.worth.found = self.worth.found.saturating_add(1);
        out.extend_from_slice(value.unwrap_or_default());
        let (before, found) = (young.bytes(), value.is_some());
        young.put_hashed(hash, key, value);
        self.young += young.bytes() - before;
        self.age();
        Some(found)
    }

    /// Keeps a row that was found in RocksDB.
    pub(super) fn keep(&mut self, family: FamilyId, key: &[u8], value: &[u8]) {
        if !self.are_kept() || value.len() > LONGEST || !self.worth.allows() {
            return;
        }
        let young = &mut self.families.entry(family).or_default().young;
        let before = young.bytes();
        young.put(key, Some(value));
        self.young += young.bytes() - before;
        self.age();
    }

    fn age(&mut self) {
        if self.ahead + self.young + self.old > self.share() {
            (self.old, self.young) = (self.young, 0);
            for FamilyRows { young, old, .. } in self.families.values_mut() {
                std::mem::swap(old, young);
                young.clear();
            }
        }
    }

    /// Sets or deletes a row.
    pub(super) fn put(&mut self, family: FamilyId, key: &[u8], value: Option<&[u8]>) {
        let ahead = &mut self.families.entry(family).or_default().ahead;
        let before = ahead.bytes();
        ahead.put(key, value);
        self.ahead += ahead.bytes() - before;
        self.age();
    }

    /// How many rows RocksDB lacks.
    pub(super) fn count(&self) -> u64 {
        self.families.values().map(|rows| rows.ahead.len() as u64).sum()
    }

    /// The families of which RocksDB lacks rows, and these rows.
    pub(super) fn ahead(&self) -> impl Iterator<Item = (FamilyId, &Uncommitted)> {
        let ahead = self.families.iter().map(|(id, rows)| (*id, &rows.ahead));
        ahead.filter(|(_, rows)| !rows.is_empty())
    }

    /// The rows of a family that RocksDB lacks.
    pub(super) fn ahead_of(&self, family: FamilyId) -> Option<&Uncommitted> {
        self.families.get(&family).map(|rows| &rows.ahead).filter(|rows| !rows.is_empty())
    }

    /// RocksDB has all rows now.
    pub(super) fn settle(&mut self) {
        (self.ahead, self.young, self.old) = (0, 0, self.ahead + self.young);
        for FamilyRows { ahead, young, old } in self.families.values_mut() {
            // What goes gives its memory to what comes.
            std::mem::swap(old, if ahead.is_empty() { &mut *young } else { &mut *ahead });
            ahead.clear();
            young.clear();
        }
    }

    /// Forgets the rows of a family.
    pub(super) fn forget(&mut self, family: FamilyId) {
        if let Some(rows) = self.families.remove(&family) {
            self.ahead -= rows.ahead.bytes();
            self.young -= rows.young.bytes();
            // Less what `settle` has counted for young ones that it gave up.
            self.old = self.old.saturating_sub(rows.old.bytes());
        }
    }
}

#[cfg(test)]
impl Rows {
    /// How many bytes the rows take.
    pub(super) fn bytes(&self) -> usize {
        let families = self.families.values();
        families.map(|rows| rows.ahead.bytes() + rows.young.bytes() + rows.old.bytes()).sum()
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.budget.databases.fetch_sub(1, Ordering::Relaxed);
    }
}
