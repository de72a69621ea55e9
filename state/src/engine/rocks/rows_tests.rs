//! Copies of rows against a map of the rows, and one of their places in the journal.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::rows::{Budget, Found, Key, Rows};
use crate::engine::FamilyId;

#[derive(Clone, Debug)]
enum Step {
    Write(u32, u8, Option<u8>),
    Get(u32, u8),
    /// Another journal is written to.
    Displace,
    /// Straight to RocksDB.
    Direct(u32, u8, Option<u8>),
    Forget(u32),
    /// The places of the journals take so much memory.
    Room(usize),
    /// [`cold`]
    Cold,
    /// [`warm`]
    Warm,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || (0..2u32, 0..60u8);
    let value = || proptest::option::weighted(0.8, any::<u8>());
    prop_oneof![
        10 => (key(), value()).prop_map(|((family, key), value)| Step::Write(family, key, value)),
        20 => key().prop_map(|(family, key)| Step::Get(family, key)),
        1 => Just(Step::Displace),
        1 => (key(), value()).prop_map(|((family, key), value)| Step::Direct(family, key, value)),
        1 => (0..2u32).prop_map(Step::Forget),
        1 => (0..1_000usize).prop_map(Step::Room),
        1 => Just(Step::Cold),
        1 => Just(Step::Warm),
    ]
}

/// Some are too long to be copied.
fn bytes(value: u8) -> Vec<u8> {
    if value >= 240 { vec![value; 3_000] } else { vec![value; usize::from(value % 40)] }
}

fn get(rows: &mut Rows, family: FamilyId, key: &[u8], out: &mut Vec<u8>) -> Option<bool> {
    rows.get(Key::new(family, key), out)
}

fn keep(rows: &mut Rows, family: FamilyId, key: &[u8], value: Option<&[u8]>, place: u32) {
    rows.keep(Key::new(family, key), Found { value, place });
}

fn write(rows: &mut Rows, family: FamilyId, key: &[u8], value: Option<&[u8]>, place: u32) -> Option<u32> {
    rows.write(Key::new(family, key), Found { value, place })
}

/// Many look-ups in a family of its own of rows that are not there: copies are not worth it.
fn cold(rows: &mut Rows) {
    for n in 0..5_000u32 {
        assert_eq!(get(rows, FamilyId(2), &n.to_be_bytes(), &mut Vec::new()), None);
    }
}

/// As many, of a few rows again and again: copies are worth it.
fn warm(rows: &mut Rows) {
    for n in 0..5_000u32 {
        let key = (n % 50 + 5_000).to_be_bytes();
        if get(rows, FamilyId(2), &key, &mut Vec::new()).is_none() {
            keep(rows, FamilyId(2), &key, Some(&key), 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A copy that is found is the newest row; what is said of the place of the row before is true; what the copies are said to take
    /// they take, and it is within their bound.
    #[test]
    fn copies_are_of_the_newest_rows_and_know_their_places(
        steps in proptest::collection::vec(step(), 1..400), bound in 1_500..9_000usize,
    ) {
        let mut rows = Rows::new(Budget::new(bound, 0, 0));
        let mut newest = BTreeMap::<(u32, u8), Vec<u8>>::new();
        let (mut places, mut next, mut room) = (BTreeMap::<(u32, u8), u32>::new(), 0, 0);
        // A row that is too long to be copied is so only if an older copy has to give way.
        let mut long = 0;
        for step in steps {
            match step {
                Step::Write(family, key, value) => {
                    let value = value.map(bytes);
                    next += 1;
                    let known = write(&mut rows, FamilyId(family), &[key], value.as_deref(), next);
                    let before = places.insert((family, key), next).unwrap_or_default();
                    prop_assert!(known.is_none_or(|known| known == before), "{known:?} instead of {before}");
                    match value {
                        Some(value) => {
                            long += if value.len() > 2_048 { value.len() } else { 0 };
                            newest.insert((family, key), value)
                        }
                        None => newest.remove(&(family, key)),
                    };
                }
                Step::Get(family, key) => {
                    let mut out = b"before".to_vec();
                    let expected = newest.get(&(family, key)).map(|value| &value[..]);
                    match get(&mut rows, FamilyId(family), &[key], &mut out) {
                        Some(found) => {
                            prop_assert_eq!(found.then_some(&out[6..]), expected);
                            prop_assert_eq!(&out[..6], b"before");
                        }
                        None => {
                            let place = places.get(&(family, key)).copied().unwrap_or_default();
                            keep(&mut rows, FamilyId(family), &[key], expected, place);
                        }
                    }
                }
                Step::Displace => {
                    rows.displace();
                    places.clear();
                }
                Step::Direct(family, key, value) => {
                    rows.displace();
                    places.clear();
                    rows.forget(FamilyId(family));
                    match value {
                        Some(value) => newest.insert((family, key), bytes(value)),
                        None => newest.remove(&(family, key)),
                    };
                }
                Step::Forget(family) => {
                    rows.forget(FamilyId(family));
                    newest.retain(|(of, _), _| *of != family);
                    places.retain(|(of, _), _| *of != family);
                }
                Step::Room(places) => {
                    rows.make_room(places);
                    room = places;
                }
                Step::Cold => cold(&mut rows),
                Step::Warm => warm(&mut rows),
            }
            prop_assert_eq!(rows.total(), rows.bytes() + room);
            // A generation is an entry beyond its part before it is noticed.
            prop_assert!(rows.total() <= bound + 200 + long, "{} of {bound}", rows.total());
        }
    }
}

#[test]
fn the_copies_of_all_databases_stay_within_their_bound() {
    let budget = Budget::new(60_000, 0, 0);
    let mut databases = [(); 2].map(|()| Rows::new(Arc::clone(&budget)));
    let family = FamilyId(1);
    for n in 0..5_000u32 {
        for rows in &mut databases {
            write(rows, family, &n.to_be_bytes(), Some(&[7; 20]), n);
            keep(rows, family, &(n / 2 + 1_000_000).to_be_bytes(), Some(&[8; 20]), 0);
        }
        let held: usize = databases.iter().map(Rows::bytes).sum();
        assert!(held <= 60_000 + 200, "{held}");
    }
    let mut copies = |keys: std::ops::Range<u32>| {
        let (rows, mut out) = (&mut databases[0], Vec::new());
        let copied = keys.filter(|n| get(rows, family, &n.to_be_bytes(), &mut out).is_some()).count();
        assert_eq!(out, vec![7; 20 * copied]);
        copied
    };
    assert!(copies(4_900..5_000) > 0);
    assert_eq!(copies(0..1_000), 0, "they have gone long ago");
}

/// A table that is read at random and fits is found in memory, however it came there.
#[test]
fn rows_that_are_written_are_kept_while_there_is_room_and_copies_are_found() {
    let mut rows = Rows::new(Budget::new(100_000, 0, 0));
    let family = FamilyId(1);
    for n in 0..1_200u32 {
        write(&mut rows, family, &n.to_be_bytes(), Some(&[7; 20]), n + 1);
    }
    for n in 0..1_200u32 {
        assert_eq!(get(&mut rows, family, &n.to_be_bytes(), &mut Vec::new()), Some(true), "{n}");
    }
    let new = |rows: &mut Rows, from: u32| {
        let new = from..from + 800;
        for n in new.clone() {
            write(rows, family, &n.to_be_bytes(), Some(&[7; 20]), n);
        }
        new.filter(|n| get(rows, family, &n.to_be_bytes(), &mut Vec::new()).is_some()).count()
    };
    for n in 0..10_000u32 {
        assert_eq!(get(&mut rows, family, &(n + 1_200).to_be_bytes(), &mut Vec::new()), None);
    }
    let few = new(&mut rows, 20_000);
    assert!((25..75).contains(&few), "hardly a look-up finds a copy: one in sixteen is copied, not {few} of 800");
    assert!(rows.total() < 10_000, "and copies take little: {}", rows.total());
    // Rows that were somewhere else are looked up again and again.
    let mut missing = 0;
    for n in 0..200_000u32 {
        let key = (n % 1_200).to_be_bytes();
        if get(&mut rows, family, &key, &mut Vec::new()).is_none() {
            missing = n;
            keep(&mut rows, family, &key, Some(&[7; 20]), 0);
        }
    }
    assert!(missing < 50_000, "all are copied soon, and stay: {missing}");
    assert_eq!(new(&mut rows, 30_000), 800, "each look-up finds one");
}

/// Updates that come from the record cache are no look-ups; a copy spares them one for the place of the row before.
#[test]
fn rows_that_are_written_again_and_again_are_copied() {
    let mut rows = Rows::new(Budget::new(100_000, 0, 0));
    let family = FamilyId(1);
    // Each new key is looked up first.
    for n in 0..10_000u32 {
        assert_eq!(get(&mut rows, family, &n.to_be_bytes(), &mut Vec::new()), None);
        write(&mut rows, family, &n.to_be_bytes(), Some(&[7; 20]), n + 1);
    }
    let mut unknown = 0;
    for n in 0..200_000u32 {
        if write(&mut rows, family, &(n % 500).to_be_bytes(), Some(&[7; 20]), 10_001 + n).is_none() {
            unknown = n;
        }
    }
    assert!(unknown < 50_000, "{unknown}");
}

/// A row that is looked up in the journal is likely to be written next, be it copied or not.
#[test]
fn the_place_of_a_row_that_was_looked_up_is_known_until_the_next_write() {
    let mut rows = Rows::new(Budget::new(100_000, 0, 0));
    let (family, long) = (FamilyId(1), Some(&[7; 3_000][..]));
    for n in 0..10_000u32 {
        let key = n.to_be_bytes();
        assert_eq!(get(&mut rows, family, &key, &mut Vec::new()), None, "{n}");
        keep(&mut rows, family, &key, long, n + 1);
        assert_eq!(write(&mut rows, family, &key, long, 100_000 + n), Some(n + 1));
        assert_eq!(write(&mut rows, family, &key, long, 200_000 + n), Some(100_000 + n), "twice in one write");
        rows.forget_looked_up();
        assert_eq!(rows.bytes(), 0);
    }
}

/// While copies are not worth it those of most keys are not renewed.
#[test]
fn no_copy_is_found_that_was_made_before_copies_were_not_worth_it() {
    let mut rows = Rows::new(Budget::new(1_000_000, 0, 0));
    let (family, keys) = (FamilyId(1), 0..200u32);
    for n in keys.clone() {
        write(&mut rows, family, &n.to_be_bytes(), Some(b"older"), n + 1);
    }
    cold(&mut rows);
    for n in keys.clone() {
        write(&mut rows, family, &n.to_be_bytes(), Some(b"newer"), n + 1_001);
    }
    warm(&mut rows);
    for n in keys.clone() {
        let mut out = Vec::new();
        let found = get(&mut rows, family, &n.to_be_bytes(), &mut out);
        assert!(found.is_none() || out == b"newer", "{n}");
        let known = write(&mut rows, family, &n.to_be_bytes(), Some(b"newest"), n + 2_001);
        assert!(known.is_none_or(|known| known == n + 1_001), "{known:?}");
    }
    let copied = |n: &u32| get(&mut rows, family, &n.to_be_bytes(), &mut Vec::new()).is_some();
    assert_eq!(keys.filter(copied).count(), 200, "they are worth it again");
}

/// What is found in the oldest generation stays when that goes.
#[test]
fn rows_that_are_in_use_outlive_their_generation() {
    let mut rows = Rows::new(Budget::new(60_000, 0, 0));
    let family = FamilyId(1);
    write(&mut rows, family, b"used", Some(b"1"), 1);
    for n in 0..20_000u32 {
        keep(&mut rows, family, &n.to_be_bytes(), Some(&[8; 20]), 0);
        assert_eq!(get(&mut rows, family, b"used", &mut Vec::new()), Some(true), "after {n}");
    }
}
