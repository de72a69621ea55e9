//! Task stores against a naive model, across commits, rollbacks, crashes and full disks.

use std::collections::BTreeMap;
use std::ops::Bound;

use proptest::prelude::*;

use super::super::{Changelog, Persistence, StoreKind, WindowShape};
use super::*;
use crate::commit::Committed;
use crate::engine::{Direction, Fault, MemoryStorage, Storage};
use crate::key_order::{split_window_key, window_key};
use crate::model::{Headers, Offset, Position, RawRecord, Timestamp, TopicId};

const A: StoreId = StoreId(0);
const ALL: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Unbounded, Bound::Unbounded);
static NO_HEADERS: Headers = Headers::new();

pub(super) fn spec(name: &str, kind: StoreKind) -> StoreSpec {
    StoreSpec {
        name: name.into(),
        kind,
        persistence: Persistence::Durable,
        changelog: Changelog::Topic(BTreeMap::new()),
        cached: false,
        headers: false,
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(super) fn mark(position: i64) -> ChangelogMark {
    ChangelogMark { topic: TopicId(7), position: Position::new(position), applied_at: at(5) }
}

pub(super) fn record<'a>(key: &'a [u8], value: Option<&'a [u8]>, time: i64) -> RawRecord<'a> {
    RawRecord { offset: Offset::new(0), timestamp: at(time), key: Some(key), value, headers: &NO_HEADERS }
}

fn value(stores: &TaskStores, key: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    stores.get(A, key, &mut out).unwrap().then_some(out)
}

fn apply(stores: &mut TaskStores, position: i64) -> Result<(), StateError> {
    stores.apply(&Committed::testify(1), &[(A, mark(position))])
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, Option<Vec<u8>>),
    Scan(Vec<u8>, Vec<u8>, bool),
    Prefix(Vec<u8>),
    Apply,
    Rollback,
    Reopen,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(0u8..4, 0..4)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = proptest::option::weighted(0.7, proptest::collection::vec(any::<u8>(), 0..6));
    let step = prop_oneof![
        8 => (key(), bytes).prop_map(|(key, value)| Step::Put(key, value)),
        2 => (key(), key(), any::<bool>()).prop_map(|(from, to, back)| Step::Scan(from, to, back)),
        1 => key().prop_map(Step::Prefix),
        2 => Just(Step::Apply),
        1 => Just(Step::Rollback),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..60)
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn collect(scan: StoreScan<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    scan.map(|entry| entry.map(|(key, value)| (key.into_vec(), value.into_vec())).unwrap()).collect()
}

/// Runs the steps against the stores and a model of committed and uncommitted content.
fn agrees_with_a_model(storage: &dyn Storage, steps: Vec<Step>) {
    let specs = [spec("s", StoreKind::KeyValue)];
    let mut stores = TaskStores::open(&specs, storage.open("0_0").unwrap()).unwrap();
    let (mut committed, mut now) = (Model::new(), Model::new());
    for step in steps {
        match step {
            Step::Put(key, new) => {
                stores.put(A, &key, new.as_deref()).unwrap();
                match new {
                    Some(new) => now.insert(key.clone(), new),
                    None => now.remove(&key),
                };
                assert_eq!(value(&stores, &key), now.get(&key).cloned());
            }
            Step::Scan(from, to, back) => {
                let direction = if back { Direction::Backward } else { Direction::Forward };
                let range = (Bound::Included(&from[..]), Bound::Excluded(&to[..]));
                let found = collect(stores.scan(A, range, direction).unwrap());
                let within = |(key, _): &(Vec<u8>, Vec<u8>)| *key >= from && *key < to;
                let mut expected: Vec<_> = now.clone().into_iter().filter(within).collect();
                if back {
                    expected.reverse();
                }
                assert_eq!(found, expected);
            }
            Step::Prefix(prefix) => {
                let found = collect(stores.scan_prefix(A, &prefix, Direction::Forward).unwrap());
                let expected: Vec<_> = now.clone().into_iter().filter(|(key, _)| key.starts_with(&prefix)).collect();
                assert_eq!(found, expected);
            }
            Step::Apply => {
                apply(&mut stores, 1).unwrap();
                committed.clone_from(&now);
            }
            Step::Rollback => {
                stores.rollback();
                now.clone_from(&committed);
            }
            Step::Reopen => {
                drop(stores);
                stores = TaskStores::open(&specs, storage.open("0_0").unwrap()).unwrap();
                now.clone_from(&committed);
            }
        }
    }
    assert_eq!(collect(stores.scan(A, ALL, Direction::Forward).unwrap()), now.into_iter().collect::<Vec<_>>());
}

proptest! {
    #[test]
    fn stores_in_memory_agree_with_a_naive_model(steps in steps()) {
        agrees_with_a_model(&MemoryStorage::new(), steps);
    }
}

#[cfg(feature = "rocksdb")]
proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]
    #[test]
    fn stores_on_disk_agree_with_a_naive_model(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let settings = crate::engine::RocksSettings::default();
        agrees_with_a_model(&crate::engine::RocksStorage::new(dir.path(), &settings), steps);
    }
}

#[test]
fn a_failed_apply_makes_the_stores_refuse_everything_until_they_are_opened_again() {
    for fault in [Fault::DiskFull, Fault::ReadOnly] {
        let storage = MemoryStorage::new();
        let specs = [spec("s", StoreKind::KeyValue)];
        let mut stores = TaskStores::open(&specs, storage.open("0_0").unwrap()).unwrap();
        stores.put(A, b"k", Some(b"1")).unwrap();
        apply(&mut stores, 3).unwrap();
        stores.put(A, b"k", Some(b"2")).unwrap();
        storage.inject(fault, 0);
        let error = apply(&mut stores, 6).unwrap_err();
        assert!(matches!(error, StateError::Engine { .. }), "{error}");
        storage.heal();
        assert!(matches!(stores.get(A, b"k", &mut Vec::new()), Err(StateError::Unusable)));
        assert!(matches!(stores.put(A, b"k", None), Err(StateError::Unusable)));
        assert!(matches!(apply(&mut stores, 6), Err(StateError::Unusable)));
        drop(stores);
        let stores = TaskStores::open(&specs, storage.open("0_0").unwrap()).unwrap();
        assert_eq!(value(&stores, b"k"), Some(b"1".to_vec()));
        assert_eq!(stores.mark(A), Some(mark(3)));
    }
}

#[test]
fn uncommitted_bytes_grow_with_writes_and_end_with_the_transaction() {
    let mut stores =
        TaskStores::open(&[spec("s", StoreKind::KeyValue)], MemoryStorage::new().open("0_0").unwrap()).unwrap();
    stores.put(A, b"key", Some(&[0; 1000])).unwrap();
    let held = stores.uncommitted_bytes();
    assert!((1003..1200).contains(&held), "{held}");
    stores.put(A, b"key", Some(&[1; 1000])).unwrap();
    assert_eq!(stores.uncommitted_bytes(), held);
    stores.rollback();
    assert_eq!(stores.uncommitted_bytes(), 0);
    assert_eq!(value(&stores, b"key"), None);
}

#[test]
fn restored_records_get_their_timestamps_into_a_timestamped_store() {
    let specs = [spec("s", StoreKind::TimestampedKeyValue)];
    let storage = MemoryStorage::new();
    let mut stores = TaskStores::open(&specs, storage.open("0_0").unwrap()).unwrap();
    let records = [record(b"b", Some(b"x"), 1), record(b"a", Some(b"y"), 2), record(b"b", None, 3)];
    assert_eq!(stores.restore(A, &mut records.into_iter(), mark(4)).unwrap(), 3);
    assert_eq!(value(&stores, b"a"), Some(b"\0\0\0\0\0\0\0\x02y".to_vec()));
    assert_eq!(value(&stores, b"b"), None);
    assert_eq!((stores.mark(A), stores.uncommitted_bytes()), (Some(mark(4)), 0));
    stores.reset(A).unwrap();
    assert_eq!((value(&stores, b"a"), stores.mark(A)), (None, None));
    drop(stores);
    assert_eq!(TaskStores::open(&specs, storage.open("0_0").unwrap()).unwrap().mark(A), None);
}

#[test]
fn a_store_whose_shape_has_changed_is_emptied_to_be_rebuilt() {
    let storage = MemoryStorage::new();
    let mut stores = TaskStores::open(&[spec("s", StoreKind::KeyValue)], storage.open("0_0").unwrap()).unwrap();
    stores.put(A, b"k", Some(b"v")).unwrap();
    apply(&mut stores, 2).unwrap();
    drop(stores);
    let stamped = [spec("s", StoreKind::TimestampedKeyValue)];
    let stores = TaskStores::open(&stamped, storage.open("0_0").unwrap()).unwrap();
    assert_eq!((value(&stores, b"k"), stores.mark(A)), (None, None));
}

#[test]
fn a_store_named_like_a_segment_of_another_is_refused() {
    let specs = [spec("w", windows(10)), spec("w.3", StoreKind::KeyValue)];
    let error = TaskStores::open(&specs, MemoryStorage::new().open("0_0").unwrap()).err().unwrap();
    assert!(error.to_string().contains("segment of window store w"), "{error}");
}

fn windows(retention: i64) -> StoreKind {
    StoreKind::Window(WindowShape { size: 10, retention, segment_interval: 100, ..WindowShape::new(10, retention) })
}

fn starts(scan: StoreScan<'_>) -> Vec<i64> {
    collect(scan).iter().map(|(key, _)| split_window_key(key).unwrap().start.millis()).collect()
}

fn put_window(stores: &mut TaskStores, key: &[u8], start: i64) -> bool {
    stores.window_put(A, &window_key(key, at(start), 0), Some(b"v")).unwrap()
}

const ALWAYS: (Timestamp, Timestamp) = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));

#[test]
fn windows_older_than_the_retention_are_neither_kept_nor_shown() {
    let storage = MemoryStorage::new();
    let specs = [spec("w", windows(250))];
    let mut stores = TaskStores::open(&specs, storage.open("0_0").unwrap()).unwrap();
    for start in [0, 90, 100, 160] {
        assert!(put_window(&mut stores, b"a", start));
    }
    apply(&mut stores, 1).unwrap();
    assert!(put_window(&mut stores, b"a", 400));
    // Stream time 400: what starts at 150 or before cannot be read, and segment 0 is gone.
    let fetched = starts(stores.window_fetch(A, b"a", ALWAYS, Direction::Backward).unwrap());
    assert_eq!(fetched, [400, 160]);
    assert!(!stores.window_get(A, &window_key(b"a", at(100), 0), &mut Vec::new()).unwrap());
    assert!(!put_window(&mut stores, b"a", 99));
    assert!(put_window(&mut stores, b"a", 101));
    apply(&mut stores, 2).unwrap();
    drop(stores);
    let engine = storage.open("0_0").unwrap();
    let mut families = engine.families();
    families.sort();
    assert_eq!(families, ["@meta", "w.1", "w.4"]);
    let mut stores = TaskStores::open(&specs, engine).unwrap();
    assert_eq!(stores.window_observed(A).unwrap(), at(400));
    assert_eq!(starts(stores.window_fetch_all(A, ALWAYS, Direction::Forward).unwrap()), [160, 400]);
}

#[test]
fn a_rollback_takes_the_observed_time_back() {
    let specs = [spec("w", windows(250))];
    let mut stores = TaskStores::open(&specs, MemoryStorage::new().open("0_0").unwrap()).unwrap();
    put_window(&mut stores, b"a", 100);
    apply(&mut stores, 1).unwrap();
    put_window(&mut stores, b"a", 10_000);
    stores.rollback();
    assert_eq!(stores.window_observed(A).unwrap(), at(100));
    assert_eq!(starts(stores.window_fetch(A, b"a", ALWAYS, Direction::Forward).unwrap()), [100]);
}

#[test]
fn a_fetch_finds_the_windows_of_its_key_only() {
    let specs = [spec("w", windows(1_000_000))];
    let mut stores = TaskStores::open(&specs, MemoryStorage::new().open("0_0").unwrap()).unwrap();
    // Keys that lie between the bytes of others' windows.
    for key in [&b"a"[..], b"a\0", b"a\0\0\0\0\0\0\0\0\0\0\0\0", b"ab", b""] {
        for start in [0, 50, 100, 250] {
            put_window(&mut stores, key, start);
        }
    }
    apply(&mut stores, 1).unwrap();
    put_window(&mut stores, b"a\0", 70);
    stores.window_put(A, &window_key(b"a\0", at(50), 0), None).unwrap();
    let times = (at(50), at(250));
    assert_eq!(starts(stores.window_fetch(A, b"a\0", times, Direction::Forward).unwrap()), [70, 100, 250]);
    assert_eq!(starts(stores.window_fetch(A, b"a", times, Direction::Backward).unwrap()), [250, 100, 50]);
    assert_eq!(starts(stores.window_fetch(A, b"", (at(60), at(40)), Direction::Forward).unwrap()), [] as [i64; 0]);
    let keys = (Some(&b"a\0"[..]), Some(&b"ab"[..]));
    let found = collect(stores.window_fetch_keys(A, keys, (at(100), at(100)), Direction::Forward).unwrap());
    let found: Vec<_> = found.iter().map(|(key, _)| split_window_key(key).unwrap().key).collect();
    assert_eq!(found, [&b"a\0\0\0\0\0\0\0\0\0\0\0\0"[..], b"a\0", b"ab"]);
}

#[test]
fn restoring_windows_drops_those_that_have_expired_by_the_end_of_the_batch() {
    let storage = MemoryStorage::new();
    let specs = [spec("w", windows(250))];
    let mut stores = TaskStores::open(&specs, storage.open("0_0").unwrap()).unwrap();
    let keys: Vec<_> = [0, 160, 400].map(|start| window_key(b"a", at(start), 0)).into();
    let mut records = keys.iter().map(|key| record(key, Some(b"v"), 0)).chain([record(b"short", None, 0)]);
    assert_eq!(stores.restore(A, &mut records, mark(9)).unwrap(), 4);
    assert_eq!(starts(stores.window_fetch(A, b"a", ALWAYS, Direction::Forward).unwrap()), [160, 400]);
    assert_eq!(stores.window_observed(A).unwrap(), at(400));
    assert!(!put_window(&mut stores, b"a", 99));
}

#[cfg(feature = "rocksdb")]
#[test]
fn after_a_crash_data_and_marks_on_disk_agree() {
    // The process dies without closing anything: its directory is copied while the database is open.
    let dir = tempfile::tempdir().unwrap();
    let storage = crate::engine::RocksStorage::new(dir.path(), &crate::engine::RocksSettings::default());
    let specs = [spec("s", StoreKind::KeyValue), spec("w", windows(1000))];
    let mut stores = TaskStores::open(&specs, storage.open("0_0").unwrap()).unwrap();
    for round in 1..=20i64 {
        for key in 0..50u8 {
            stores.put(A, &[key], Some(&round.to_be_bytes())).unwrap();
        }
        let key = window_key(b"k", at(round * 60), 0);
        stores.window_put(StoreId(1), &key, Some(&round.to_be_bytes())).unwrap();
        let marks = [(A, mark(round)), (StoreId(1), mark(round))];
        stores.apply(&Committed::testify(round as u64), &marks).unwrap();
        stores.put(A, &[0], Some(b"uncommitted")).unwrap();
        if round % 5 == 0 {
            let copy = format!("copy_{round}");
            copy_dir(&dir.path().join("0_0"), &dir.path().join(&copy));
            let mut reopened = TaskStores::open(&specs, storage.open(&copy).unwrap()).unwrap();
            let position = reopened.mark(A).unwrap().position.number();
            assert_eq!(position, round, "a killed process loses nothing");
            for key in 0..50u8 {
                assert_eq!(value(&reopened, &[key]), Some(position.to_be_bytes().to_vec()));
            }
            assert_eq!(reopened.mark(StoreId(1)).unwrap().position.number(), position);
            assert_eq!(reopened.window_observed(StoreId(1)).unwrap(), at(position * 60));
            let scan = reopened.window_fetch(StoreId(1), b"k", ALWAYS, Direction::Backward).unwrap();
            assert_eq!(starts(scan).first(), Some(&(position * 60)));
        }
    }
}

/// Copies a database's directory as a crash would leave it: as it was at one moment. RocksDB's threads make and remove files
/// meanwhile, so that a copy counts only if nothing came, went or grew while it was made.
#[cfg(feature = "rocksdb")]
pub(super) fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    loop {
        std::fs::create_dir_all(to).unwrap();
        let before = files(from);
        let copied = before.keys().try_for_each(|name| std::fs::copy(from.join(name), to.join(name)).map(drop));
        match copied {
            Ok(()) if files(from) == before => return,
            Ok(()) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}"),
        }
        std::fs::remove_dir_all(to).unwrap();
    }
}

/// The names of a directory's files, with their lengths.
#[cfg(feature = "rocksdb")]
fn files(dir: &std::path::Path) -> std::collections::BTreeMap<std::ffi::OsString, u64> {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    // What is removed between the listing and this look at it is not there.
    entries.filter_map(|entry| Some((entry.file_name(), entry.metadata().ok()?.len()))).collect()
}
