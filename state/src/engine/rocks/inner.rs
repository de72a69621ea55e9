//! What a database has before RocksDB: journals, copies of rows, and the families that RocksDB may not have yet.

use std::collections::BTreeMap;
use std::path::Path;

use super::block::{Entries, Entry};
use super::families::{Families, Family};
use super::journal::{self, Handing, Journal};
use super::rows::{Found, Key, Rows};
use super::saved;
use crate::engine::FamilyId;
use crate::uncommitted::Uncommitted;

/// What a key's place takes in memory, on average.
const PLACE: usize = 10;
/// Which part of the rows' memory the places of one journal may take: there are two.
const PLACES: usize = 3;
/// Places have 32 bits, and a journal that is half full may take a write that is as long as both may be.
const LONGEST: u64 = 1 << 30;

/// The journal that RocksDB is being given.
pub(super) struct Sealed {
    pub(super) journal: Journal,
    pub(super) handing: Handing,
}

/// What a look-up and a scan change as well.
pub(super) struct Inner {
    pub(super) families: Families,
    pub(super) rows: Rows,
    pub(super) sealed: Option<Sealed>,
    pub(super) active: Journal,
    /// A row that is read.
    row: Vec<u8>,
    /// The size of the last batch: the next one is likely to be like it.
    pub(super) batch_bytes: usize,
}

/// Takes over what a block holds, whose first change has this place, and answers which families were dropped. `wrote` is told of each row
/// and answers what is known of the place of the one before it, as [`Journal::note`] asks.
fn apply(
    entries: &mut Entries<'_>,
    first: u32,
    families: &mut Families,
    journal: &mut Journal,
    mut wrote: impl FnMut(Key<'_>, Found<'_>) -> Option<u32>,
) -> Vec<FamilyId> {
    let (mut current, mut dropped) = (None, Vec::new());
    for (at, entry) in entries {
        let place = first + at as u32;
        let (key, value) = match (entry, current) {
            (Entry::Family(name), _) => {
                current = Some(families.find_or_add(name));
                continue;
            }
            (Entry::Put(key, value), Some(family)) => (Key::new(family, key), Some(value)),
            (Entry::Delete(key), Some(family)) => (Key::new(family, key), None),
            (Entry::Dropped, Some(family)) => {
                journal.forget(family);
                dropped.push(family);
                // RocksDB may still have it, if the process was killed before it was dropped there.
                if families.get(family).is_some_and(|family| !family.made) {
                    families.remove(family);
                }
                current = None;
                continue;
            }
            // Changes of no family: nobody writes that.
            (Entry::Put(..) | Entry::Delete(_) | Entry::Dropped, None) => continue,
        };
        let known = wrote(key, Found { value, place });
        journal.note(key, place, known);
    }
    dropped
}

/// Of a journal that is read so many bytes of keys are kept.
const SEEN: usize = 16 << 20;

/// Keys of a journal that is read, with their places, so that few have to be looked up in it.
struct Seen {
    keys: BTreeMap<FamilyId, Uncommitted>,
    bytes: usize,
    /// All keys so far are there.
    all: bool,
}

impl Seen {
    fn new() -> Self {
        Self { keys: BTreeMap::new(), bytes: 0, all: true }
    }

    fn wrote(&mut self, Key { family, hash, key }: Key<'_>, row: Found<'_>) -> Option<u32> {
        if self.bytes > SEEN {
            *self = Self { all: false, ..Self::new() };
        }
        let keys = self.keys.entry(family).or_default();
        let known = keys.tag(hash, key).map(|(tag, _)| tag).or(self.all.then_some(0));
        let before = keys.bytes();
        keys.put_tagged(hash, key, None, row.place);
        self.bytes += keys.bytes() - before;
        known
    }
}

impl Inner {
    /// Takes over the journals that a database has; the one with this number is the oldest that counts.
    pub(super) fn open(directory: &Path, oldest: u64, names: Vec<String>, rows: Rows) -> std::io::Result<Self> {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let number = name.strip_prefix(journal::PREFIX).or(name.strip_prefix(saved::PREFIX));
            if number.is_some_and(|number| number.parse() != Ok(oldest) && number.parse() != Ok(oldest + 1)) {
                std::fs::remove_file(entry.path())?;
            }
        }
        let mut inner = Self {
            families: Families::new(names),
            rows,
            sealed: None,
            active: Journal::new(directory, oldest),
            row: Vec::new(),
            batch_bytes: 0,
        };
        let mut whole = inner.take_journal(directory, oldest)?;
        whole &= inner.active.bytes() > 0;
        if let Some(next) = Journal::open(directory, oldest + 1)? {
            if whole {
                inner.seal();
                inner.take_journal(directory, oldest + 1)?;
            } else {
                // What comes after a loss does not count.
                next.remove();
            }
        }
        Ok(inner)
    }

    /// Opens the journal with this number, if there is one; it is written to from now on. Answers whether it is whole.
    fn take_journal(&mut self, directory: &Path, number: u64) -> std::io::Result<bool> {
        let Some(mut journal) = Journal::open(directory, number)? else { return Ok(true) };
        let mut whole = true;
        let saved = saved::take(directory, number)?.unwrap_or_default();
        let families = saved.families.into_iter().map(|(name, places)| (self.families.find_or_add(&name), places));
        if !journal.take_over(saved.bytes, families)? {
            let mut seen = Seen::new();
            let Self { families, sealed, .. } = self;
            whole = journal.read(|journal, first, entries| {
                let dropped = apply(entries, first, families, journal, |key, row| seen.wrote(key, row));
                for family in dropped {
                    if let Some(sealed) = sealed {
                        sealed.journal.forget(family);
                    }
                }
            })?;
        }
        self.active = journal;
        self.make_room();
        Ok(whole)
    }

    pub(super) fn known(&self, id: FamilyId) -> Option<&Family> {
        self.families.get(id)
    }

    pub(super) fn journaled(&self) -> bool {
        self.sealed.is_some() || self.active.bytes() > 0
    }

    pub(super) fn make_room(&mut self) {
        let sealed = self.sealed.as_ref().map_or(0, |sealed| sealed.journal.places_bytes());
        self.rows.make_room(sealed + self.active.places_bytes());
    }

    /// What both journals together should take, and the longest write that goes into one.
    pub(super) fn longest(&self) -> u64 {
        self.rows.budget().journal().min(LONGEST)
    }

    /// Whether it is time for another journal.
    pub(super) fn is_full(&self) -> bool {
        let keys: usize = self.active.places().map(|(_, places)| places.len()).sum();
        self.active.bytes() > self.longest() / 2 || keys * PLACE > self.rows.share() / PLACES
    }

    /// Begins another journal. There must not be a sealed one, and the one that is written to must have something.
    pub(super) fn seal(&mut self) {
        let next = self.active.next();
        let journal = std::mem::replace(&mut self.active, next);
        self.sealed = Some(Sealed { journal, handing: Handing::default() });
        self.rows.displace();
    }

    /// Takes over what was appended, its first change at this place.
    pub(super) fn take(&mut self, entries: &mut Entries<'_>, first: u32) {
        let Self { families, rows, active, .. } = self;
        for family in apply(entries, first, families, active, |key, row| rows.write(key, row)) {
            self.forget(family);
        }
        self.rows.forget_looked_up();
        self.make_room();
    }

    pub(super) fn forget(&mut self, family: FamilyId) {
        self.rows.forget(family);
        self.active.forget(family);
        if let Some(sealed) = &mut self.sealed {
            sealed.journal.forget(family);
        }
    }

    /// Those that are there, the newest first.
    pub(super) fn journals(&self) -> impl Iterator<Item = &Journal> {
        std::iter::once(&self.active).chain(self.sealed.as_ref().map(|sealed| &sealed.journal))
    }

    /// Appends the newest value of a row to `out`; `None` if only RocksDB knows.
    pub(super) fn get(&mut self, key: Key<'_>, out: &mut Vec<u8>) -> std::io::Result<Option<bool>> {
        if let Some(found) = self.rows.get(key, out) {
            return Ok(Some(found));
        }
        let Self { active, sealed, rows, row, .. } = self;
        let journals = std::iter::once(&*active).chain(sealed.as_ref().map(|sealed| &sealed.journal));
        for (age, journal) in journals.enumerate() {
            let Some((place, value)) = journal.locate(key, row)? else { continue };
            let value = value.map(|value| &row[value]);
            out.extend_from_slice(value.unwrap_or_default());
            // A copy knows its place in the journal that is written to.
            let place = if age == 0 { place } else { 0 };
            rows.keep(key, Found { value, place });
            return Ok(Some(value.is_some()));
        }
        Ok(None)
    }
}
