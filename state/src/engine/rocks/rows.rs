//! Copies of rows in memory: of those that were written or looked up lately.
//!
//! ```text
//!  get ──▶ copies: youngest ──▶ … ──▶ oldest ──▶ journals ──▶ RocksDB     what was found there is copied to the youngest
//!  write ─▶ journal                                                        and to the copies, while copies are found
//!           too many copies: the oldest ones go; those that are found shortly before are copied to the youngest
//! ```
//! Each is newer than the next one, so that a row counts where it is found first. A row that is in use is found by one hash
//! instead of a read of a file, or a search through a memtable, its filter and files.
//!
//! Where the journal that is written to has a row is known of its copy, and of a row that was looked up there lately: a newer row
//! can take its place without a look.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use crate::engine::FamilyId;
use crate::uncommitted::{Uncommitted, key_hash};

/// A longer value is not copied: that costs as much as finding it.
const LONGEST: usize = 2 << 10;

/// How many generations of copies there are. Each is searched, so that more of them would cost more than they keep.
const GENERATIONS: usize = 4;

/// What the rows of all databases of an instance may take. Each has an equal share.
#[derive(Debug)]
pub(in crate::engine) struct Budget {
    bytes: usize,
    /// What rows take that a family is filled with.
    filling: usize,
    journals: u64,
    databases: AtomicUsize,
}

impl Budget {
    /// Bounds in bytes: of memory, also that of RocksDB's write buffers, and of journals. With no memory nothing is kept.
    pub(in crate::engine) fn new(bytes: usize, write_buffers: usize, journals: u64) -> Arc<Self> {
        // While a family is filled there are neither copies nor write buffers.
        Arc::new(Self { bytes, filling: bytes + write_buffers, journals, databases: AtomicUsize::new(0) })
    }

    /// How many bytes of rows a family of one database is given at once while it is filled.
    pub(super) fn filling(&self) -> usize {
        self.filling / self.databases() / 8 * 7
    }

    fn databases(&self) -> usize {
        self.databases.load(Ordering::Relaxed).max(1)
    }

    /// How long the journal of one database may be.
    pub(super) fn journal(&self) -> u64 {
        self.journals / self.databases() as u64
    }
}

/// Of a database's memory, the part that keys may take whose rows were looked up in the journal.
const LOOKED_UP: usize = 8;

#[derive(Default)]
struct FamilyRows {
    /// By generation, the youngest first.
    copies: [Uncommitted; GENERATIONS],
    /// Keys whose rows were looked up in the journal that is written to since the last write: their tags are the places.
    looked_up: Uncommitted,
}

impl FamilyRows {
    /// The newest copy of a row, and its generation.
    fn copy(&self, Key { hash, key, .. }: Key<'_>) -> Option<(usize, Option<&[u8]>)> {
        self.copies.iter().enumerate().find_map(|(age, rows)| Some((age, rows.get_hashed(hash, key)?)))
    }

    /// The place of a row that was looked up; from now on this is its place.
    fn place_looked_up(&mut self, Key { hash, key, .. }: Key<'_>, now: u32) -> Option<u32> {
        let (place, index) = self.looked_up.tag(hash, key)?;
        self.looked_up.renew(index, None, now);
        Some(place)
    }

    /// The generation of the newest copy, its tag, and where it is.
    fn tag(&self, Key { hash, key, .. }: Key<'_>) -> Option<(usize, u32, u32)> {
        self.copies.iter().enumerate().find_map(|(age, rows)| {
            let (tag, index) = rows.tag(hash, key)?;
            Some((age, tag, index))
        })
    }
}

/// Whether copies are worth their making: judged by how many look-ups and writes found one.
#[derive(Default)]
struct Worth {
    asked: u32,
    found: u32,
    /// They are not. Only keys with one hash in [`SAMPLE`] are copied and judged, in as small a part of the memory: what they find,
    /// all keys would find in all of it.
    low: bool,
    /// So many are not judged: copies have only begun to be made.
    ahead: u32,
}

/// See [`Worth::low`].
const SAMPLE: u32 = 16;
/// After so many look-ups and writes copies are judged.
const JUDGED: u32 = 4096;
/// One in so many has to find a copy.
const RARE: u32 = 3;
/// See [`Worth::ahead`].
const AHEAD: u32 = 32 * JUDGED;

impl Worth {
    /// Whether a key with this hash may have a copy.
    fn covers(&self, hash: u32) -> bool {
        !self.low || hash.wrapping_mul(0x9e37_79b1) <= u32::MAX / SAMPLE
    }

    /// Answers whether copies have just turned out not to be worth it.
    fn asked(&mut self, found: bool) -> bool {
        if self.ahead > 0 {
            self.ahead -= 1;
            return false;
        }
        self.asked += 1;
        self.found += u32::from(found);
        if self.asked < if self.low { JUDGED / SAMPLE } else { JUDGED } {
            return false;
        }
        let (was, low) = (self.low, self.found < self.asked / RARE);
        let ahead = if was && !low { AHEAD } else { 0 };
        *self = Self { low, ahead, ..Self::default() };
        low && !was
    }
}

/// The copies of one database.
pub(super) struct Rows {
    budget: Arc<Budget>,
    families: HashMap<FamilyId, FamilyRows, FxBuildHasher>,
    /// Bytes of all families, by generation.
    copies: [usize; GENERATIONS],
    /// What the places of the journals take of their memory.
    places: usize,
    /// Bytes of the keys of all families that were looked up.
    looked_up: usize,
    worth: Worth,
}

/// A key of a family, with its hash.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) family: FamilyId,
    pub(super) hash: u32,
    pub(super) key: &'a [u8],
}

impl<'a> Key<'a> {
    pub(super) fn new(family: FamilyId, key: &'a [u8]) -> Self {
        Self { family, hash: key_hash(key), key }
    }
}

/// A row in a journal or in RocksDB, and its place in the journal that is written to, or 0.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) value: Option<&'a [u8]>,
    pub(super) place: u32,
}

impl Rows {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        budget.databases.fetch_add(1, Ordering::Relaxed);
        let worth = Worth::default();
        Self { budget, families: HashMap::default(), copies: [0; GENERATIONS], places: 0, looked_up: 0, worth }
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Whether rows are kept at all.
    pub(super) fn are_kept(&self) -> bool {
        self.budget.bytes > 0
    }

    pub(super) fn share(&self) -> usize {
        self.budget.bytes / self.budget.databases()
    }

    /// What all copies may take.
    fn room(&self) -> usize {
        let room = self.share().saturating_sub(self.places + self.looked_up);
        if self.worth.low { room.min(self.share() / SAMPLE as usize) } else { room }
    }

    /// What all copies take.
    fn copied(&self) -> usize {
        self.copies.iter().sum()
    }

    /// Appends the value of a row to `out` and answers whether there is one; `None` if there is no copy.
    pub(super) fn get(&mut self, key: Key<'_>, out: &mut Vec<u8>) -> Option<bool> {
        if !self.worth.covers(key.hash) {
            return None;
        }
        let rows = self.families.get(&key.family);
        let Some((age, value)) = rows.and_then(|rows| rows.copy(key)) else {
            self.asked(false);
            return None;
        };
        let from = out.len();
        out.extend_from_slice(value.unwrap_or_default());
        let found = value.is_some();
        if self.goes_soon(age) {
            let place = rows.and_then(|rows| rows.tag(key)).map_or(0, |(_, place, _)| place);
            self.copy(key, Found { value: found.then_some(&out[from..]), place });
        }
        self.asked(true);
        Some(found)
    }

    /// A look-up or a write has found a copy, or not.
    fn asked(&mut self, found: bool) {
        if self.worth.asked(found) {
            // From now on those of most keys are not renewed.
            self.families.values_mut().for_each(|rows| rows.copies = Default::default());
            self.copies = [0; GENERATIONS];
        }
    }

    /// Whether this generation is the next to go.
    fn goes_soon(&self, age: usize) -> bool {
        age > 0 && self.copies[age + 1..].iter().all(|&bytes| bytes == 0) && self.copied() > self.room() / 8 * 7
    }

    /// Copies a row to the youngest.
    fn copy(&mut self, Key { family, hash, key }: Key<'_>, row: Found<'_>) {
        let rows = &mut self.families.entry(family).or_default().copies[0];
        let before = rows.bytes();
        rows.put_tagged(hash, key, row.value, row.place);
        let more = rows.bytes() - before;
        self.grown(0, more);
    }

    /// The copies of a generation take so many bytes more.
    fn grown(&mut self, age: usize, bytes: usize) {
        if bytes > 0 {
            self.copies[age] += bytes;
            if self.copies[0] > self.room() / GENERATIONS {
                self.turn();
            }
            self.age();
        }
    }

    /// Copies a row that was found elsewhere, if copies are found often enough. What is in the journal is likely to be written
    /// again, and then its place has to be known.
    pub(super) fn keep(&mut self, key: Key<'_>, row: Found<'_>) {
        if row.place > 0 && self.are_kept() {
            self.looked_up(key, row.place);
        }
        if self.worth.covers(key.hash) {
            self.copy_short(key, row);
        }
    }

    fn looked_up(&mut self, Key { family, hash, key }: Key<'_>, place: u32) {
        let keys = &mut self.families.entry(family).or_default().looked_up;
        let before = keys.bytes();
        keys.put_tagged(hash, key, None, place);
        self.looked_up += keys.bytes() - before;
        if self.looked_up > self.share() / LOOKED_UP {
            self.forget_looked_up();
        }
    }

    /// The places of the keys that were looked up are not known any more: there was a write, or another journal is written to.
    pub(super) fn forget_looked_up(&mut self) {
        if self.looked_up > 0 {
            self.families.values_mut().for_each(|rows| rows.looked_up.clear());
            self.looked_up = 0;
        }
    }

    /// Copies a row that is written, if copies are found often enough. What is known of the place of the row before it: that it
    /// has none (0), or where it is.
    pub(super) fn write(&mut self, key: Key<'_>, row: Found<'_>) -> Option<u32> {
        let mut rows = self.families.get_mut(&key.family);
        let looked_up = rows.as_mut().and_then(|rows| rows.place_looked_up(key, row.place));
        if !self.worth.covers(key.hash) {
            return looked_up;
        }
        let copy = rows.and_then(|rows| rows.tag(key));
        match copy {
            None => self.copy_short(key, row),
            Some((age, ..)) if self.goes_soon(age) => self.copy(key, row),
            Some((age, _, index)) => self.renew(key.family, age, index, row),
        }
        if looked_up.is_none() {
            // A copy spares a look for its place as well as one for its value.
            self.asked(copy.is_some());
        }
        copy.map(|(_, place, _)| place).or(looked_up)
    }

    fn copy_short(&mut self, key: Key<'_>, row: Found<'_>) {
        if self.are_kept() && row.value.is_none_or(|value| value.len() <= LONGEST) {
            self.copy(key, row);
        }
    }

    fn renew(&mut self, family: FamilyId, age: usize, index: u32, row: Found<'_>) {
        let Some(rows) = self.families.get_mut(&family) else { return };
        let rows = &mut rows.copies[age];
        let before = rows.bytes();
        rows.renew(index, row.value, row.place);
        let more = rows.bytes() - before;
        self.grown(age, more);
    }

    /// Another journal is written to from now on: it has none of the rows.
    pub(super) fn displace(&mut self) {
        self.families.values_mut().flat_map(|rows| &mut rows.copies).for_each(Uncommitted::untag);
        self.forget_looked_up();
    }

    /// The places of the journals take so many bytes.
    pub(super) fn make_room(&mut self, places: usize) {
        if self.places != places {
            self.places = places;
            self.age();
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
        while self.copied() > self.room() {
            let Some(oldest) = self.copies.iter().rposition(|&bytes| bytes > 0) else { return };
            self.copies[oldest] = 0;
            for FamilyRows { copies, .. } in self.families.values_mut() {
                copies[oldest] = Uncommitted::default();
            }
        }
    }

    /// Forgets the rows of a family.
    pub(super) fn forget(&mut self, family: FamilyId) {
        let Some(rows) = self.families.remove(&family) else { return };
        self.looked_up -= rows.looked_up.bytes();
        for (bytes, copies) in self.copies.iter_mut().zip(&rows.copies) {
            *bytes -= copies.bytes();
        }
    }
}

#[cfg(test)]
impl Rows {
    /// What it is said that all of it takes.
    pub(super) fn total(&self) -> usize {
        self.places + self.looked_up + self.copied()
    }

    /// How many bytes the copies and the keys that were looked up take.
    pub(super) fn bytes(&self) -> usize {
        let families = self.families.values();
        families.flat_map(|rows| rows.copies.iter().chain([&rows.looked_up])).map(Uncommitted::bytes).sum()
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.budget.databases.fetch_sub(1, Ordering::Relaxed);
    }
}
