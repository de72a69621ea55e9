//! Filling a family from its changelog: without the write-ahead log, and with fewer compactions.
//!
//! ```text
//!  fill, fill, … ──► memtable ──► files of level 0 … keep ──► all of it is in files; compactions as usual
//! ```
//! What is lost in a crash is read from the changelog again, because the mark is written after [`RocksEngine::keep_filled`].

use rocksdb::FlushOptions;

use super::database::{Log, RocksEngine};
use crate::engine::rocks_options::{FILES, FILES_WHILE_FILLED};
use crate::engine::{Change, FamilyId};
use crate::error::EngineError;

impl RocksEngine {
    pub(super) fn fill_unlogged(&mut self, changes: &mut dyn Iterator<Item = Change<'_>>) -> Result<(), EngineError> {
        let (base, inner) = self.parts();
        let _pass = base.enter("writing")?;
        base.hand_over(inner)?;
        let (batch, families) = base.batch(inner, changes)?;
        for id in families {
            if !self.filled.contains(&id) {
                self.merge_at(id, FILES_WHILE_FILLED)?;
                self.filled.insert(id);
            }
        }
        let (base, inner) = self.parts();
        base.write_batch(batch, Log::Off, &mut inner.batch_bytes)
    }

    pub(super) fn keep_filled(&mut self, id: FamilyId, full: bool) -> Result<(), EngineError> {
        if !self.filled.contains(&id) {
            return Ok(());
        }
        let (base, inner) = self.parts();
        let _pass = base.enter("flushing")?;
        let flushed = base.open.db.flush_cf_opt(&base.made(&inner.families, id)?, &FlushOptions::default());
        flushed.map_err(base.failed("flushing"))?;
        if full {
            self.merge_at(id, FILES)?;
            self.filled.remove(&id);
        }
        Ok(())
    }

    fn merge_at(&mut self, id: FamilyId, files: i32) -> Result<(), EngineError> {
        let (base, inner) = self.parts();
        let options = [("level0_file_num_compaction_trigger", &*files.to_string())];
        let set = base.open.db.set_options_cf(&base.made(&inner.families, id)?, &options);
        set.map_err(base.failed("setting options"))
    }
}
