//! A store that is rebuilt from nothing is given many rows at once: its mark must not be ahead of them.

use tempfile::TempDir;

use super::super::StoreKind;
use super::tests::{copy_dir, mark, record, spec};
use super::*;
use crate::engine::{RocksSettings, RocksStorage, Storage};

const STORE: StoreId = StoreId(0);

struct Life {
    dir: TempDir,
    storage: RocksStorage,
    stores: TaskStores,
}

fn specs() -> [StoreSpec; 1] {
    [spec("s", StoreKind::KeyValue)]
}

fn begin() -> Life {
    let dir = tempfile::tempdir().unwrap();
    let storage = RocksStorage::new(dir.path(), &RocksSettings::default());
    let mut stores = TaskStores::open(&specs(), storage.open("0_0").unwrap()).unwrap();
    stores.reset(STORE).unwrap();
    Life { dir, storage, stores }
}

impl Life {
    /// Restores records with these offsets as keys, and a mark behind them.
    fn restore(&mut self, offsets: std::ops::Range<i64>, value: &[u8]) {
        let keys: Vec<[u8; 8]> = offsets.clone().map(i64::to_be_bytes).collect();
        let mut records = keys.iter().map(|key| record(key, Some(value), 0));
        assert_eq!(self.stores.restore(STORE, &mut records, mark(offsets.end)).unwrap(), keys.len());
    }

    fn end(&mut self, position: i64) {
        self.stores.restore(STORE, &mut std::iter::empty(), mark(position)).unwrap();
    }

    /// The stores as they are if the process dies now: its directory is copied while the database is open.
    fn after_a_crash(&self, name: &str) -> TaskStores {
        copy_dir(&self.dir.path().join("0_0"), &self.dir.path().join(name));
        TaskStores::open(&specs(), self.storage.open(name).unwrap()).unwrap()
    }
}

fn position(stores: &TaskStores) -> Option<i64> {
    stores.mark(STORE).map(|mark| mark.position.number())
}

fn has(stores: &TaskStores, offset: i64) -> bool {
    stores.get(STORE, &offset.to_be_bytes(), &mut Vec::new()).unwrap()
}

#[test]
fn a_crash_while_a_store_is_rebuilt_leaves_no_mark_without_its_records() {
    let mut life = begin();
    life.restore(0..1000, b"v");
    life.restore(1000..2000, b"v");
    assert_eq!(position(&life.stores), None);
    assert_eq!(position(&life.after_a_crash("early")), None);
    life.end(2005);
    let after = life.after_a_crash("late");
    assert_eq!((position(&life.stores), position(&after)), (Some(2005), Some(2005)));
    assert!((0..2000).all(|offset| has(&after, offset)));
    // From here on each record is logged, and its mark with it.
    life.restore(2005..2006, b"v");
    let after = life.after_a_crash("tail");
    assert_eq!(position(&after), Some(2006));
    assert!(has(&after, 2005));
}

#[test]
fn a_large_store_that_is_rebuilt_goes_on_from_its_last_mark_after_a_crash() {
    let mut life = begin();
    let value = vec![1; 8 << 20];
    for offset in 0..10 {
        life.restore(offset..offset + 1, &value);
        let known = position(&life.stores).unwrap_or(0);
        let after = life.after_a_crash(&format!("at_{offset}"));
        assert_eq!(position(&after).unwrap_or(0), known);
        assert!((0..known).all(|offset| has(&after, offset)), "a mark of {known}");
    }
    assert_eq!(position(&life.stores), Some(7), "enough for a file: seven eighths of 64 MiB");
}

#[test]
fn a_store_that_is_rebuilt_again_holds_nothing_of_the_first_attempt() {
    let mut life = begin();
    life.restore(0..10, b"v");
    life.stores.reset(STORE).unwrap();
    life.restore(10..20, b"v");
    life.end(20);
    assert!((0..10).all(|offset| !has(&life.stores, offset)));
    assert!((10..20).all(|offset| has(&life.stores, offset)));
}
