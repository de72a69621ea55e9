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
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rocksdb::FlushOptions;

use super::base::{Base, Open, PIECE, place};
use super::block::{Block, Entry};
use super::inner::Inner;
use super::rows::{Found, Key, Rows};
use super::{saved, scan};
use crate::engine::{Change, Direction, Engine, FamilyId, FilledRow, KeyRange, Scan, is_empty};
use crate::error::EngineError;

/// So many writes after the first scan are direct, and four times as many after each further one.
const AFTER_SCAN: u64 = 64;
const AFTER_SCANS: u64 = 1 << 20;
/// For each byte that is written so many of the sealed journal are handed over: it is gone before the next one is full.
const PACE: usize = 2;
/// But no less than so small a part of what the journals may take, up to 16 KiB.
const LEAST: u64 = 8 << 10;

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

impl RocksEngine {
    /// Takes over a database with these families and what its journals hold.
    pub(super) fn new(open: Open, names: Vec<String>, path: PathBuf) -> Result<Self, EngineError> {
        let rows = Rows::new(Arc::clone(&open.shared.rows));
        let base = Base::new(open, path);
        let inner = Inner::open(&base.path, base.oldest()?, names, rows);
        let inner = inner.map_err(base.journal("reading the journal"))?;
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

    /// Adds a write to the journal and to the copies, or gives it to RocksDB if it is longer than all journals may be.
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
        if block.len() as u64 > inner.longest() {
            let mut family = FamilyId(0);
            let changes = block.entries().filter_map(|(_, entry)| match entry {
                Entry::Family(name) => {
                    family = inner.families.find(name)?;
                    None
                }
                Entry::Put(key, value) => Some(Change::Put(family, key, value)),
                Entry::Delete(key) => Some(Change::Delete(family, key)),
                Entry::Dropped => None,
            });
            let changes = changes.collect();
            return base.write_directly(inner, changes);
        }
        base.append(inner, block)
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
        let (mut inner, key) = (self.lock(), Key::new(family, key));
        if let Some(found) = inner.get(key, out).map_err(base.journal("reading the journal"))? {
            return Ok(found);
        }
        let Some(handle) = base.handle(&inner.families, family)? else { return Ok(false) };
        let found = base.open.db.get_pinned_cf(&handle, key.key).map_err(base.failed("reading"))?;
        let Some(value) = found else { return Ok(false) };
        out.extend_from_slice(&value);
        inner.rows.keep(key, Found { value: Some(&value), place: 0 });
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
        let journaled = inner.journals().map(|journal| journal.keys(family) as u64).sum::<u64>();
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
            return base.write_directly(inner, changes.collect());
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
        base.write_directly(inner, changes.collect())
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
        for journal in inner.journals() {
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
