//! The database of one task: RocksDB, and before it the rows it has not been given yet, with their journal.
//!
//! ```text
//!  write ─▶ journal ─▶ rows ┄┄┄ many, or much journal ┄┄┄▶ RocksDB, and the next journal begins
//!  load ─────────────────────────────────────────────────▶ RocksDB
//!  get ──▶ rows ─▶ RocksDB        scan ──▶ rows over RocksDB
//! ```
//! Two kinds of databases are written to directly, as by `load`. One that is scanned: to find what lies between two keys is
//! what a memtable is for and a hash table is not. And one in which hardly a row is written twice before RocksDB gets it; a
//! copy of what is written stays among the rows, unless copies are hardly ever found.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rocksdb::{ColumnFamily, DB, FlushOptions, WriteBatch, WriteOptions};

use super::block::{Block, Entries};
use super::families::{Families, Family};
use super::journal::Journal;
use super::rows::Rows;
use super::scan;
use super::{classify, exiting, io};
use crate::engine::exit::{self, Closing};
use crate::engine::rocks_options::{Shared, unlogged, write_options};
use crate::engine::{Change, Direction, Engine, FamilyId, KeyRange, Scan, is_empty};
use crate::error::EngineError;
use crate::uncommitted::Uncommitted;

/// Where in the meta family the number of the journal stands, 8 bytes.
const JOURNAL_KEY: &[u8] = b"@journal";
/// So many writes after a scan are direct.
const AFTER_SCAN: u64 = 64;
/// So many times as many writes are direct after some whose rows were nearly all different.
const AFTER_WASTE: u64 = 16;
/// More memory than this is not kept for the next batch.
const BATCH_KEPT: usize = 1 << 20;

/// An open database. Fields drop in order: the database closes before its lock is released.
pub(super) struct Open {
    pub(super) db: DB,
    pub(super) shared: Arc<Shared>,
    pub(super) _lock: File,
}

/// Whether RocksDB logs a write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Log {
    On,
    Off,
}

/// What becomes of copies of rows that are written straight to RocksDB.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Copies {
    /// They are kept up to date, if copies are found often enough.
    Follow,
    /// All of their family go.
    Go,
}

/// What the journal holds.
#[derive(Default)]
struct Noted {
    writes: u64,
    changes: u64,
}

/// The database of one task.
pub(super) struct RocksEngine {
    pub(super) open: Closing<Open>,
    families: Families,
    path: PathBuf,
    logged: WriteOptions,
    unlogged: WriteOptions,
    /// Families that are being filled.
    pub(super) filled: BTreeSet<FamilyId>,
    /// The size of the last batch: the next one is likely to be like it.
    batch_bytes: usize,
    // A lock because a look-up, which has no right to change the database, keeps what it found. The task's thread alone
    // takes it.
    rows: Mutex<Rows>,
    journal: Journal,
    block: Block,
    noted: Noted,
    /// Scans since the last write.
    scans: AtomicU32,
    /// So many writes to come are direct, and what becomes of copies then.
    direct: (u64, Copies),
}

impl RocksEngine {
    /// Takes over a database with these families and what its journal holds.
    pub(super) fn new(open: Open, names: Vec<String>, path: PathBuf) -> Result<Self, EngineError> {
        let open = Closing::new(open);
        let expected = open.db.get(JOURNAL_KEY).map_err(|error| classify("reading", &path, error))?;
        let expected = expected.and_then(|number| number.try_into().ok()).map_or(0, u64::from_be_bytes);
        let mut rows = Rows::new(Arc::clone(&open.shared.rows));
        let mut families = Families::new(names);
        let journal = Journal::open(&path, expected, |entries: Entries<'_>| families.apply(entries, &mut rows))
            .map_err(|error| io("reading the journal", &path, error))?;
        Ok(Self {
            open,
            families,
            path,
            logged: write_options(),
            unlogged: unlogged(),
            filled: BTreeSet::new(),
            batch_bytes: 0,
            rows: Mutex::new(rows),
            journal,
            block: Block::default(),
            noted: Noted::default(),
            scans: AtomicU32::new(0),
            direct: (0, Copies::Go),
        })
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        // Nothing between two changes of the rows panics.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rows_mut(&mut self) -> &mut Rows {
        self.rows.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, id: FamilyId) -> Result<&Family, EngineError> {
        let dropped = || io("use of a dropped family", &self.path, format!("family {}", id.0));
        self.families.get(id).ok_or_else(dropped)
    }

    /// `None` if RocksDB does not have the family yet.
    fn handle(&self, id: FamilyId) -> Result<Option<&ColumnFamily>, EngineError> {
        let family = self.known(id)?;
        Ok(if family.made { self.open.db.cf_handle(&family.name) } else { None })
    }

    pub(super) fn made(&self, id: FamilyId) -> Result<&ColumnFamily, EngineError> {
        self.handle(id)?.ok_or_else(|| io("use of a family that is not there", &self.path, format!("family {}", id.0)))
    }

    fn make(&mut self, id: FamilyId) -> Result<(), EngineError> {
        let Some(family) = self.families.get_mut(id).filter(|family| !family.made) else { return Ok(()) };
        let Open { db, shared, .. } = &mut *self.open;
        db.create_cf(&family.name, &shared.options)
            .map_err(|error| classify("creating a family", &self.path, error))?;
        family.made = true;
        Ok(())
    }

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

    /// Adds a write to the journal and to the rows.
    fn note(&mut self, changes: &mut dyn Iterator<Item = Change<'_>>) -> Result<(), EngineError> {
        let mut block = std::mem::take(&mut self.block);
        block.begin();
        let mut count = 0;
        for change in changes {
            let (family, _) = place(&change);
            if block.turns_to(family) {
                block.family(family, &self.known(family)?.name);
            }
            block.push(&change);
            count += 1;
        }
        self.append(&mut block)?;
        self.block = block;
        self.noted.writes += 1;
        self.noted.changes += count;
        Ok(())
    }

    fn append(&mut self, block: &mut Block) -> Result<(), EngineError> {
        self.journal.append(block).map_err(|error| io("writing the journal", &self.path, error))?;
        let rows = self.rows.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.families.apply(block.entries(), rows);
        Ok(())
    }

    /// Gives RocksDB what it lacks, in one write, and begins the next journal.
    pub(super) fn hand_over(&mut self) -> Result<(), EngineError> {
        if self.journal.bytes() == 0 {
            return Ok(());
        }
        let lacking: Vec<FamilyId> = self.rows_mut().ahead().map(|(id, _)| id).collect();
        for id in lacking {
            self.make(id)?;
        }
        let mut batch = WriteBatch::with_capacity_bytes(self.batch_bytes);
        let rows = self.rows();
        for (id, ahead) in rows.ahead() {
            let family = self.made(id)?;
            for (key, value) in ahead.by_key() {
                match value {
                    Some(value) => batch.put_cf(family, key, value),
                    None => batch.delete_cf(family, key),
                }
            }
        }
        drop(rows);
        batch.put(JOURNAL_KEY, (self.journal.number() + 1).to_be_bytes());
        self.write_batch(batch, Log::On)?;
        self.journal.next();
        let noted = std::mem::take(&mut self.noted);
        let rows = self.rows_mut();
        let waste = rows.is_full() && rows.count() > noted.changes / 4 * 3;
        rows.settle();
        if waste {
            self.direct = (noted.writes * AFTER_WASTE, Copies::Follow);
        }
        Ok(())
    }

    pub(super) fn write_batch(&mut self, batch: WriteBatch, log: Log) -> Result<(), EngineError> {
        let bytes = batch.size_in_bytes();
        let options = if log == Log::On { &self.logged } else { &self.unlogged };
        self.open.db.write_opt(batch, options).map_err(self.failed("writing"))?;
        self.batch_bytes = bytes.min(BATCH_KEPT);
        Ok(())
    }

    fn write_directly(
        &mut self,
        changes: &mut dyn Iterator<Item = Change<'_>>,
        copies: Copies,
    ) -> Result<(), EngineError> {
        self.hand_over()?;
        let (batch, families) = self.batch(changes, copies)?;
        self.write_batch(batch, Log::On).inspect_err(|_| families.iter().for_each(|&id| self.rows_mut().forget(id)))
    }

    /// Changes for RocksDB in the order of their keys, which finds neighbours in a memtable in the processor's caches; and the
    /// families that they are of. RocksDB has to have all earlier ones.
    pub(super) fn batch(
        &mut self,
        changes: &mut dyn Iterator<Item = Change<'_>>,
        copies: Copies,
    ) -> Result<(WriteBatch, Vec<FamilyId>), EngineError> {
        let mut changes: Vec<Change<'_>> = changes.collect();
        // Stable: the last change of a row counts.
        changes.sort_by(|a, b| place(a).cmp(&place(b)));
        let mut families: Vec<FamilyId> = changes.iter().map(|change| place(change).0).collect();
        families.dedup();
        let follow = copies == Copies::Follow && self.rows_mut().follow_writes();
        for &family in &families {
            self.make(family)?;
            if !follow {
                self.rows_mut().forget(family);
            }
        }
        let mut rows = follow.then(|| self.rows());
        let mut batch = WriteBatch::with_capacity_bytes(self.batch_bytes);
        let mut last: Option<(FamilyId, &ColumnFamily)> = None;
        for change in changes {
            let (id, key) = place(&change);
            let family = match last {
                Some((known, family)) if known == id => family,
                _ => self.made(id)?,
            };
            last = Some((id, family));
            let value = match change {
                Change::Put(_, _, value) => {
                    batch.put_cf(family, key, value);
                    Some(value)
                }
                Change::Delete(..) => {
                    batch.delete_cf(family, key);
                    None
                }
            };
            if let Some(rows) = &mut rows {
                rows.follow(id, key, value);
            }
        }
        drop(rows);
        Ok((batch, families))
    }
}

fn place<'c>(change: &Change<'c>) -> (FamilyId, &'c [u8]) {
    let (Change::Put(family, key, _) | Change::Delete(family, key)) = *change;
    (family, key)
}

impl Engine for RocksEngine {
    fn families(&self) -> Vec<String> {
        self.families.names()
    }

    fn open_family(&mut self, name: &str) -> Result<FamilyId, EngineError> {
        Ok(self.families.open(name))
    }

    /// If RocksDB refuses, the family is left with what RocksDB had of it.
    fn drop_family(&mut self, id: FamilyId) -> Result<(), EngineError> {
        let Some(family) = self.families.get(id) else { return Ok(()) };
        let _pass = self.enter("dropping a family")?;
        let dropped = family.made.then(|| family.name.clone());
        if self.journal.bytes() > 0 {
            let mut block = Block::default();
            block.begin();
            block.family(id, &family.name);
            block.push_drop();
            self.append(&mut block)?;
        }
        self.rows_mut().forget(id);
        if let Some(name) = dropped {
            self.open.db.drop_cf(&name).map_err(|error| classify("dropping a family", &self.path, error))?;
        }
        self.families.remove(id);
        self.filled.remove(&id);
        Ok(())
    }

    fn get(&self, family: FamilyId, key: &[u8], out: &mut Vec<u8>) -> Result<bool, EngineError> {
        self.may_read()?;
        if let Some(found) = self.rows().get(family, key, out) {
            return Ok(found);
        }
        let Some(handle) = self.handle(family)? else { return Ok(false) };
        let found = self.open.db.get_pinned_cf(handle, key).map_err(self.failed("reading"))?;
        let Some(value) = found else { return Ok(false) };
        out.extend_from_slice(&value);
        self.rows().keep(family, key, &value);
        Ok(true)
    }

    fn scan(&self, family: FamilyId, range: KeyRange<'_>, direction: Direction) -> Result<Scan<'_>, EngineError> {
        if is_empty(&range) {
            return Ok(Box::new(std::iter::empty()));
        }
        self.may_read()?;
        self.scans.fetch_add(1, Ordering::Relaxed);
        let base = match self.handle(family)? {
            Some(handle) => scan::scan(&self.open.db, handle, range, direction, self.failed("scanning")),
            None => Box::new(std::iter::empty()),
        };
        Ok(match self.rows().ahead_of(family) {
            Some(ahead) => scan::over(base, ahead, range, direction),
            None => base,
        })
    }

    fn approximate_len(&self, family: FamilyId) -> Result<u64, EngineError> {
        self.may_read()?;
        let ahead = self.rows().ahead_of(family).map_or(0, Uncommitted::values);
        let Some(handle) = self.handle(family)? else { return Ok(ahead) };
        let estimate = self.open.db.property_int_value_cf(handle, "rocksdb.estimate-num-keys");
        estimate.map(|rows| rows.unwrap_or_default() + ahead).map_err(self.failed("counting"))
    }

    fn write(&mut self, changes: &mut dyn Iterator<Item = Change<'_>>) -> Result<(), EngineError> {
        let _pass = self.enter("writing")?;
        if std::mem::take(self.scans.get_mut()) > 0 {
            // What is scanned is hardly ever looked up.
            self.direct = (self.direct.0.max(AFTER_SCAN), Copies::Go);
        }
        let (direct, copies) = self.direct;
        if direct > 0 || !self.rows_mut().are_kept() {
            self.direct.0 = direct.saturating_sub(1);
            return self.write_directly(changes, copies);
        }
        let journal = self.journal.bytes();
        let rows = self.rows_mut();
        if rows.is_full() || journal > rows.budget().journal() {
            self.hand_over()?;
        }
        self.note(changes)
    }

    fn load(&mut self, changes: &mut dyn Iterator<Item = Change<'_>>) -> Result<(), EngineError> {
        let _pass = self.enter("writing")?;
        self.write_directly(changes, Copies::Go)
    }

    fn fill(&mut self, changes: &mut dyn Iterator<Item = Change<'_>>) -> Result<(), EngineError> {
        self.fill_unlogged(changes)
    }

    fn keep(&mut self, family: FamilyId, full: bool) -> Result<(), EngineError> {
        self.keep_filled(family, full)
    }

    /// Writes the memtables out as well: a database that was synced last opens without replaying its log.
    fn sync(&mut self) -> Result<(), EngineError> {
        let _pass = self.enter("syncing")?;
        self.hand_over()?;
        let families = self.families.iter().filter(|family| family.made);
        let families: Vec<&ColumnFamily> = families.filter_map(|family| self.open.db.cf_handle(&family.name)).collect();
        let flushed = self.open.db.flush_cfs_opt(&families, &FlushOptions::default());
        flushed.and_then(|()| self.open.db.flush_wal(true)).map_err(self.failed("syncing"))
    }
}
