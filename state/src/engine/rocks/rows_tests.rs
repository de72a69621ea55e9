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
    let mut out = Vec::new();
    assert_eq!(get(&mut databases[0], family, &4_999u32.to_be_bytes(), &mut out), Some(true));
    assert_eq!(out, [7; 20]);
    assert_eq!(get(&mut databases[0], family, &0u32.to_be_bytes(), &mut out), None, "it has gone long ago");
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
        let there = rows.total();
        for n in from..from + 160 {
            write(rows, family, &n.to_be_bytes(), Some(&[7; 20]), n);
        }
        let held =
            (from..from + 160).filter(|n| get(rows, family, &n.to_be_bytes(), &mut Vec::new()).is_some()).count();
        (held, rows.total() > there)
    };
    for n in 0..10_000u32 {
        assert_eq!(get(&mut rows, family, &(n + 1_200).to_be_bytes(), &mut Vec::new()), None);
    }
    assert_eq!(new(&mut rows, 20_000), (10, true), "hardly a look-up finds a copy: one in sixteen is copied");
    for n in 0..10_000u32 {
        assert_eq!(get(&mut rows, family, &(n % 1_200).to_be_bytes(), &mut Vec::new()), Some(true));
    }
    assert_eq!(new(&mut rows, 30_000).0, 160, "each look-up finds one");
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
