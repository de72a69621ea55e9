//! Rows of a database in memory: those that RocksDB has not been given yet, and copies of others that were in use lately.
//!
//! ```text
//!  get ──▶ ahead ──▶ copies: youngest ──▶ … ──▶ oldest ──▶ RocksDB     what was found in RocksDB is copied to the youngest
//!  write ─▶ ahead                                 or straight to RocksDB, and to the youngest copies if copies are found
//!           too many ahead: RocksDB takes them over, in the order of their keys, and they are the youngest copies now
//!           too many copies: the oldest ones go; those that are found shortly before are copied to the youngest
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

/// So many times fewer rows than a generation may have join the youngest one instead of being one.
const FEW: usize = 8;

/// A longer value is not copied: that costs as much as finding it.
const LONGEST: usize = 2 << 10;

/// How many generations of copies there are. Each is searched, so that more of them would cost more than they keep.
const GENERATIONS: usize = 4;

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
    /// By generation, the youngest first.
    copies: [Uncommitted; GENERATIONS],
}

impl FamilyRows {
    /// The newest copy of a row, and its generation.
    fn copy(&self, hash: u32, key: &[u8]) -> Option<(usize, Option<&[u8]>)> {
        self.copies.iter().enumerate().find_map(|(age, rows)| Some((age, rows.get_hashed(hash, key)?)))
    }
}

/// Whether copies are worth their making: judged by how many look-ups found one.
#[derive(Default)]
struct Worth {
    asked: u32,
    found: u32,
    /// Only one row in [`SAMPLE`] is copied, to notice when that changes.
    low: bool,
    skipped: u32,
}

/// See [`Worth::low`].
const SAMPLE: u32 = 16;
/// After so many look-ups copies are judged.
const JUDGED: u32 = 4096;
/// One look-up in so many has to find a copy.
const RARE: u32 = 3;

impl Worth {
    fn asked(&mut self, found: bool) {
        self.asked += 1;
        self.found += u32::from(found);
        if self.asked == JUDGED {
            let found = if self.low { self.found * SAMPLE } else { self.found };
            *self = Self { low: found < JUDGED / RARE, ..Self::default() };
        }
    }

    fn allows(&mut self) -> bool {
        self.skipped += 1;
        if self.low && self.skipped < SAMPLE {
            return false;
        }
        self.skipped = 0;
        true
    }
}

/// The rows of one database.
pub(super) struct Rows {
    budget: Arc<Budget>,
    families: HashMap<FamilyId, FamilyRows, FxBuildHasher>,
    /// Bytes of all families; of the copies by generation.
    ahead: usize,
    copies: [usize; GENERATIONS],
    worth: Worth,
}

impl Rows {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        budget.databases.fetch_add(1, Ordering::Relaxed);
        Self { budget, families: HashMap::default(), ahead: 0, copies: [0; GENERATIONS], worth: Worth::default() }
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

    /// What the rows ahead may take, and each generation of copies.
    fn part(&self) -> usize {
        self.share() / 3
    }

    pub(super) fn total(&self) -> usize {
        self.ahead + self.copies.iter().sum::<usize>()
    }

    /// Whether it is time for RocksDB to take over those that it lacks.
    pub(super) fn is_full(&self) -> bool {
        self.ahead > self.part()
    }

    /// Appends the value of a row to `out` and answers whether there is one; `None` if only RocksDB knows.
    pub(super) fn get(&mut self, family: FamilyId, key: &[u8], out: &mut Vec<u8>) -> Option<bool> {
        let hash = key_hash(key);
        let rows = self.families.get(&family);
        if let Some(value) = rows.and_then(|rows| rows.ahead.get_hashed(hash, key)) {
            out.extend_from_slice(value.unwrap_or_default());
            return Some(value.is_some());
        }
        let found = rows.and_then(|rows| rows.copy(hash, key));
        self.worth.asked(found.is_some());
        let (age, value) = found?;
        let from = out.len();
        out.extend_from_slice(value.unwrap_or_default());
        let found = value.is_some();
        if self.goes_soon(age) {
            self.copy(family, hash, key, found.then_some(&out[from..]));
        }
        Some(found)
    }

    /// Whether this generation is the next to go.
    fn goes_soon(&self, age: usize) -> bool {
        age > 0 && self.copies[age + 1..].iter().all(|&bytes| bytes == 0) && self.total() > self.share() / 8 * 7
    }

    fn copy(&mut self, family: FamilyId, hash: u32, key: &[u8], value: Option<&[u8]>) {
        let rows = &mut self.families.entry(family).or_default().copies[0];
        let before = rows.bytes();
        rows.put_hashed(hash, key, value);
        self.copies[0] += rows.bytes() - before;
        if self.copies[0] > self.part() {
            self.turn();
        }
        self.age();
    }

    /// Keeps a row that was found in RocksDB.
    pub(super) fn keep(&mut self, family: FamilyId, key: &[u8], value: &[u8]) {
        if !self.are_kept() || value.len() > LONGEST || !self.worth.allows() {
            return;
        }
        self.copy(family, key_hash(key), key, Some(value));
    }

    /// Whether rows that are written to RocksDB are to be copied by [`Rows::follow`]; else their family is to be forgotten.
    pub(super) fn follow_writes(&self) -> bool {
        self.are_kept() && !self.worth.low
    }

    /// Copies a row that RocksDB is about to have. There must be none ahead of it.
    pub(super) fn follow(&mut self, family: FamilyId, key: &[u8], value: Option<&[u8]>) {
        let hash = key_hash(key);
        let long = value.is_some_and(|value| value.len() > LONGEST);
        let copied = || self.families.get(&family).is_some_and(|rows| rows.copy(hash, key).is_some());
        if !long || copied() {
            self.copy(family, hash, key, value);
        }
    }

    /// All copies are a generation older now. The oldest go, and their memory is for those that come.
    fn turn(&mut self) {
        self.copies.rotate_right(1);
        self.copies[0] = 0;
        for FamilyRows { copies, .. } in self.families.values_mut() {
            copies.rotate_right(1);
            copies[0].clear();
        }
    }

    fn age(&mut self) {
        while self.total() > self.share() {
            let Some(oldest) = self.copies.iter().rposition(|&bytes| bytes > 0) else { return };
            self.copies[oldest] = 0;
            for FamilyRows { copies, .. } in self.families.values_mut() {
                copies[oldest] = Uncommitted::default();
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
        if self.ahead < self.part() / FEW {
            for FamilyRows { ahead, copies } in self.families.values_mut() {
                let before = copies[0].bytes();
                for (key, value) in ahead.changes() {
                    copies[0].put(key, value);
                }
                self.copies[0] += copies[0].bytes() - before;
                ahead.clear();
            }
        } else {
            self.turn();
            self.copies[0] = self.ahead;
            for FamilyRows { ahead, copies } in self.families.values_mut() {
                std::mem::swap(ahead, &mut copies[0]);
            }
        }
        self.ahead = 0;
        self.age();
    }

    /// Forgets the rows of a family.
    pub(super) fn forget(&mut self, family: FamilyId) {
        let Some(rows) = self.families.remove(&family) else { return };
        self.ahead -= rows.ahead.bytes();
        for (bytes, copies) in self.copies.iter_mut().zip(&rows.copies) {
            *bytes -= copies.bytes();
        }
    }
}

#[cfg(test)]
impl Rows {
    /// How many bytes the rows take.
    pub(super) fn bytes(&self) -> usize {
        let families = self.families.values();
        families.map(|rows| rows.ahead.bytes() + rows.copies.iter().map(Uncommitted::bytes).sum::<usize>()).sum()
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.budget.databases.fetch_sub(1, Ordering::Relaxed);
    }
}
