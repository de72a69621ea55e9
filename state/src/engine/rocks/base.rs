//! RocksDB's side of a database: its families, and what they are given.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use rocksdb::{BoundColumnFamily, DBWithThreadMode, MultiThreaded, WriteBatch, WriteOptions};

use super::block::Block;
use super::families::Families;
use super::inner::{Inner, Sealed};
use super::{classify, exiting, io};
use crate::engine::exit::{self, Closing};
use crate::engine::rocks_options::{Shared, write_options};
use crate::engine::{Change, FamilyId};
use crate::error::EngineError;

/// Where in the meta family the number of the oldest journal stands, 8 bytes.
const JOURNAL_KEY: &[u8] = b"@journal";
/// More memory than this is not kept for the next batch.
const BATCH_KEPT: usize = 1 << 20;
/// What RocksDB is given at once, in bytes of the journal, when all of it is handed over.
pub(super) const PIECE: usize = 1 << 20;

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

impl Base {
    pub(super) fn new(open: Open, path: PathBuf) -> Self {
        Self { open: Closing::new(open), path, logged: write_options() }
    }

    /// The number of the oldest journal that counts.
    pub(super) fn oldest(&self) -> Result<u64, EngineError> {
        let number = self.open.db.get(JOURNAL_KEY).map_err(self.failed("reading"))?;
        Ok(number.and_then(|number| number.try_into().ok()).map_or(0, u64::from_be_bytes))
    }

    /// What the engine was asked for must not be under way while the process ends.
    pub(super) fn enter(&self, action: &'static str) -> Result<exit::Pass, EngineError> {
        exit::enter().ok_or_else(|| exiting(action, &self.path))
    }

    pub(super) fn may_read(&self) -> Result<(), EngineError> {
        if exit::may_read() { Ok(()) } else { Err(exiting("reading", &self.path)) }
    }

    pub(super) fn failed(&self, action: &'static str) -> impl Fn(rocksdb::Error) -> EngineError {
        let path = &self.path;
        move |error| classify(action, path, error)
    }

    pub(super) fn journal(&self, action: &'static str) -> impl Fn(std::io::Error) -> EngineError {
        let path = &self.path;
        move |error| match error.kind() {
            std::io::ErrorKind::InvalidData => {
                EngineError::Corrupted { path: path.display().to_string(), source: error.into() }
            }
            _ => io(action, path, error),
        }
    }

    pub(super) fn dropped(&self, id: FamilyId) -> EngineError {
        io("use of a dropped family", &self.path, format!("family {}", id.0))
    }

    /// `None` if RocksDB does not have the family yet.
    pub(super) fn handle(
        &self,
        families: &Families,
        id: FamilyId,
    ) -> Result<Option<Arc<BoundColumnFamily<'_>>>, EngineError> {
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

    /// Adds a block to the journal that is written to.
    pub(super) fn append(&self, inner: &mut Inner, block: &mut Block) -> Result<(), EngineError> {
        let first = inner.active.append(block).map_err(self.journal("writing the journal"))?;
        inner.take(&mut block.entries(), first);
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
    pub(super) fn hand_over_piece(&self, inner: &mut Inner, bytes: usize) -> Result<(), EngineError> {
        let Some(mut sealed) = inner.sealed.take() else { return Ok(()) };
        let from = sealed.handing.at();
        if let Err(error) = self.hand(inner, &mut sealed, bytes) {
            sealed.handing.back_to(from);
            inner.sealed = Some(sealed);
            return Err(error);
        }
        if sealed.handing.is_over(&sealed.journal) {
            sealed.journal.remove();
            inner.make_room();
        } else {
            inner.sealed = Some(sealed);
        }
        Ok(())
    }

    fn hand(&self, inner: &mut Inner, sealed: &mut Sealed, bytes: usize) -> Result<(), EngineError> {
        let (Inner { families, batch_bytes, .. }, Sealed { journal, handing }) = (inner, sealed);
        let rows = handing.rows(journal, bytes, |name| families.find(name));
        let rows = rows.map_err(self.journal("reading the journal"))?;
        let (mut batch, _) = self.batch(families, rows, *batch_bytes)?;
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

    pub(super) fn write_directly(&self, inner: &mut Inner, changes: Vec<Change<'_>>) -> Result<(), EngineError> {
        self.hand_over(inner)?;
        let (batch, written) = self.batch(&mut inner.families, changes, inner.batch_bytes)?;
        written.into_iter().for_each(|id| inner.rows.forget(id));
        self.write_batch(batch, &mut inner.batch_bytes)
    }

    /// Changes for RocksDB in the order of their keys, as neighbours in a memtable are in the processor's caches; and the families
    /// that they are of, which RocksDB has from now on.
    fn batch(
        &self,
        families: &mut Families,
        mut changes: Vec<Change<'_>>,
        bytes: usize,
    ) -> Result<(WriteBatch, Vec<FamilyId>), EngineError> {
        // Stable: the last change of a row counts.
        changes.sort_by(|a, b| place(a).cmp(&place(b)));
        let (mut batch, mut written) = (WriteBatch::with_capacity_bytes(bytes), Vec::new());
        for changes in changes.chunk_by(|a, b| place(a).0 == place(b).0) {
            let Some((id, _)) = changes.first().map(place) else { continue };
            self.make(families, id)?;
            written.push(id);
            let family = self.made(families, id)?;
            for change in changes {
                match *change {
                    Change::Put(_, key, value) => batch.put_cf(&family, key, value),
                    Change::Delete(_, key) => batch.delete_cf(&family, key),
                }
            }
        }
        Ok((batch, written))
    }
}

pub(super) fn place<'c>(change: &Change<'c>) -> (FamilyId, &'c [u8]) {
    let (Change::Put(family, key, _) | Change::Delete(family, key)) = *change;
    (family, key)
}
