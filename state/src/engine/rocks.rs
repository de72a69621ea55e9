//! The engine on disk: one RocksDB database per task, in `<root>/<task>`, with a journal and rows in memory before it.
//!
//! ```text
//!  RocksStorage --open--> RocksEngine (task 0_0) ┐
//!               --open--> RocksEngine (task 0_1) ┴ one block cache, one write-buffer budget, one budget of rows
//! ```

mod base;
mod block;
mod database;
mod families;
mod fill;
mod inner;
mod journal;
mod places;
mod rows;
#[cfg(test)]
mod rows_tests;
mod saved;
mod scan;
#[cfg(test)]
mod tests;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::{ColumnFamilyDescriptor, DEFAULT_COLUMN_FAMILY_NAME, ErrorKind};

use self::base::{Db, Open};
use self::database::RocksEngine;
pub(super) use self::rows::Budget;
use super::exit;
pub use super::rocks_options::RocksSettings;
use super::rocks_options::Shared;
use super::{Engine, Storage};
use crate::error::{BoxError, EngineError};

const LOCK_FILE: &str = "millstream.lock";

/// The databases of one instance under one directory.
#[derive(Clone)]
pub struct RocksStorage {
    root: Arc<Path>,
    shared: Arc<Shared>,
}

impl RocksStorage {
    /// Databases below `root`, which need not exist yet, within these bounds.
    pub fn new(root: impl Into<PathBuf>, settings: &RocksSettings) -> Self {
        Self { root: root.into().into(), shared: Shared::new(settings) }
    }

    /// How many bytes of blocks and write buffers are in memory now.
    pub fn memory(&self) -> usize {
        self.shared.memory()
    }
}

fn io(action: &'static str, path: &Path, source: impl Into<BoxError>) -> EngineError {
    EngineError::Io { action, path: path.display().to_string(), source: source.into() }
}

fn exiting(action: &'static str, path: &Path) -> EngineError {
    io(action, path, "the process is exiting")
}

fn classify(action: &'static str, path: &Path, error: rocksdb::Error) -> EngineError {
    match error.kind() {
        ErrorKind::Corruption => EngineError::Corrupted { path: path.display().to_string(), source: error.into() },
        _ => io(action, path, error),
    }
}

fn lock(dir: &Path) -> Result<File, EngineError> {
    let file = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(dir.join(LOCK_FILE))
        .map_err(|error| io("creating the lock file", dir, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(EngineError::Locked { path: dir.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(io("locking", dir, error)),
    }
}

impl Storage for RocksStorage {
    fn open(&self, task: &str) -> Result<Box<dyn Engine>, EngineError> {
        let path = self.root.join(task);
        let _pass = exit::enter().ok_or_else(|| exiting("opening the database", &path))?;
        std::fs::create_dir_all(&path).map_err(|error| io("creating the directory", &path, error))?;
        let lock = lock(&path)?;
        let options = &self.shared.options;
        let names = if path.join("CURRENT").exists() {
            Db::list_cf(options, &path).map_err(|error| classify("listing families", &path, error))?
        } else {
            vec![DEFAULT_COLUMN_FAMILY_NAME.to_owned()]
        };
        exit::arm();
        let families = names.iter().map(|name| ColumnFamilyDescriptor::new(name, options.clone()));
        let db = Db::open_cf_descriptors(options, &path, families)
            .map_err(|error| classify("opening the database", &path, error))?;
        exit::arm();
        Ok(Box::new(RocksEngine::new(Open { db, shared: Arc::clone(&self.shared), _lock: lock }, names, path)?))
    }

    fn destroy(&self, task: &str) -> Result<(), EngineError> {
        let path = self.root.join(task);
        if !path.exists() {
            return Ok(());
        }
        let _lock = lock(&path)?;
        std::fs::remove_dir_all(&path).map_err(|error| io("removing", &path, error))
    }

    fn tasks(&self) -> Result<Vec<String>, EngineError> {
        let entries = match std::fs::read_dir(&self.root) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| io("listing", &self.root, error))?,
        };
        let mut tasks = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| io("listing", &self.root, error))?;
            if entry.path().join(LOCK_FILE).exists() {
                tasks.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        tasks.sort();
        Ok(tasks)
    }
}
