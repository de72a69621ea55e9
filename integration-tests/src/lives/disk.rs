//! A process's disk: a storage whose writes are effects, at each of which the process can die.

use std::sync::Arc;

use millstream::state::engine::{Change, Direction, Engine, FamilyId, KeyRange, MemoryStorage, Scan, Storage};
use millstream::state::error::EngineError;

use super::link::Link;

pub(super) struct Disk {
    inner: MemoryStorage,
    link: Arc<Link>,
    /// A deliberate bug: a batch is two writes, and what comes last in it is written first.
    torn: bool,
}

impl Disk {
    pub(super) fn new(inner: MemoryStorage, link: Arc<Link>, torn: bool) -> Self {
        Self { inner, link, torn }
    }
}

fn dead() -> EngineError {
    EngineError::Io { action: "writing", path: "simulated".into(), source: "the process is dead".into() }
}

fn check(link: &Link, what: &str) -> Result<(), EngineError> {
    if link.writes(what) { Ok(()) } else { Err(dead()) }
}

impl Storage for Disk {
    fn open(&self, task: &str) -> Result<Box<dyn Engine>, EngineError> {
        check(&self.link, "opening a database")?;
        let inner = self.inner.open(task)?;
        Ok(Box::new(DiskEngine { inner, link: self.link.clone(), torn: self.torn }))
    }

    fn destroy(&self, task: &str) -> Result<(), EngineError> {
        check(&self.link, "removing a database")?;
        self.inner.destroy(task)
    }

    fn tasks(&self) -> Result<Vec<String>, EngineError> {
        self.inner.tasks()
    }
}

struct DiskEngine {
    inner: Box<dyn Engine>,
    link: Arc<Link>,
    torn: bool,
}

impl Engine for DiskEngine {
    fn families(&self) -> Vec<String> {
        self.inner.families()
    }

    fn open_family(&mut self, name: &str) -> Result<FamilyId, EngineError> {
        check(&self.link, "opening a family")?;
        self.inner.open_family(name)
    }

    fn drop_family(&mut self, family: FamilyId) -> Result<(), EngineError> {
        check(&self.link, "dropping a family")?;
        self.inner.drop_family(family)
    }

    fn get(&self, family: FamilyId, key: &[u8], out: &mut Vec<u8>) -> Result<bool, EngineError> {
        self.inner.get(family, key, out)
    }

    fn scan(&self, family: FamilyId, range: KeyRange<'_>, direction: Direction) -> Result<Scan<'_>, EngineError> {
        self.inner.scan(family, range, direction)
    }

    fn write(&mut self, changes: &mut dyn Iterator<Item = Change<'_>>) -> Result<(), EngineError> {
        check(&self.link, "a write")?;
        if !self.torn {
            return self.inner.write(changes);
        }
        let mut all: Vec<Change<'_>> = changes.collect();
        let first = all.split_off(all.len() / 2);
        self.inner.write(&mut first.into_iter())?;
        check(&self.link, "the rest of a write")?;
        self.inner.write(&mut all.into_iter())
    }

    fn sync(&mut self) -> Result<(), EngineError> {
        check(&self.link, "a sync")?;
        self.inner.sync()
    }
}
