//! Filling a family from its changelog: without the write-ahead log, and with fewer compactions.
//!
//! ```text
//!  fill, fill, … ──► memtable ──► files of level 0 … keep ──► all of it is in files; compactions as usual
//! ```
//! What is lost in a crash is read from the changelog again, because the mark is written after [`RocksEngine::keep_filled`].

use rocksdb::FlushOptions;

use super::database::{Copies, Log, RocksEngine};
use crate::engine::rocks_options::{FILES, FILES_WHILE_FILLED};
use crate::engine::{Change, FamilyId};
use crate::error::EngineError;

impl RocksEngine {
    pub(super) fn fill_unlogged(&mut self, changes: &mut dyn Iterator<Item = Change<'_>>) -> Result<(), EngineError> {
        let _pass = self.enter("writing")?;
        self.hand_over()?;
        let (batch, families) = self.batch(changes, Copies::Go)?;
        for id in families {
            if self.filled.insert(id) {
                self.merge_at(id, FILES_WHILE_FILLED)?;
            }
        }
        self.write_batch(batch, Log::Off)
    }

    pub(super) fn keep_filled(&mut self, id: FamilyId, full: bool) -> Result<(), EngineError> {
        if !self.filled.contains(&id) {
            return Ok(());
        }
        let _pass = self.enter("flushing")?;
        let flushed = self.open.db.flush_cf_opt(self.made(id)?, &FlushOptions::default());
        flushed.map_err(self.failed("flushing"))?;
        if full {
            self.merge_at(id, FILES)?;
            self.filled.remove(&id);
        }
        Ok(())
    }

    fn merge_at(&self, id: FamilyId, files: i32) -> Result<(), EngineError> {
        let options = [("level0_file_num_compaction_trigger", &*files.to_string())];
        self.open.db.set_options_cf(self.made(id)?, &options).map_err(self.failed("setting options"))
    }
}
