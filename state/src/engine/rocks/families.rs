//! The families of a database by number: those that RocksDB has, and those that it will have once it gets rows of theirs.

use std::collections::BTreeMap;

use rocksdb::DEFAULT_COLUMN_FAMILY_NAME;

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

    /// The family that RocksDB calls so.
    pub(super) fn find(&self, name: &str) -> Option<FamilyId> {
        self.known.iter().find(|(_, family)| family.name == name).map(|(id, _)| *id)
    }

    /// The family that RocksDB calls so; it is new if there is none.
    pub(super) fn find_or_add(&mut self, name: &str) -> FamilyId {
        if let Some(id) = self.find(name) {
            return id;
        }
        let id = FamilyId(self.next);
        self.next += 1;
        self.known.insert(id, Family { name: name.to_owned(), made: false });
        id
    }
}
