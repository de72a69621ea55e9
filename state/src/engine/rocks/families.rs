//! The families of a database by number: those that RocksDB has, and those that it will have once it gets rows of theirs.

use std::collections::BTreeMap;

use rocksdb::DEFAULT_COLUMN_FAMILY_NAME;

use super::block::{Entries, Entry};
use super::rows::Rows;
use crate::engine::{FamilyId, META_FAMILY};

/// RocksDB cannot do without a family of this name; the meta family takes it, and a store so named gets another.
const DEFAULT_ALIAS: &str = "@default";

pub(super) struct Family {
    /// As RocksDB calls it.
    pub(super) name: String,
    /// Whether RocksDB has it. It is made with its first row there; many a window is gone by then.
    pub(super) made: bool,
}

pub(super) struct Families {
    known: BTreeMap<FamilyId, Family>,
    next: u32,
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

impl Families {
    /// Those that RocksDB has.
    pub(super) fn new(names: Vec<String>) -> Self {
        let known = names.into_iter().map(|name| Family { name, made: true });
        let known: BTreeMap<_, _> = (0..).map(FamilyId).zip(known).collect();
        Self { next: known.len() as u32, known }
    }

    /// The names by which the engine's users know them.
    pub(super) fn names(&self) -> Vec<String> {
        self.known.values().map(|family| in_engine(&family.name).to_owned()).collect()
    }

    pub(super) fn get(&self, id: FamilyId) -> Option<&Family> {
        self.known.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: FamilyId) -> Option<&mut Family> {
        self.known.get_mut(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Family> {
        self.known.values()
    }

    pub(super) fn remove(&mut self, id: FamilyId) {
        self.known.remove(&id);
    }

    /// The family that an engine's user calls so; it is new if there is none.
    pub(super) fn open(&mut self, name: &str) -> FamilyId {
        self.find_or_add(on_disk(name))
    }

    fn find_or_add(&mut self, name: &str) -> FamilyId {
        if let Some((id, _)) = self.known.iter().find(|(_, family)| family.name == name) {
            return *id;
        }
        let id = FamilyId(self.next);
        self.next += 1;
        self.known.insert(id, Family { name: name.to_owned(), made: false });
        id
    }

    /// Takes the changes of a journal's block over into the rows.
    pub(super) fn apply(&mut self, entries: Entries<'_>, rows: &mut Rows) {
        let mut current = None;
        for entry in entries {
            match (entry, current) {
                (Entry::Family(name), _) => current = Some(self.find_or_add(name)),
                (Entry::Put(key, value), Some(family)) => rows.put(family, key, Some(value)),
                (Entry::Delete(key), Some(family)) => rows.put(family, key, None),
                (Entry::Dropped, Some(family)) => {
                    rows.forget(family);
                    // RocksDB may still have it, if the process was killed before it was dropped there.
                    if self.known.get(&family).is_some_and(|family| !family.made) {
                        self.known.remove(&family);
                    }
                    current = None;
                }
                // Changes of no family: nobody writes that.
                (Entry::Put(..) | Entry::Delete(_) | Entry::Dropped, None) => {}
            }
        }
    }
}
