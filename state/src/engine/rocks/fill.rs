//! Filling a family from its changelog: files in the order of their keys, which RocksDB takes over as they are.
//!
//! ```text
//!  fill ──► filling.tmp, synced ──► a file of RocksDB's     fill ──► …     filled: few files are merged again, as usual
//! ```
//! Nothing goes through a memtable or a log, and what is filled survives, so that its mark can follow at once.

use rocksdb::{IngestExternalFileOptions, SstFileWriter};

use super::database::RocksEngine;
use crate::engine::rocks_options::{FILES, FILES_WHILE_FILLED};
use crate::engine::{FamilyId, FilledRow};
use crate::error::EngineError;

/// The file while it is written. One that a crash has left is overwritten by the next.
const FILLING: &str = "filling.tmp";

impl RocksEngine {
    pub(super) fn fill_family(
        &mut self,
        id: FamilyId,
        rows: &mut dyn Iterator<Item = FilledRow<'_>>,
    ) -> Result<(), EngineError> {
        let (base, inner) = self.parts();
        let _pass = base.enter("writing")?;
        base.hand_over(inner)?;
        base.make(&mut inner.families, id)?;
        inner.rows.forget(id);
        if !self.filled.contains(&id) {
            self.merge_at(id, FILES_WHILE_FILLED)?;
            self.filled.insert(id);
        }
        let (base, inner) = self.parts();
        let (path, family) = (base.path.join(FILLING), base.made(&inner.families, id)?);
        let mut file = SstFileWriter::create(&base.open.shared.filled);
        let written = file.open(&path).and_then(|()| {
            for (key, value) in rows {
                match value {
                    Some(value) => file.put(key, value)?,
                    None => file.delete(key)?,
                }
            }
            file.finish()
        });
        written.map_err(base.failed("writing a file of rows"))?;
        drop(file);
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        let taken = base.open.db.ingest_external_file_cf_opts(&family, &options, vec![path]);
        taken.map_err(base.failed("taking over a file of rows"))
    }

    pub(super) fn end_filling(&mut self, id: FamilyId) -> Result<(), EngineError> {
        if self.filled.remove(&id) { self.merge_at(id, FILES) } else { Ok(()) }
    }

    fn merge_at(&mut self, id: FamilyId, files: i32) -> Result<(), EngineError> {
        let (base, inner) = self.parts();
        let options = [("level0_file_num_compaction_trigger", &*files.to_string())];
        let set = base.open.db.set_options_cf(&base.made(&inner.families, id)?, &options);
        set.map_err(base.failed("setting options"))
    }
}
