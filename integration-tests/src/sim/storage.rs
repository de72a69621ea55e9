//! A storage whose writes are effects: after a crash none happens any more.

use std::sync::Arc;

use millstream::state::engine::{Change, Direction, Engine, FamilyId, KeyRange, MemoryStorage, Scan, Storage};
use millstream::state::error::EngineError;

use super::Effects;

pub(super) struct CountingStorage {
    inner: MemoryStorage,
    effects: Arc<Effects>,
}

impl CountingStorage {
    pub(super) fn new(inner: MemoryStorage, effects: Arc<Effects>) -> Self {
        Self { inner, effects }
    }
}

fn dead() -> EngineError {
    EngineError::Io { action: "writing", path: "simulated".into(), source: "the process is dead".into() }
}

impl Storage for CountingStorage {
    fn open(&self, task: &str) -> Result<Box<dyn Engine>, EngineError> {
        self.effects.happens(|| format!("open {task}")).ok_or_else(dead)?;
        let inner = self.inner.open(task)?;
        Ok(Box::new(CountingEngine { inner, effects: self.effects.clone() }))
    }

    fn destroy(&self, task: &str) -> Result<(), EngineError> {
        self.effects.happens(|| format!("destroy {task}")).ok_or_else(dead)?;
        self.inner.destroy(task)
    }

    fn tasks(&self) -> Result<Vec<String>, EngineError> {
        self.inner.tasks()
    }
}

struct CountingEngine {
    inner: Box<dyn Engine>,
    effects: Arc<Effects>,
}

impl Engine for CountingEngine {
    fn families(&self) -> Vec<String> {
        self.inner.families()
    }

    fn open_family(&mut self, name: &str) -> Result<FamilyId, EngineError> {
        self.effects.happens(|| format!("open family {name}")).ok_or_else(dead)?;
        self.inner.open_family(name)
    }

    fn drop_family(&mut self, family: FamilyId) -> Result<(), EngineError> {
        self.effects.happens(|| "drop family".to_owned()).ok_or_else(dead)?;
        self.inner.drop_family(family)
    }

    fn get(&self, family: FamilyId, key: &[u8], out: &mut Vec<u8>) -> Result<bool, EngineError> {
        self.inner.get(family, key, out)
    }

    fn scan(&self, family: FamilyId, range: KeyRange<'_>, direction: Direction) -> Result<Scan<'_>, EngineError> {
        self.inner.scan(family, range, direction)
    }

    fn write(&mut self, changes: &mut dyn Iterator<Item = Change<'_>>) -> Result<(), EngineError> {
        self.effects.happens(|| "write".to_owned()).ok_or_else(dead)?;
        self.inner.write(changes)
    }

    fn sync(&mut self) -> Result<(), EngineError> {
        self.effects.happens(|| "sync".to_owned()).ok_or_else(dead)?;
        self.inner.sync()
    }
}
