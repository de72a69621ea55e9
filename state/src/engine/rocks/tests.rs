//! What a database holds after a kill at any moment, whatever RocksDB has been given by then.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::engine::{Change, Direction, FamilyId};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Little memory and short journals, so that RocksDB is given rows every few writes.
fn small(rows: usize) -> RocksSettings {
    RocksSettings { rows, journals: 2 << 10, ..RocksSettings::default() }
}

fn open(dir: &TempDir, settings: &RocksSettings) -> Box<dyn Engine> {
    RocksStorage::new(dir.path(), settings).open("0_0").unwrap()
}

fn put(engine: &mut dyn Engine, family: FamilyId, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
    engine.write(&mut std::iter::once(Change::Put(family, key, value)))
}

fn get(engine: &dyn Engine, family: FamilyId, key: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    engine.get(family, key, &mut out).unwrap().then_some(out)
}

fn all(engine: &dyn Engine, family: FamilyId) -> Rows {
    let scan = engine.scan(family, (Bound::Unbounded, Bound::Unbounded), Direction::Forward).unwrap();
    scan.map(|entry| entry.map(|(key, value)| (key.into_vec(), value.into_vec())).unwrap()).collect()
}

fn journals(dir: &TempDir) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.path().join("0_0")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains("journal-")).collect()
}

#[derive(Clone, Debug)]
enum Step {
    /// Some changes of family 0 or 1 in one write: key, and value unless it is a delete.
    Write(Vec<(usize, u8, Option<u8>)>),
    /// All keys of both families in one write, which is longer than the journals may be.
    Long(u8),
    Load(usize, u8, u8),
    Fill(usize, u8, u8),
    Get(usize, u8),
    Scan(usize),
    Drop(usize),
    Sync,
    /// The process is killed: what was written is there when the database is opened again.
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let change = (0..2usize, 0..20u8, proptest::option::weighted(0.8, any::<u8>()));
    prop_oneof![
        40 => proptest::collection::vec(change, 1..6).prop_map(Step::Write),
        1 => any::<u8>().prop_map(Step::Long),
        2 => (0..2usize, 0..20u8, any::<u8>()).prop_map(|(family, key, value)| Step::Load(family, key, value)),
        1 => (0..2usize, 0..20u8, any::<u8>()).prop_map(|(family, key, value)| Step::Fill(family, key, value)),
        40 => (0..2usize, 0..20u8).prop_map(|(family, key)| Step::Get(family, key)),
        1 => (0..2usize).prop_map(Step::Scan),
        2 => (0..2usize).prop_map(Step::Drop),
        1 => Just(Step::Sync),
        3 => Just(Step::Kill),
    ]
}

/// Values of several lengths, so that some do not fit where the one before was.
fn bytes(value: u8) -> Vec<u8> {
    vec![value; usize::from(value) % 7]
}

const NAMES: [&str; 2] = ["a", "b"];

fn lives(steps: Vec<Step>, rows: usize) {
    let (dir, settings) = (tempfile::tempdir().unwrap(), small(rows));
    let mut engine = open(&dir, &settings);
    let mut model = [Rows::new(), Rows::new()];
    for step in steps {
        let families = NAMES.map(|name| engine.open_family(name).unwrap());
        match step {
            Step::Write(changes) => {
                let changes: Vec<_> =
                    changes.into_iter().map(|(family, key, value)| (family, [key], value.map(bytes))).collect();
                let mut batch = changes.iter().map(|(family, key, value)| match value {
                    Some(value) => Change::Put(families[*family], key, value),
                    None => Change::Delete(families[*family], key),
                });
                engine.write(&mut batch).unwrap();
                for (family, key, value) in changes {
                    match value {
                        Some(value) => model[family].insert(key.to_vec(), value),
                        None => model[family].remove(&key[..]),
                    };
                }
            }
            Step::Long(value) => {
                let (keys, value) = ((0..20u8).map(|key| [key]).collect::<Vec<_>>(), vec![value; 60]);
                let of = |family: usize| keys.iter().map(move |key| (family, key));
                let mut batch = of(0).chain(of(1)).map(|(family, key)| Change::Put(families[family], key, &value));
                engine.write(&mut batch).unwrap();
                for rows in &mut model {
                    rows.extend(keys.iter().map(|key| (key.to_vec(), value.clone())));
                }
            }
            Step::Load(family, key, value) => {
                let value = bytes(value);
                engine.load(&mut std::iter::once(Change::Put(families[family], &[key], &value))).unwrap();
                model[family].insert(vec![key], value);
            }
            Step::Fill(family, key, value) => {
                let value = bytes(value);
                engine.fill(families[family], &mut std::iter::once((&[key][..], Some(&value[..])))).unwrap();
                engine.filled(families[family]).unwrap();
                model[family].insert(vec![key], value);
            }
            Step::Get(family, key) => {
                assert_eq!(get(&*engine, families[family], &[key]).as_ref(), model[family].get(&[key][..]));
            }
            Step::Scan(family) => assert_eq!(all(&*engine, families[family]), model[family]),
            Step::Drop(family) => {
                engine.drop_family(families[family]).unwrap();
                model[family].clear();
            }
            Step::Sync => engine.sync().unwrap(),
            Step::Kill => {
                drop(engine);
                engine = open(&dir, &settings);
            }
        }
    }
    drop(engine);
    let mut engine = open(&dir, &settings);
    for (name, rows) in NAMES.iter().zip(&model) {
        let family = engine.open_family(name).unwrap();
        assert_eq!(all(&*engine, family), *rows);
    }
    assert_eq!(journals(&dir), [] as [PathBuf; 0], "a scan hands everything over");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn a_database_holds_what_was_written_through_kills_and_hand_overs(
        steps in proptest::collection::vec(step(), 1..150), rows in prop_oneof![1 => Just(0), 9 => 500..4_000usize],
    ) {
        lives(steps, rows);
    }
}

/// A database of five writes of two rows, none of which RocksDB has been given; and its journal.
fn five_writes(dir: &TempDir) -> PathBuf {
    let mut engine = open(dir, &RocksSettings::default());
    let (rows, marks) = (engine.open_family("rows").unwrap(), engine.open_family("marks").unwrap());
    for n in 1..=5u8 {
        let changes = [Change::Put(rows, &[n], b"row"), Change::Put(marks, b"mark", std::slice::from_ref(&n))];
        engine.write(&mut changes.into_iter()).unwrap();
    }
    drop(engine);
    journals(dir).pop().unwrap()
}

/// After a loss some writes are there from the first on, and the mark is that of the last of them. How many?
/// Nothing is scanned: RocksDB would be given the rows.
fn whole_writes(dir: &TempDir) -> u8 {
    let mut engine = open(dir, &RocksSettings::default());
    let (rows, marks) = (engine.open_family("rows").unwrap(), engine.open_family("marks").unwrap());
    let there: Vec<u8> = (1..=100).filter(|n| get(&*engine, rows, &[*n]).is_some()).collect();
    let count = there.len() as u8;
    assert_eq!(there, (1..=count).collect::<Vec<_>>());
    assert_eq!(get(&*engine, marks, b"mark"), (count > 0).then(|| vec![count]));
    // And it goes on from there.
    put(&mut *engine, rows, &[100], b"new").unwrap();
    drop(engine);
    let mut engine = open(dir, &RocksSettings::default());
    let rows = engine.open_family("rows").unwrap();
    assert_eq!((1..=100).filter(|n| get(&*engine, rows, &[*n]).is_some()).count(), there.len() + 1);
    count
}

#[test]
fn a_journal_that_is_cut_off_anywhere_gives_whole_writes_from_the_first_on() {
    let dir = tempfile::tempdir().unwrap();
    let journal = five_writes(&dir);
    let whole = std::fs::read(&journal).unwrap();
    let mut counts = Vec::new();
    for cut in 0..=whole.len() {
        std::fs::write(&journal, &whole[..cut]).unwrap();
        counts.push(whole_writes(&dir));
    }
    assert!(counts.is_sorted());
    assert_eq!([counts.first(), counts.last()], [Some(&0), Some(&5)]);
}

#[test]
fn a_journal_that_is_damaged_gives_the_writes_before_the_damage() {
    let dir = tempfile::tempdir().unwrap();
    let journal = five_writes(&dir);
    let whole = std::fs::read(&journal).unwrap();
    let block = whole.len() / 5;
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&journal, &damaged).unwrap();
        assert_eq!(usize::from(whole_writes(&dir)), at / block, "byte {at}");
    }
}

#[test]
fn a_journal_that_rocksdb_has_taken_over_is_not_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let journal = five_writes(&dir);
    let taken_over = std::fs::read(&journal).unwrap();
    let mut engine = open(&dir, &RocksSettings::default());
    let rows = engine.open_family("rows").unwrap();
    // Hands over.
    assert_eq!(all(&*engine, rows).len(), 5);
    put(&mut *engine, rows, &[1], b"newer").unwrap();
    drop(engine);
    // As if the process had been killed between the hand-over and the removal of the file.
    std::fs::write(&journal, taken_over).unwrap();
    let mut engine = open(&dir, &RocksSettings::default());
    let rows = engine.open_family("rows").unwrap();
    assert_eq!(get(&*engine, rows, &[1]), Some(b"newer".to_vec()));
    assert!(!journal.exists());
}

#[test]
fn a_family_that_was_dropped_does_not_come_back_with_the_journal() {
    for made in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = open(&dir, &RocksSettings::default());
        let family = engine.open_family("s").unwrap();
        put(&mut *engine, family, b"old", b"1").unwrap();
        if made {
            assert_eq!(all(&*engine, family).len(), 1);
            put(&mut *engine, family, b"old", b"2").unwrap();
        }
        engine.drop_family(family).unwrap();
        let family = engine.open_family("s").unwrap();
        put(&mut *engine, family, b"new", b"3").unwrap();
        drop(engine);
        let mut engine = open(&dir, &RocksSettings::default());
        let family = engine.open_family("s").unwrap();
        assert_eq!(all(&*engine, family), Rows::from([(b"new".to_vec(), b"3".to_vec())]), "made: {made}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_write_that_finds_the_disk_full_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = open(&dir, &RocksSettings::default());
    let family = engine.open_family("s").unwrap();
    engine.load(&mut std::iter::once(Change::Put(family, b"k", b"1"))).unwrap();
    // Where the journal is to be.
    std::os::unix::fs::symlink("/dev/full", dir.path().join("0_0/journal-0")).unwrap();
    let error = put(&mut *engine, family, b"k", b"2").unwrap_err().to_string();
    assert!(error.contains("writing the journal") && error.contains("0_0"), "{error}");
    assert_eq!(get(&*engine, family, b"k"), Some(b"1".to_vec()));
    drop(engine);
    std::fs::remove_file(dir.path().join("0_0/journal-0")).unwrap();
    let mut engine = open(&dir, &RocksSettings::default());
    let family = engine.open_family("s").unwrap();
    assert_eq!(get(&*engine, family, b"k"), Some(b"1".to_vec()));
}

#[test]
fn rows_that_are_only_read_are_found_again_and_follow_what_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = open(&dir, &RocksSettings::default());
    let family = engine.open_family("s").unwrap();
    engine.load(&mut std::iter::once(Change::Put(family, b"k", b"1"))).unwrap();
    for value in [b"1", b"2", b"3"] {
        put(&mut *engine, family, b"k", value).unwrap();
        for _ in 0..3 {
            assert_eq!(get(&*engine, family, b"k"), Some(value.to_vec()));
        }
        engine.load(&mut std::iter::once(Change::Put(family, b"k", b"loaded"))).unwrap();
        assert_eq!(get(&*engine, family, b"k"), Some(b"loaded".to_vec()));
        assert_eq!(get(&*engine, family, b"k"), Some(b"loaded".to_vec()));
    }
}

/// A database of hundred writes of a row and the mark, with a sealed journal and one after it; and these two.
fn two_journals(dir: &TempDir) -> (PathBuf, PathBuf) {
    let mut engine = open(dir, &RocksSettings { journals: 32 << 10, ..RocksSettings::default() });
    let (rows, marks) = (engine.open_family("rows").unwrap(), engine.open_family("marks").unwrap());
    let mut n = 0u8;
    while journals(dir).len() < 2 {
        n += 1;
        let changes = [Change::Put(rows, &[n], &[n; 1_000]), Change::Put(marks, b"mark", std::slice::from_ref(&n))];
        engine.write(&mut changes.into_iter()).unwrap();
    }
    drop(engine);
    let mut journals = journals(dir);
    journals.sort();
    (journals.remove(0), journals.remove(0))
}

#[test]
fn two_journals_give_all_writes_and_what_comes_after_a_damage_in_the_first_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = two_journals(&dir);
    let [whole, last] = [&first, &second].map(|path| std::fs::read(path).unwrap());
    // The mark is found below the journals: whatever is cut off, the writes up to it are there.
    let mark_and_rows = || {
        let mut engine = open(&dir, &RocksSettings::default());
        let (rows, marks) = (engine.open_family("rows").unwrap(), engine.open_family("marks").unwrap());
        let mark = get(&*engine, marks, b"mark").map_or(0, |mark| mark[0]);
        for n in 1..=mark {
            assert_eq!(get(&*engine, rows, &[n]), Some(vec![n; 1_000]), "{n} of {mark}");
        }
        mark
    };
    let all = mark_and_rows();
    assert!(second.exists());
    std::fs::write(&second, &last[..last.len() - 1]).unwrap();
    assert_eq!(mark_and_rows(), all - 1, "the last write has gone");
    std::fs::write(&first, &whole[..whole.len() - 1]).unwrap();
    std::fs::write(&second, &last).unwrap();
    assert!(mark_and_rows() < all - 1, "and here all of the second journal");
    assert!(!second.exists());
}

#[test]
fn a_database_that_was_synced_opens_without_reading_its_journal() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = open(&dir, &RocksSettings::default());
    let family = engine.open_family("s").unwrap();
    for n in 0..100u8 {
        put(&mut *engine, family, &[n], &[n; 10]).unwrap();
    }
    engine.sync().unwrap();
    drop(engine);
    let places = dir.path().join("0_0/places-0");
    assert!(places.exists());
    // The checksum of the first block: whoever read it would stop there.
    let journal = journals(&dir).pop().unwrap();
    let whole = std::fs::read(&journal).unwrap();
    let mut damaged = whole.clone();
    damaged[5] ^= 1;
    std::fs::write(&journal, &damaged).unwrap();
    let mut engine = open(&dir, &RocksSettings::default());
    assert!(!places.exists(), "the next write makes it worthless");
    let family = engine.open_family("s").unwrap();
    for n in 0..100u8 {
        assert_eq!(get(&*engine, family, &[n]), Some(vec![n; 10]));
    }
    put(&mut *engine, family, &[100], b"new").unwrap();
    drop(engine);
    let mut engine = open(&dir, &RocksSettings::default());
    let family = engine.open_family("s").unwrap();
    assert_eq!(get(&*engine, family, &[1]), None, "read from the first block on, which is damaged");
    drop(engine);
    // Places that are damaged themselves, or of a journal of another length, are of no use.
    for (journal_bytes, damage) in [(whole.len(), true), (whole.len() / 2, false)] {
        std::fs::write(&journal, &whole).unwrap();
        let mut engine = open(&dir, &RocksSettings::default());
        let family = engine.open_family("s").unwrap();
        assert_eq!(get(&*engine, family, &[1]), Some(vec![1; 10]));
        engine.sync().unwrap();
        drop(engine);
        if damage {
            let mut bytes = std::fs::read(&places).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            std::fs::write(&places, bytes).unwrap();
        }
        std::fs::write(&journal, &whole[..journal_bytes]).unwrap();
        let mut engine = open(&dir, &RocksSettings::default());
        let family = engine.open_family("s").unwrap();
        assert_eq!(get(&*engine, family, &[1]), Some(vec![1; 10]));
        assert_eq!(get(&*engine, family, &[99]).is_some(), journal_bytes == whole.len());
    }
}

#[test]
fn a_row_that_is_damaged_in_the_journal_is_an_error_and_no_old_value() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = open(&dir, &RocksSettings::default());
    let family = engine.open_family("s").unwrap();
    engine.load(&mut std::iter::once(Change::Put(family, b"key", b"old"))).unwrap();
    put(&mut *engine, family, b"key", b"a new value").unwrap();
    engine.sync().unwrap();
    drop(engine);
    let journal = journals(&dir).pop().unwrap();
    let mut bytes = std::fs::read(&journal).unwrap();
    let at = bytes.windows(5).position(|window| window == b"value").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    let mut engine = open(&dir, &RocksSettings::default());
    let family = engine.open_family("s").unwrap();
    let error = engine.get(family, b"key", &mut Vec::new()).unwrap_err();
    assert!(matches!(&error, EngineError::Corrupted { path, .. } if path.ends_with("0_0")), "{error}");
}

/// Many keys, so that some have the same hash of 32 bits; and few copies, so that the journals are read.
#[test]
fn keys_with_the_same_hash_are_told_apart() {
    use crate::uncommitted::key_hash;
    let mut by_hash = std::collections::HashMap::new();
    let mut pairs = Vec::new();
    for n in 0..400_000u32 {
        let key = format!("key-{n}").into_bytes();
        if let Some(other) = by_hash.insert(key_hash(&key), key.clone()) {
            pairs.push([other, key]);
        }
    }
    assert!(pairs.len() > 3, "{}", pairs.len());
    let dir = tempfile::tempdir().unwrap();
    let settings = RocksSettings { rows: 64 << 10, ..RocksSettings::default() };
    let mut engine = open(&dir, &settings);
    for round in 0..3u8 {
        let family = engine.open_family("s").unwrap();
        for (n, [a, b]) in pairs.iter().enumerate() {
            put(&mut *engine, family, a, &[round, n as u8]).unwrap();
            if round != 1 {
                put(&mut *engine, family, b, &[round, n as u8, 1]).unwrap();
            }
        }
        // Killed: the copies are gone.
        drop(engine);
        engine = open(&dir, &settings);
        let family = engine.open_family("s").unwrap();
        for (n, [a, b]) in pairs.iter().enumerate() {
            let before = if round == 1 { 0 } else { round };
            assert_eq!(get(&*engine, family, a), Some(vec![round, n as u8]));
            assert_eq!(get(&*engine, family, b), Some(vec![before, n as u8, 1]));
        }
    }
    let family = engine.open_family("s").unwrap();
    assert_eq!(all(&*engine, family).len(), 2 * pairs.len());
    for (n, [a, b]) in pairs.iter().enumerate() {
        assert_eq!(get(&*engine, family, a), Some(vec![2, n as u8]));
        assert_eq!(get(&*engine, family, b), Some(vec![2, n as u8, 1]));
    }
}
