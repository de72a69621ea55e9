//! The database of one task: RocksDB, and before it the rows it has not been given yet, in journals.
//!
//! ```text
//!  write ─▶ journal ┄┄┄ long, or of many keys: sealed, and another one begins ┄┄┄▶ RocksDB, piece by piece
//!       └─▶ copies
//!  load ─────────────────────────────────────────────────────────────────────────▶ RocksDB
//!  get ──▶ copies ─▶ journal ─▶ sealed journal ─▶ RocksDB        scan ─▶ RocksDB, which is given all rows first
//! ```
//! A row that is written often reaches RocksDB once for each journal, and many never do: a window's goes with its window.
//!
//! A database that is scanned is written to directly, as by `load`: to find what lies between two keys is what a memtable is for
//! and a hash table is not.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rocksdb::{BoundColumnFamily, DBWithThreadMode, FlushOptions, MultiThreaded, WriteBatch, WriteOptions};

use super::block::{Block, Entries, Entry};
use super::families::{Families, Family};
use super::journal::{Handing, Journal};
use super::rows::{Found, Rows};
use super::{classify, exiting, io, saved, scan};
use crate::engine::exit::{self, Closing};
use crate::engine::rocks_options::{Shared, write_options};
use crate::engine::{Change, Direction, Engine, FamilyId, FilledRow, KeyRange, Scan, is_empty};
use crate::error::EngineError;
use crate::uncommitted::{Uncommitted, key_hash};

/// Where in the meta family the number of the oldest journal stands, 8 bytes.
const JOURNAL_KEY: &[u8] = b"@journal";
/// So many writes after the first scan are direct, and four times as many after each further one.
const AFTER_SCAN: u64 = 64;
const AFTER_SCANS: u64 = 1 << 20;
/// More memory than this is not kept for the next batch.
const BATCH_KEPT: usize = 1 << 20;
/// What RocksDB is given at once, in bytes of the journal, when all of it is handed over.
const PIECE: usize = 1 << 20;
/// For each byte that is written so many of the sealed journal are handed over: it is gone before the next one is full.
const PACE: usize = 2;
/// But no less than so small a part of what the journals may take, up to 16 KiB.
const LEAST: u64 = 8 << 10;
/// What a key's place takes in memory, on average.
const PLACE: usize = 10;
/// Which part of the rows' memory the places of one journal may take: there are two.
const PLACES: usize = 3;
/// A longer journal could not be addressed with 32 bits.
const LONGEST: usize = 1 << 30;

/// Column families come and go while others are read.
pub(super) type Db = DBWithThreadMode<MultiThreaded>;

/// An open database. Fields drop in order: the database closes before its lock is released.
pub(super) struct Open {
    pub(super) db: Db,
    pub(super) shared: Arc<Shared>,
    pub(super) _lock: File,
}

/// What does not change while a database is open.
pub(super) struct Base {
    pub(super) open: Closing<Open>,
    pub(super) path: PathBuf,
    logged: WriteOptions,
}

/// What a look-up and a scan change as well.
pub(super) struct Inner {
    pub(super) families: Families,
    pub(super) rows: Rows,
    /// The journal that RocksDB is being given.
    sealed: Option<(Journal, Handing)>,
    active: Journal,
    /// A row that is read.
    row: Vec<u8>,
    /// The size of the last batch: the next one is likely to be like it.
    batch_bytes: usize,
}

/// The database of one task.
pub(super) struct RocksEngine {
    base: Base,
    // A lock because a look-up, which has no right to change the database, keeps what it found. The task's thread alone
    // takes it.
    inner: Mutex<Inner>,
    /// Families that are being filled.
    pub(super) filled: BTreeSet<FamilyId>,
    block: Block,
    /// Scans since the last write.
    scans: AtomicU32,
    /// So many writes to come are direct, and after the next scan.
    direct: (u64, u64),
}

/// Takes over what a block holds. `wrote` is told of each row and answers what is known of the place of the one before it, as
/// [`Journal::note`] asks; `dropped` is told of families that were dropped.
fn apply(
    entries: &mut Entries<'_>,
    first: u32,
    families: &mut Families,
    journal: &mut Journal,
    mut wrote: impl FnMut(FamilyId, u32, &[u8], Found<'_>) -> Option<u32>,
    mut dropped: impl FnMut(FamilyId),
) {
    let mut current = None;
    for (at, entry) in entries {
        let place = first + at as u32;
        match (entry, current) {
            (Entry::Family(name), _) => current = Some(families.find_or_add(name)),
            (Entry::Put(key, value), Some(family)) => {
                let hash = key_hash(key);
                let known = wrote(family, hash, key, Found { value: Some(value), place });
                journal.note(family, hash, key, place, known);
            }
            (Entry::Delete(key), Some(family)) => {
                let hash = key_hash(key);
                let known = wrote(family, hash, key, Found { value: None, place });
                journal.note(family, hash, key, place, known);
            }
            (Entry::Dropped, Some(family)) => {
                journal.forget(family);
                dropped(family);
                // RocksDB may still have it, if the process was killed before it was dropped there.
                if families.get(family).is_some_and(|family| !family.made) {
                    families.remove(family);
                }
                current = None;
            }
            // Changes of no family: nobody writes that.
            (Entry::Put(..) | Entry::Delete(_) | Entry::Dropped, None) => {}
        }
    }
}

/// Keys of a journal that is read, with their places, so that few have to be looked up in it: up to so many bytes.
struct Seen {
    keys: std::collections::BTreeMap<FamilyId, Uncommitted>,
    bytes: usize,
    /// All keys so far are there.
    all: bool,
}

const SEEN: usize = 16 << 20;

impl Seen {
    fn new() -> Self {
        Self { keys: std::collections::BTreeMap::new(), bytes: 0, all: true }
    }

    fn wrote(&mut self, family: FamilyId, hash: u32, key: &[u8], row: Found<'_>) -> Option<u32> {
        if self.bytes > SEEN {
            *self = Self { all: false, ..Self::new() };
        }
        let keys = self.keys.entry(family).or_default();
        let known = keys.tag(hash, key).or(self.all.then_some(0));
        let before = keys.bytes();
        keys.put_tagged(hash, key, None, row.place);
        self.bytes += keys.bytes() - before;
        known
    }
}

impl Inner {
    /// Takes over the journals that a database has; the one with this number is the oldest that counts.
    fn open(directory: &std::path::Path, oldest: u64, names: Vec<String>, rows: Rows) -> std::io::Result<Self> {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let number = name.strip_prefix(super::journal::PREFIX).or(name.strip_prefix(saved::PREFIX));
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
    fn take_journal(&mut self, directory: &std::path::Path, number: u64) -> std::io::Result<bool> {
        let Some(mut journal) = Journal::open(directory, number)? else { return Ok(true) };
        let mut whole = true;
        let saved = saved::take(directory, number)?.unwrap_or_default();
        let families = saved.families.into_iter().map(|(name, places)| (self.families.find_or_add(&name), places));
        if !journal.take_over(saved.bytes, families)? {
            let mut seen = Seen::new();
            let Self { families, sealed, .. } = self;
            whole = journal.read(|journal, first, entries| {
                let dropped = |family| {
                    if let Some((sealed, _)) = sealed {
                        sealed.forget(family);
                    }
                };
                apply(entries, first, families, journal, |a, b, c, d| seen.wrote(a, b, c, d), dropped);
            })?;
        }
        self.active = journal;
        self.make_room();
        Ok(whole)
    }

    fn known(&self, id: FamilyId) -> Option<&Family> {
        self.families.get(id)
    }

    fn journaled(&self) -> bool {
        self.sealed.is_some() || self.active.bytes() > 0
    }

    fn make_room(&mut self) {
        let sealed = self.sealed.as_ref().map_or(0, |(journal, _)| journal.places_bytes());
        self.rows.make_room(sealed + self.active.places_bytes());
    }

    /// Whether it is time for another journal.
    fn is_full(&self) -> bool {
        let keys: usize = self.active.places().map(|(_, places)| places.len()).sum();
        self.active.bytes() > (self.rows.budget().journal() / 2).min(LONGEST as u64)
            || keys * PLACE > self.rows.share() / PLACES
    }

    /// Begins another journal. There must not be a sealed one, and the one that is written to must have something.
    fn seal(&mut self) {
        let next = self.active.next();
        self.sealed = Some((std::mem::replace(&mut self.active, next), Handing::default()));
        self.rows.displace();
    }

    fn forget(&mut self, family: FamilyId) {
        self.rows.forget(family);
        self.active.forget(family);
        if let Some((sealed, _)) = &mut self.sealed {
            sealed.forget(family);
        }
    }

    /// Appends the newest value of a row to `out`; `None` if only RocksDB knows.
    fn get(&mut self, family: FamilyId, hash: u32, key: &[u8], out: &mut Vec<u8>) -> std::io::Result<Option<bool>> {
        if let Some(found) = self.rows.get(family, hash, key, out) {
            return Ok(Some(found));
        }
        let Self { active, sealed, rows, row, .. } = self;
        let journals = std::iter::once(&*active).chain(sealed.as_ref().map(|(journal, _)| journal));
        for (index, journal) in journals.enumerate() {
            let Some((place, value)) = journal.locate(family, hash, key, row)? else { continue };
            let value = value.map(|value| &row[value]);
            out.extend_from_slice(value.unwrap_or_default());
            let place = if index == 0 { place } else { 0 };
            rows.keep(family, hash, key, Found { value, place });
            return Ok(Some(value.is_some()));
        }
        Ok(None)
    }
}

impl Base {
    /// What the engine was asked for must not be under way while the process ends.
    pub(super) fn enter(&self, action: &'static str) -> Result<exit::Pass, EngineError> {
        exit::enter().ok_or_else(|| exiting(action, &self.path))
    }

    fn may_read(&self) -> Result<(), EngineError> {
        if exit::may_read() { Ok(()) } else { Err(exiting("reading", &self.path)) }
    }

    pub(super) fn failed(&self, action: &'static str) -> impl Fn(rocksdb::Error) -> EngineError {
        let path = &self.path;
        move |error| classify(action, path, error)
    }

    fn journal(&self, action: &'static str) -> impl Fn(std::io::Error) -> EngineError {
        let path = &self.path;
        move |error| match error.kind() {
            std::io::ErrorKind::InvalidData => {
                EngineError::Corrupted { path: path.display().to_string(), source: error.into() }
            }
            _ => io(action, path, error),
        }
    }

    fn dropped(&self, id: FamilyId) -> EngineError {
        io("use of a dropped family", &self.path, format!("family {}", id.0))
    }

    /// `None` if RocksDB does not have the family yet.
    fn handle(&self, families: &Families, id: FamilyId) -> Result<Option<Arc<BoundColumnFamily<'_>>>, EngineError> {
        let family = families.get(id).ok_or_else(|| self.dropped(id))?;
        Ok(if family.made { self.open.db.cf_handle(&family.name) } else { None })
    }

    pub(super) fn made(&self, families: &Families, id: FamilyId) -> Result<Arc<BoundColumnFamily<'_>>, EngineError> {
        let missing = || io("use of a family that is not there", &self.path, format!("family {}", id.0));
        self.handle(families, id)?.ok_or_else(missing)
    }

    pub(super) fn make(&self, families: &mut Families, id: FamilyId) -> Result<(), EngineError> {
        let Some(family) = families.get_mut(id).filter(|family| !family.made) else { return Ok(()) };
        let Open { db, shared, .. } = &*self.open;
        db.create_cf(&family.name, &shared.options).map_err(self.failed("creating a family"))?;
        family.made = true;
        Ok(())
    }

    /// Gives RocksDB all that it lacks, and begins the next journal.
    pub(super) fn hand_over(&self, inner: &mut Inner) -> Result<(), EngineError> {
        while inner.journaled() {
            if inner.sealed.is_none() {
                inner.seal();
            }
            self.hand_over_piece(inner, PIECE)?;
        }
        Ok(())
    }

    /// Gives RocksDB so many bytes of the sealed journal, if there is one.
    fn hand_over_piece(&self, inner: &mut Inner, bytes: usize) -> Result<(), EngineError> {
        let Inner { families, sealed, batch_bytes, .. } = inner;
        let Some((journal, handing)) = sealed else { return Ok(()) };
        let from = handing.at();
        let handed = self.hand(families, journal, handing, bytes, batch_bytes);
        if let Err(error) = handed {
            handing.back_to(from);
            return Err(error);
        }
        if handing.is_over(journal)
            && let Some((journal, _)) = sealed.take()
        {
            journal.remove();
            inner.make_room();
        }
        Ok(())
    }

    fn hand(
        &self,
        families: &mut Families,
        journal: &Journal,
        handing: &mut Handing,
        bytes: usize,
        batch_bytes: &mut usize,
    ) -> Result<(), EngineError> {
        let rows = handing.rows(journal, bytes, |name| families.find(name));
        let mut rows = rows.map_err(self.journal("reading the journal"))?;
        // In order, as neighbours in a memtable are in the processor's caches; stable, as the last row of a key counts.
        rows.sort_by(|a, b| (a.family, a.key).cmp(&(b.family, b.key)));
        let mut batch = WriteBatch::with_capacity_bytes(*batch_bytes);
        for rows in rows.chunk_by(|a, b| a.family == b.family) {
            let Some(first) = rows.first() else { continue };
            self.make(families, first.family)?;
            let family = self.made(families, first.family)?;
            for row in rows {
                match row.value {
                    Some(value) => batch.put_cf(&family, row.key, value),
                    None => batch.delete_cf(&family, row.key),
                }
            }
        }
        if handing.is_over(journal) {
            batch.put(JOURNAL_KEY, (journal.number() + 1).to_be_bytes());
        }
        if !batch.is_empty() {
            self.write_batch(batch, batch_bytes)?;
        }
        Ok(())
    }

    fn write_batch(&self, batch: WriteBatch, batch_bytes: &mut usize) -> Result<(), EngineError> {
        let bytes = batch.size_in_bytes();
        self.open.db.write_opt(batch, &self.logged).map_err(self.failed("writing"))?;
        *batch_bytes = bytes.min(BATCH_KEPT);
        Ok(())
    }

    fn write_directly(
        &self,
        inner: &mut Inner,
        changes: &mut dyn Iterator<Item = Change<'_>>,
    ) -> Result<(), EngineError> {
        self.hand_over(inner)?;
        let batch = self.batch(inner, changes)?;
        self.write_batch(batch, &mut inner.batch_bytes)
    }

    /// Changes for RocksDB in the order of their keys. RocksDB has to have all earlier ones; copies of the families' rows go.
    fn batch(
        &self,
        inner: &mut Inner,
        changes: &mut dyn Iterator<Item = Change<'_>>,
    ) -> Result<WriteBatch, EngineError> {
        let mut changes: Vec<Change<'_>> = changes.collect();
        // Stable: the last change of a row counts.
        changes.sort_by(|a, b| place(a).cmp(&place(b)));
        let mut batch = WriteBatch::with_capacity_bytes(inner.batch_bytes);
        for changes in changes.chunk_by(|a, b| place(a).0 == place(b).0) {
            let Some((id, _)) = changes.first().map(place) else { continue };
            self.make(&mut inner.families, id)?;
            inner.rows.forget(id);
            let family = self.made(&inner.families, id)?;
            for change in changes {
                match *change {
                    Change::Put(_, key, value) => batch.put_cf(&family, key, value),
                    Change::Delete(_, key) => batch.delete_cf(&family, key),
                }
            }
        }
        Ok(batch)
    }
}

fn place<'c>(change: &Change<'c>) -> (FamilyId, &'c [u8]) {
    let (Change::Put(family, key, _) | Change::Delete(family, key)) = *change;
    (family, key)
}

impl RocksEngine {
    /// Takes over a database with these families and what its journals hold.
    pub(super) fn new(open: Open, names: Vec<String>, path: PathBuf) -> Result<Self, EngineError> {
        let base = Base { open: Closing::new(open), path, logged: write_options() };
        let oldest = base.open.db.get(JOURNAL_KEY).map_err(base.failed("reading"))?;
        let oldest = oldest.and_then(|number| number.try_into().ok()).map_or(0, u64::from_be_bytes);
        let rows = Rows::new(Arc::clone(&base.open.shared.rows));
        let inner =
            Inner::open(&base.path, oldest, names, rows).map_err(|error| base.journal("reading the journal")(error))?;
        Ok(Self {
            base,
            inner: Mutex::new(inner),
            filled: BTreeSet::new(),
            block: Block::default(),
            scans: AtomicU32::new(0),
            direct: (0, AFTER_SCAN),
        })
    }

    pub(super) fn parts(&mut self) -> (&Base, &mut Inner) {
        (&self.base, self.inner.get_mut().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing between two changes that belong together panics.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a write to the journal and to the copies.
    fn note(&mut self, changes: &mut dyn Iterator<Item = Change<'_>>) -> Result<(), EngineError> {
        let Self { base, inner, block, .. } = self;
        let inner = inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        block.begin();
        for change in changes {
            let (family, _) = place(&change);
            if block.turns_to(family) {
                let known = inner.known(family).ok_or_else(|| base.dropped(family))?;
                block.family(family, &known.name);
            }
            block.push(&change);
        }
        if block.len() > LONGEST {
            let mut family = FamilyId(0);
            let mut changes = block.entries().filter_map(|(_, entry)| match entry {
                Entry::Family(name) => {
                    family = inner.families.find(name)?;
                    None
                }
                Entry::Put(key, value) => Some(Change::Put(family, key, value)),
                Entry::Delete(key) => Some(Change::Delete(family, key)),
                Entry::Dropped => None,
            });
            let changes: Vec<_> = changes.by_ref().collect();
            return base.write_directly(inner, &mut changes.into_iter());
        }
        base.append(inner, block)
    }
}

impl Base {
    fn append(&self, inner: &mut Inner, block: &mut Block) -> Result<(), EngineError> {
        let first = inner.active.append(block).map_err(self.journal("writing the journal"))?;
        let Inner { families, rows, active, sealed, .. } = inner;
        let mut gone = Vec::new();
        apply(
            &mut block.entries(),
            first,
            families,
            active,
            |family, hash, key, row| rows.write(family, hash, key, row),
            |family| gone.push(family),
        );
        for family in gone {
            rows.forget(family);
            if let Some((sealed, _)) = sealed {
                sealed.forget(family);
            }
        }
        inner.make_room();
        Ok(())
    }
}

impl Engine for RocksEngine {
    fn families(&self) -> Vec<String> {
        self.lock().families.names()
    }

    fn open_family(&mut self, name: &str) -> Result<FamilyId, EngineError> {
        Ok(self.parts().1.families.open(name))
    }

    /// If RocksDB refuses, the family is left with what RocksDB had of it.
    fn drop_family(&mut self, id: FamilyId) -> Result<(), EngineError> {
        let (base, inner) = self.parts();
        let Some(family) = inner.families.get(id) else { return Ok(()) };
        let (name, made) = (family.name.clone(), family.made);
        let _pass = base.enter("dropping a family")?;
        if inner.journaled() {
            let mut block = Block::default();
            block.begin();
            block.family(id, &name);
            block.push_drop();
            base.append(inner, &mut block)?;
        }
        inner.forget(id);
        if made {
            base.open.db.drop_cf(&name).map_err(base.failed("dropping a family"))?;
        }
        inner.families.remove(id);
        self.filled.remove(&id);
        Ok(())
    }

    fn get(&self, family: FamilyId, key: &[u8], out: &mut Vec<u8>) -> Result<bool, EngineError> {
        let base = &self.base;
        base.may_read()?;
        let (mut inner, hash) = (self.lock(), key_hash(key));
        if let Some(found) = inner.get(family, hash, key, out).map_err(base.journal("reading the journal"))? {
            return Ok(found);
        }
        let Some(handle) = base.handle(&inner.families, family)? else { return Ok(false) };
        let found = base.open.db.get_pinned_cf(&handle, key).map_err(base.failed("reading"))?;
        let Some(value) = found else { return Ok(false) };
        out.extend_from_slice(&value);
        inner.rows.keep(family, hash, key, Found { value: Some(&value), place: 0 });
        Ok(true)
    }

    fn scan(&self, family: FamilyId, range: KeyRange<'_>, direction: Direction) -> Result<Scan<'_>, EngineError> {
        if is_empty(&range) {
            return Ok(Box::new(std::iter::empty()));
        }
        let base = &self.base;
        base.may_read()?;
        self.scans.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.lock();
        if inner.journaled() {
            let _pass = base.enter("writing")?;
            base.hand_over(&mut inner)?;
        }
        Ok(match base.handle(&inner.families, family)? {
            Some(handle) => scan::scan(&base.open.db, &handle, range, direction, base.failed("scanning")),
            None => Box::new(std::iter::empty()),
        })
    }

    fn approximate_len(&self, family: FamilyId) -> Result<u64, EngineError> {
        let base = &self.base;
        base.may_read()?;
        let inner = self.lock();
        let sealed = inner.sealed.as_ref().map_or(0, |(journal, _)| journal.keys(family));
        let journaled = (inner.active.keys(family) + sealed) as u64;
        let Some(handle) = base.handle(&inner.families, family)? else { return Ok(journaled) };
        let estimate = base.open.db.property_int_value_cf(&handle, "rocksdb.estimate-num-keys");
        estimate.map(|rows| rows.unwrap_or_default() + journaled).map_err(base.failed("counting"))
    }

    fn write(&mut self, changes: &mut dyn Iterator<Item = Change<'_>>) -> Result<(), EngineError> {
        if std::mem::take(self.scans.get_mut()) > 0 {
            // What is scanned is hardly ever looked up.
            let (direct, next) = self.direct;
            self.direct = (direct.max(next), (next * 4).min(AFTER_SCANS));
        }
        let pace = self.block.len() * PACE;
        let direct = self.direct.0 > 0;
        self.direct.0 = self.direct.0.saturating_sub(1);
        let (base, inner) = self.parts();
        let _pass = base.enter("writing")?;
        if direct || !inner.rows.are_kept() {
            return base.write_directly(inner, changes);
        }
        let least = (inner.rows.budget().journal() / LEAST).clamp(64, 16 << 10) as usize;
        base.hand_over_piece(inner, pace.max(least))?;
        if inner.is_full() {
            while inner.sealed.is_some() {
                base.hand_over_piece(inner, PIECE)?;
            }
            inner.seal();
        }
        self.note(changes)
    }

    fn load(&mut self, changes: &mut dyn Iterator<Item = Change<'_>>) -> Result<(), EngineError> {
        let (base, inner) = self.parts();
        let _pass = base.enter("writing")?;
        base.write_directly(inner, changes)
    }

    fn fill_size(&self) -> usize {
        self.lock().rows.budget().filling()
    }

    fn fill(&mut self, family: FamilyId, rows: &mut dyn Iterator<Item = FilledRow<'_>>) -> Result<(), EngineError> {
        self.fill_family(family, rows)
    }

    fn filled(&mut self, family: FamilyId) -> Result<(), EngineError> {
        self.end_filling(family)
    }

    /// Writes the memtables out as well, and the places of what is in the journals: a database that was synced last opens without
    /// reading its logs.
    fn sync(&mut self) -> Result<(), EngineError> {
        let (base, inner) = self.parts();
        let _pass = base.enter("syncing")?;
        for journal in inner.sealed.iter().map(|(journal, _)| journal).chain([&inner.active]) {
            if journal.bytes() > 0 {
                let name = |id| inner.known(id).map(|family| &*family.name);
                let saved = journal.sync().and_then(|()| saved::save(&base.path, journal, name));
                saved.map_err(base.journal("writing the journal"))?;
            }
        }
        let db = &base.open.db;
        let families = inner.families.iter().filter(|family| family.made);
        let families: Vec<_> = families.filter_map(|family| db.cf_handle(&family.name)).collect();
        let families: Vec<_> = families.iter().collect();
        let flushed = db.flush_cfs_opt(&families, &FlushOptions::default());
        flushed.and_then(|()| db.flush_wal(true)).map_err(base.failed("syncing"))
    }
}
