//! The engine in memory: for stores that are rebuilt at every start, and for simulations of disks that fail.
//!
//! ```text
//!  MemoryStorage (outlives the engines)  --open-->  MemoryEngine (owns the database)  --drop-->  back to the storage
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Change, Direction, Engine, FamilyId, KeyRange, Scan, Storage, is_empty};
use crate::error::EngineError;

type Family = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// Unsynced writes whose outcome is remembered.
const HISTORY: usize = 64;

/// Families are shared between the current and the synced state until one of them changes.
type Families = BTreeMap<FamilyId, (Arc<str>, Arc<Family>)>;

#[derive(Debug, Default)]
struct Database {
    families: Families,
    synced: Families,
    /// What each write since the last sync led to, if that is kept.
    unsynced: VecDeque<Families>,
    next: u32,
}

/// What a simulated disk refuses writes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No space left on the device.
    DiskFull,
    /// The file system is read-only.
    ReadOnly,
}

#[derive(Debug)]
enum Slot {
    Open,
    Closed(Database),
    Corrupted,
}

#[derive(Debug, Default)]
struct Disk {
    /// Locked only to open and close a database; an open one belongs to its engine alone.
    slots: Mutex<BTreeMap<String, Slot>>,
    /// Writes that still succeed; negative without a fault.
    writes_left: AtomicI64,
    /// Whether the state after each unsynced write is kept.
    keeps_history: AtomicBool,
    fault: Mutex<Option<Fault>>,
}

/// Databases in memory that outlive their engines: a simulated crash drops the engines and opens them again.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    disk: Arc<Disk>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is replaced as a whole, so that a panic elsewhere leaves it valid.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryStorage {
    /// An empty storage.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `writes` more writes succeed and refuses those that follow, until [`MemoryStorage::heal`].
    pub fn inject(&self, fault: Fault, writes: u32) {
        self.disk.writes_left.store(i64::from(writes), Ordering::Relaxed);
        *lock(&self.disk.fault) = Some(fault);
    }

    /// Ends a fault.
    pub fn heal(&self) {
        *lock(&self.disk.fault) = None;
    }

    /// What the loss of the machine does to the closed databases: with `lose_unsynced` they are as they were when they
    /// were last synced; without (the process was killed), as they were last written.
    pub fn crash(&self, lose_unsynced: bool) {
        for slot in lock(&self.disk.slots).values_mut() {
            if let Slot::Closed(database) = slot
                && lose_unsynced
            {
                database.families = database.synced.clone();
                database.unsynced.clear();
            }
        }
    }

    /// Remembers from now on what each write led to, for [`MemoryStorage::lose_suffix`]. It costs a copy per write.
    pub fn keep_history(&self) {
        self.disk.keeps_history.store(true, Ordering::Relaxed);
    }

    /// What the loss of power does to the closed databases: of the writes since the last sync each keeps a prefix. `keep`
    /// is told how many there are and answers how many stay. Needs [`MemoryStorage::keep_history`].
    pub fn lose_suffix(&self, mut keep: impl FnMut(usize) -> usize) {
        for slot in lock(&self.disk.slots).values_mut() {
            let Slot::Closed(database) = slot else { continue };
            let kept = keep(database.unsynced.len()).min(database.unsynced.len());
            if kept < database.unsynced.len() {
                let before = kept.checked_sub(1).and_then(|last| database.unsynced.get(last));
                database.families = before.unwrap_or(&database.synced).clone();
                database.unsynced.truncate(kept);
            }
        }
    }

    /// Makes the next opening of a closed database find it corrupted.
    pub fn corrupt(&self, task: &str) {
        lock(&self.disk.slots).insert(task.to_owned(), Slot::Corrupted);
    }
}

impl Storage for MemoryStorage {
    fn open(&self, task: &str) -> Result<Box<dyn Engine>, EngineError> {
        let mut slots = lock(&self.disk.slots);
        let slot = slots.entry(task.to_owned()).or_insert_with(|| Slot::Closed(Database::default()));
        match std::mem::replace(slot, Slot::Open) {
            Slot::Open => Err(EngineError::Locked { path: task.to_owned() }),
            Slot::Corrupted => {
                *slot = Slot::Corrupted;
                Err(EngineError::Corrupted { path: task.to_owned(), source: "checksum mismatch (simulated)".into() })
            }
            Slot::Closed(database) => {
                let home = Some((Arc::clone(&self.disk), task.to_owned()));
                Ok(Box::new(MemoryEngine { database, home }))
            }
        }
    }

    fn destroy(&self, task: &str) -> Result<(), EngineError> {
        let mut slots = lock(&self.disk.slots);
        if matches!(slots.get(task), Some(Slot::Open)) {
            return Err(EngineError::Locked { path: task.to_owned() });
        }
        slots.remove(task);
        Ok(())
    }

    fn tasks(&self) -> Result<Vec<String>, EngineError> {
        Ok(lock(&self.disk.slots).keys().cloned().collect())
    }
}

/// A database in memory.
#[derive(Debug, Default)]
pub struct MemoryEngine {
    database: Database,
    home: Option<(Arc<Disk>, String)>,
}

impl MemoryEngine {
    /// An empty database that nothing keeps after it is dropped.
    pub fn new() -> Self {
        Self::default()
    }

    fn check(&self, action: &'static str) -> Result<(), EngineError> {
        let Some((disk, task)) = &self.home else { return Ok(()) };
        let Some(fault) = *lock(&disk.fault) else { return Ok(()) };
        if disk.writes_left.fetch_sub(1, Ordering::Relaxed) > 0 {
            return Ok(());
        }
        let kind = match fault {
            Fault::DiskFull => std::io::ErrorKind::StorageFull,
            Fault::ReadOnly => std::io::ErrorKind::ReadOnlyFilesystem,
        };
        Err(EngineError::Io { action, path: task.clone(), source: std::io::Error::from(kind).into() })
    }

    fn family(&self, id: FamilyId) -> Result<&Family, EngineError> {
        self.database.families.get(&id).map(|(_, family)| &**family).ok_or_else(|| self.no_such_family(id))
    }

    /// After a write.
    fn remember(&mut self) {
        if let Some((disk, _)) = &self.home
            && disk.keeps_history.load(Ordering::Relaxed)
        {
            // What is older is taken to be on the disk: a log is not written behind for ever.
            if self.database.unsynced.len() >= HISTORY
                && let Some(oldest) = self.database.unsynced.pop_front()
            {
                self.database.synced = oldest;
            }
            self.database.unsynced.push_back(self.database.families.clone());
        }
    }

    fn no_such_family(&self, id: FamilyId) -> EngineError {
        let path = self.home.as_ref().map_or_else(|| "memory".to_owned(), |(_, task)| task.clone());
        EngineError::Io { action: "use of a dropped family", path, source: format!("family {}", id.0).into() }
    }
}

impl Drop for MemoryEngine {
    fn drop(&mut self) {
        if let Some((disk, task)) = self.home.take() {
            let slot = Slot::Closed(std::mem::take(&mut self.database));
            lock(&disk.slots).insert(task, slot);
        }
    }
}

impl Engine for MemoryEngine {
    fn families(&self) -> Vec<String> {
        self.database.families.values().map(|(name, _)| name.to_string()).collect()
    }

    fn open_family(&mut self, name: &str) -> Result<FamilyId, EngineError> {
        if let Some((id, _)) = self.database.families.iter().find(|(_, (known, _))| &**known == name) {
            return Ok(*id);
        }
        self.check("creating a family")?;
        let id = FamilyId(self.database.next);
        self.database.next += 1;
        self.database.families.insert(id, (name.into(), Arc::default()));
        self.remember();
        Ok(id)
    }

    fn drop_family(&mut self, family: FamilyId) -> Result<(), EngineError> {
        self.check("dropping a family")?;
        self.database.families.remove(&family);
        self.remember();
        Ok(())
    }

    fn get(&self, family: FamilyId, key: &[u8], out: &mut Vec<u8>) -> Result<bool, EngineError> {
        let value = self.family(family)?.get(key);
        if let Some(value) = value {
            out.extend_from_slice(value);
        }
        Ok(value.is_some())
    }

    fn scan(&self, family: FamilyId, range: KeyRange<'_>, direction: Direction) -> Result<Scan<'_>, EngineError> {
        let family = self.family(family)?;
        if is_empty(&range) {
            return Ok(Box::new(std::iter::empty()));
        }
        let entries = family.range::<[u8], _>(range).map(|(key, value)| Ok((key.clone(), value.clone())));
        Ok(match direction {
            Direction::Forward => Box::new(entries),
            Direction::Backward => Box::new(entries.rev()),
        })
    }

    fn approximate_len(&self, family: FamilyId) -> Result<u64, EngineError> {
        Ok(self.family(family)?.len() as u64)
    }

    fn write(&mut self, changes: &mut dyn Iterator<Item = Change<'_>>) -> Result<(), EngineError> {
        self.check("writing")?;
        // All or nothing: every family is known before the first change is made.
        let changes: Vec<Change<'_>> = changes.collect();
        for change in &changes {
            let (Change::Put(id, ..) | Change::Delete(id, _)) = change;
            self.family(*id)?;
        }
        for change in changes {
            match change {
                Change::Put(id, key, value) => self.put(id, key, value),
                Change::Delete(id, key) => {
                    if let Some((_, family)) = self.database.families.get_mut(&id) {
                        Arc::make_mut(family).remove(key);
                    }
                }
            }
        }
        self.remember();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), EngineError> {
        self.check("syncing")?;
        if self.home.is_some() {
            self.database.synced = self.database.families.clone();
            self.database.unsynced.clear();
        }
        Ok(())
    }
}

impl MemoryEngine {
    fn put(&mut self, id: FamilyId, key: &[u8], value: &[u8]) {
        let Some((_, family)) = self.database.families.get_mut(&id) else { return };
        let family = Arc::make_mut(family);
        match family.get_mut(key) {
            Some(slot) if slot.len() == value.len() => slot.copy_from_slice(value),
            Some(slot) => *slot = value.into(),
            None => {
                family.insert(key.into(), value.into());
            }
        }
    }
}
