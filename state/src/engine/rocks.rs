//! The engine on disk: one RocksDB database per task, in `<root>/<task>`.
//!
//! ```text
//!  RocksStorage --open--> RocksEngine (task 0_0) ┐
//!               --open--> RocksEngine (task 0_1) ┴ one block cache, one write-buffer budget
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, DEFAULT_COLUMN_FAMILY_NAME, ErrorKind, FlushOptions, IteratorMode,
    ReadOptions, WriteBatch, WriteOptions,
};

use super::exit::{self, Closing};
pub use super::rocks_options::RocksSettings;
use super::rocks_options::{Shared, unlogged, write_options};
use super::{Change, Direction, Engine, FamilyId, KeyRange, META_FAMILY, Scan, Storage, is_empty};
use crate::error::{BoxError, EngineError};

const LOCK_FILE: &str = "millstream.lock";
/// RocksDB cannot do without a family of this name; the meta family takes it, and a store so named gets another.
const DEFAULT_ALIAS: &str = "@default";

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
            DB::list_cf(options, &path).map_err(|error| classify("listing families", &path, error))?
        } else {
            vec![DEFAULT_COLUMN_FAMILY_NAME.to_owned()]
        };
        exit::arm();
        let families = names.iter().map(|name| ColumnFamilyDescriptor::new(name, options.clone()));
        let db = DB::open_cf_descriptors(options, &path, families)
            .map_err(|error| classify("opening the database", &path, error))?;
        exit::arm();
        let families = (0..).map(FamilyId).zip(names).collect::<BTreeMap<_, _>>();
        let next = families.len() as u32;
        let open = Closing::new(Open { db, shared: Arc::clone(&self.shared), _lock: lock });
        Ok(Box::new(RocksEngine {
            open,
            families,
            next,
            path,
            write_options: write_options(),
            unlogged: unlogged(),
            filled: BTreeSet::new(),
            batch_bytes: 0,
        }))
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

/// An open database. Fields drop in order: the database closes before its lock is released.
pub(super) struct Open {
    pub(super) db: DB,
    shared: Arc<Shared>,
    _lock: File,
}

/// The database of one task.
pub(super) struct RocksEngine {
    pub(super) open: Closing<Open>,
    families: BTreeMap<FamilyId, String>,
    next: u32,
    path: PathBuf,
    write_options: WriteOptions,
    pub(super) unlogged: WriteOptions,
    /// Families that are being filled.
    pub(super) filled: BTreeSet<FamilyId>,
    /// The size of the last batch: the next one is likely to be like it.
    pub(super) batch_bytes: usize,
}

fn on_disk(name: &str) -> &str {
    match name {
        META_FAMILY => DEFAULT_COLUMN_FAMILY_NAME,
        DEFAULT_COLUMN_FAMILY_NAME => DEFAULT_ALIAS,
        name => name,
    }
}

fn in_engine(name: &str) -> &str {
    match name {
        DEFAULT_COLUMN_FAMILY_NAME => META_FAMILY,
        DEFAULT_ALIAS => DEFAULT_COLUMN_FAMILY_NAME,
        name => name,
    }
}

impl RocksEngine {
    pub(super) fn family(&self, id: FamilyId) -> Result<&ColumnFamily, EngineError> {
        self.families
            .get(&id)
            .and_then(|name| self.open.db.cf_handle(name))
            .ok_or_else(|| io("use of a dropped family", &self.path, format!("family {}", id.0)))
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
}

impl Engine for RocksEngine {
    fn families(&self) -> Vec<String> {
        self.families.values().map(|name| in_engine(name).to_owned()).collect()
    }

    fn open_family(&mut self, name: &str) -> Result<FamilyId, EngineError> {
        let name = on_disk(name);
        if let Some((id, _)) = self.families.iter().find(|(_, known)| *known == name) {
            return Ok(*id);
        }
        let _pass = self.enter("creating a family")?;
        let Open { db, shared, .. } = &mut *self.open;
        db.create_cf(name, &shared.options).map_err(|error| classify("creating a family", &self.path, error))?;
        let id = FamilyId(self.next);
        self.next += 1;
        self.families.insert(id, name.to_owned());
        Ok(id)
    }

    fn drop_family(&mut self, family: FamilyId) -> Result<(), EngineError> {
        let Some(name) = self.families.get(&family) else { return Ok(()) };
        let _pass = exit::enter().ok_or_else(|| exiting("dropping a family", &self.path))?;
        self.open.db.drop_cf(name).map_err(|error| classify("dropping a family", &self.path, error))?;
        self.families.remove(&family);
        self.filled.remove(&family);
        Ok(())
    }

    fn get(&self, family: FamilyId, key: &[u8], out: &mut Vec<u8>) -> Result<bool, EngineError> {
        self.may_read()?;
        let value = self.open.db.get_pinned_cf(self.family(family)?, key).map_err(self.failed("reading"))?;
        if let Some(value) = &value {
            out.extend_from_slice(value);
        }
        Ok(value.is_some())
    }

    fn multi_get(&self, family: FamilyId, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, EngineError> {
        self.may_read()?;
        let sorted = keys.is_sorted();
        self.open
            .db
            .batched_multi_get_cf(self.family(family)?, keys.iter().copied(), sorted)
            .into_iter()
            .map(|value| value.map(|value| value.map(|value| value.to_vec())).map_err(self.failed("reading")))
            .collect()
    }

    fn scan(&self, family: FamilyId, range: KeyRange<'_>, direction: Direction) -> Result<Scan<'_>, EngineError> {
        if is_empty(&range) {
            return Ok(Box::new(std::iter::empty()));
        }
        self.may_read()?;
        let family = self.family(family)?;
        let mut options = ReadOptions::default();
        match range.0 {
            Bound::Included(from) => options.set_iterate_lower_bound(from),
            Bound::Excluded(from) => options.set_iterate_lower_bound(successor(from)),
            Bound::Unbounded => {}
        }
        match range.1 {
            Bound::Included(to) => options.set_iterate_upper_bound(successor(to)),
            Bound::Excluded(to) => options.set_iterate_upper_bound(to),
            Bound::Unbounded => {}
        }
        let mode = match direction {
            Direction::Forward => IteratorMode::Start,
            Direction::Backward => IteratorMode::End,
        };
        let failed = self.failed("scanning");
        Ok(Box::new(self.open.db.iterator_cf_opt(family, options, mode).map(move |entry| entry.map_err(&failed))))
    }

    fn approximate_len(&self, family: FamilyId) -> Result<u64, EngineError> {
        let family = self.family(family)?;
        self.may_read()?;
        let estimate = self.open.db.property_int_value_cf(family, "rocksdb.estimate-num-keys");
        estimate.map(Option::unwrap_or_default).map_err(self.failed("counting"))
    }

    fn write(&mut self, changes: &mut dyn Iterator<Item = Change<'_>>) -> Result<(), EngineError> {
        let mut batch = WriteBatch::with_capacity_bytes(self.batch_bytes);
        let mut last: Option<(FamilyId, &ColumnFamily)> = None;
        for change in changes {
            let (Change::Put(id, ..) | Change::Delete(id, _)) = change;
            let family = match last {
                Some((known, family)) if known == id => family,
                _ => self.family(id)?,
            };
            last = Some((id, family));
            match change {
                Change::Put(_, key, value) => batch.put_cf(family, key, value),
                Change::Delete(_, key) => batch.delete_cf(family, key),
            }
        }
        let bytes = batch.size_in_bytes();
        let _pass = self.enter("writing")?;
        self.open.db.write_opt(batch, &self.write_options).map_err(self.failed("writing"))?;
        self.batch_bytes = bytes;
        Ok(())
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
        let families: Vec<&ColumnFamily> =
            self.families.values().filter_map(|name| self.open.db.cf_handle(name)).collect();
        let flushed = self.open.db.flush_cfs_opt(&families, &FlushOptions::default());
        flushed.and_then(|()| self.open.db.flush_wal(true)).map_err(self.failed("syncing"))
    }
}

/// The smallest key after `key`.
fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}
