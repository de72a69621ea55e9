//! Filling a family from its changelog: without the write-ahead log, and with fewer compactions.
//!
//! ```text
//!  fill, fill, … ──► memtable ──► files of level 0 … keep ──► all of it is in files; compactions as usual
//! ```
//! What is lost in a crash is read from the changelog again, because the mark is written after [`RocksEngine::keep_filled`].

use rocksdb::{ColumnFamily, FlushOptions, WriteBatch};

use super::rocks::RocksEngine;
use super::{Change, FamilyId};
use crate::error::EngineError;

/// How many files a family collects before it merges them, while it is filled and as usual (RocksDB's default). Every merge
/// rewrites what is there; nobody reads meanwhile, so that few large ones do.
const FILES_WHILE_FILLED: &str = "12";
const FILES: &str = "4";

impl RocksEngine {
    pub(super) fn fill_unlogged(&mut self, changes: &mut dyn Iterator<Item = Change<'_>>) -> Result<(), EngineError> {
        let mut batch = WriteBatch::with_capacity_bytes(self.batch_bytes);
        let mut last: Option<(FamilyId, &ColumnFamily)> = None;
        let mut filled = Vec::new();
        for change in changes {
            let (Change::Put(id, ..) | Change::Delete(id, _)) = change;
            let family = match last {
                Some((known, family)) if known == id => family,
                _ => {
                    filled.push(id);
                    self.family(id)?
                }
            };
            last = Some((id, family));
            match change {
                Change::Put(_, key, value) => batch.put_cf(family, key, value),
                Change::Delete(_, key) => batch.delete_cf(family, key),
            }
        }
        let bytes = batch.size_in_bytes();
        let _pass = self.enter("writing")?;
        for id in filled {
            if self.filled.insert(id) {
                self.merge_at(id, FILES_WHILE_FILLED)?;
            }
        }
        self.open.db.write_opt(batch, &self.unlogged).map_err(self.failed("writing"))?;
        self.batch_bytes = bytes;
        Ok(())
    }

    pub(super) fn keep_filled(&mut self, id: FamilyId, full: bool) -> Result<(), EngineError> {
        if !self.filled.contains(&id) {
            return Ok(());
        }
        let _pass = self.enter("flushing")?;
        let flushed = self.open.db.flush_cf_opt(self.family(id)?, &FlushOptions::default());
        flushed.map_err(self.failed("flushing"))?;
        if full {
            self.merge_at(id, FILES)?;
            self.filled.remove(&id);
        }
        Ok(())
    }

    fn merge_at(&self, id: FamilyId, files: &str) -> Result<(), EngineError> {
        let options = [("level0_file_num_compaction_trigger", files)];
        self.open.db.set_options_cf(self.family(id)?, &options).map_err(self.failed("setting options"))
    }
}
