//! What both engines promise, run on each.

use std::collections::BTreeMap;
use std::ops::Bound;

use proptest::prelude::*;

use super::*;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn all(engine: &dyn Engine, family: FamilyId, direction: Direction) -> Vec<(Vec<u8>, Vec<u8>)> {
    let scan = engine.scan(family, (Bound::Unbounded, Bound::Unbounded), direction).unwrap();
    scan.map(|entry| entry.map(|(key, value)| (key.into_vec(), value.into_vec())).unwrap()).collect()
}

fn put(engine: &mut dyn Engine, family: FamilyId, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
    engine.write(&mut std::iter::once(Change::Put(family, key, value)))
}

fn value(engine: &dyn Engine, family: FamilyId, key: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    engine.get(family, key, &mut out).unwrap().then_some(out)
}

fn keeps_what_is_written(storage: &dyn Storage) {
    let mut engine = storage.open("0_0").unwrap();
    let (a, b) = (engine.open_family("a").unwrap(), engine.open_family("default").unwrap());
    let meta = engine.open_family(META_FAMILY).unwrap();
    let changes = [Change::Put(a, b"k", b"1"), Change::Put(b, b"k", b"2"), Change::Put(meta, b"k", b"3")];
    engine.write(&mut changes.into_iter()).unwrap();
    assert_eq!(value(&*engine, a, b"k"), Some(b"1".to_vec()));
    assert_eq!([value(&*engine, b, b"x"), value(&*engine, b, b"k")], [None, Some(b"2".to_vec())]);
    engine.sync().unwrap();
    assert!(matches!(storage.open("0_0"), Err(EngineError::Locked { .. })));
    drop(engine);
    assert_eq!(storage.tasks().unwrap(), ["0_0"]);
    let mut engine = storage.open("0_0").unwrap();
    let mut names = engine.families();
    names.sort();
    assert_eq!(names, [META_FAMILY, "a", "default"]);
    let (a, b) = (engine.open_family("a").unwrap(), engine.open_family("default").unwrap());
    let meta = engine.open_family(META_FAMILY).unwrap();
    assert_eq!(value(&*engine, b, b"k"), Some(b"2".to_vec()));
    assert_eq!(value(&*engine, meta, b"k"), Some(b"3".to_vec()));
    engine.drop_family(a).unwrap();
    assert!(put(&mut *engine, a, b"k", b"1").is_err());
    let a = engine.open_family("a").unwrap();
    assert_eq!(value(&*engine, a, b"k"), None);
    drop(engine);
    storage.destroy("0_0").unwrap();
    assert!(storage.tasks().unwrap().is_empty());
}

#[test]
fn the_memory_engine_keeps_what_is_written() {
    keeps_what_is_written(&MemoryStorage::new());
}

#[test]
fn a_killed_process_loses_nothing_and_a_lost_machine_what_was_not_synced() {
    let storage = MemoryStorage::new();
    for (lose_unsynced, expected) in [(false, Some(b"2".to_vec())), (true, Some(b"1".to_vec()))] {
        storage.destroy("0_0").unwrap();
        let mut engine = storage.open("0_0").unwrap();
        let family = engine.open_family("s").unwrap();
        put(&mut *engine, family, b"k", b"1").unwrap();
        engine.sync().unwrap();
        put(&mut *engine, family, b"k", b"2").unwrap();
        drop(engine);
        storage.crash(lose_unsynced);
        assert_eq!(value(&*storage.open("0_0").unwrap(), family, b"k"), expected);
    }
}

#[test]
fn a_loss_of_power_leaves_a_prefix_of_the_unsynced_writes() {
    for kept in 0..=3 {
        let storage = MemoryStorage::new();
        storage.keep_history();
        let mut engine = storage.open("0_0").unwrap();
        let family = engine.open_family("s").unwrap();
        engine.sync().unwrap();
        for key in [b"1", b"2", b"3"] {
            put(&mut *engine, family, key, b"v").unwrap();
        }
        drop(engine);
        storage.lose_suffix(|writes| {
            assert_eq!(writes, 3);
            kept
        });
        let mut engine = storage.open("0_0").unwrap();
        let family = engine.open_family("s").unwrap();
        assert_eq!(all(&*engine, family, Direction::Forward).len(), kept);
    }
}

#[test]
fn a_full_disk_refuses_the_write_and_changes_nothing() {
    let storage = MemoryStorage::new();
    let mut engine = storage.open("0_0").unwrap();
    let family = engine.open_family("s").unwrap();
    storage.inject(Fault::DiskFull, 1);
    put(&mut *engine, family, b"k", b"1").unwrap();
    let error = put(&mut *engine, family, b"k", b"2").unwrap_err();
    assert!(error.to_string().starts_with("writing in 0_0 failed"), "{error}");
    assert_eq!(value(&*engine, family, b"k"), Some(b"1".to_vec()));
    storage.heal();
    put(&mut *engine, family, b"k", b"3").unwrap();
    drop(engine);
    storage.corrupt("0_0");
    assert!(matches!(storage.open("0_0"), Err(EngineError::Corrupted { .. })));
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Scan(Bound<Vec<u8>>, Bound<Vec<u8>>, bool),
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(0u8..4, 0..4)
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![Just(Bound::Unbounded), key().prop_map(Bound::Included), key().prop_map(Bound::Excluded)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (key(), proptest::collection::vec(any::<u8>(), 0..5)).prop_map(|(key, value)| Step::Put(key, value)),
        1 => key().prop_map(Step::Delete),
        1 => (bound(), bound(), any::<bool>()).prop_map(|(from, to, back)| Step::Scan(from, to, back)),
    ];
    proptest::collection::vec(step, 1..40)
}

fn behaves_as_a_sorted_map(engine: &mut dyn Engine, steps: Vec<Step>) {
    let family = engine.open_family("s").unwrap();
    let mut model = Model::new();
    for step in steps {
        match step {
            Step::Put(key, value) => {
                put(engine, family, &key, &value).unwrap();
                model.insert(key, value);
            }
            Step::Delete(key) => {
                engine.write(&mut std::iter::once(Change::Delete(family, &key))).unwrap();
                model.remove(&key);
            }
            Step::Scan(from, to, back) => {
                let range = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
                let direction = if back { Direction::Backward } else { Direction::Forward };
                let found: Vec<_> = engine
                    .scan(family, range, direction)
                    .unwrap()
                    .map(|entry| entry.map(|(key, value)| (key.into_vec(), value.into_vec())).unwrap())
                    .collect();
                let contains = |key: &Vec<u8>| std::ops::RangeBounds::<[u8]>::contains(&range, &key[..]);
                let mut expected: Vec<_> = model.clone().into_iter().filter(|(key, _)| contains(key)).collect();
                if back {
                    expected.reverse();
                }
                assert_eq!(found, expected);
            }
        }
    }
    assert_eq!(all(engine, family, Direction::Forward), model.into_iter().collect::<Vec<_>>());
}

proptest! {
    #[test]
    fn the_memory_engine_behaves_as_a_sorted_map(steps in steps()) {
        behaves_as_a_sorted_map(&mut MemoryEngine::new(), steps);
    }
}

#[cfg(feature = "rocksdb")]
mod on_disk {
    use super::*;

    #[test]
    fn rocksdb_keeps_what_is_written() {
        let dir = tempfile::tempdir().unwrap();
        keeps_what_is_written(&RocksStorage::new(dir.path(), &RocksSettings::default()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn rocksdb_behaves_as_a_sorted_map(steps in steps()) {
            let dir = tempfile::tempdir().unwrap();
            let storage = RocksStorage::new(dir.path(), &RocksSettings::default());
            behaves_as_a_sorted_map(&mut *storage.open("0_0").unwrap(), steps);
        }
    }

    #[test]
    fn a_damaged_database_is_reported_as_corrupted() {
        let dir = tempfile::tempdir().unwrap();
        let storage = RocksStorage::new(dir.path(), &RocksSettings::default());
        let mut engine = storage.open("0_0").unwrap();
        let family = engine.open_family("s").unwrap();
        put(&mut *engine, family, b"k", b"1").unwrap();
        drop(engine);
        for entry in std::fs::read_dir(dir.path().join("0_0")).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().starts_with("MANIFEST") {
                let mut bytes = std::fs::read(&path).unwrap();
                bytes[10] ^= 0xff;
                std::fs::write(&path, bytes).unwrap();
            }
        }
        let error = storage.open("0_0").err().unwrap();
        assert!(matches!(error, EngineError::Corrupted { .. }), "{error}");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named_in_the_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), b"").unwrap();
        let storage = RocksStorage::new(dir.path().join("file"), &RocksSettings::default());
        let error = storage.open("0_0").err().unwrap().to_string();
        assert!(error.contains("file/0_0"), "{error}");
    }
}
