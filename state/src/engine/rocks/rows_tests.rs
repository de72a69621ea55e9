//! Rows against a map of what RocksDB has and one of what it has not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::rows::{Budget, Rows};
use crate::engine::FamilyId;

#[derive(Clone, Debug)]
enum Step {
    Put(u32, u8, Option<u8>),
    Get(u32, u8),
    HandOver,
    /// Straight to RocksDB.
    Write(u32, u8, Option<u8>),
    Forget(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let key = || (0..2u32, 0..60u8);
    prop_oneof![
        10 => (key(), proptest::option::weighted(0.8, any::<u8>())).prop_map(|((family, key), value)| Step::Put(family, key, value)),
        20 => key().prop_map(|(family, key)| Step::Get(family, key)),
        1 => Just(Step::HandOver),
        5 => (key(), proptest::option::weighted(0.8, any::<u8>())).prop_map(|((family, key), value)| Step::Write(family, key, value)),
        1 => (0..2u32).prop_map(Step::Forget),
    ]
}

fn bytes(value: u8) -> Vec<u8> {
    vec![value; usize::from(value % 40)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A row that is found is the newest, and what is not found RocksDB has been given; what the rows are said to take they
    /// take, and it is within their bound as long as RocksDB is given them in time.
    #[test]
    fn rows_show_the_newest_value_or_leave_it_to_rocksdb(
        steps in proptest::collection::vec(step(), 1..400), bound in 1_500..9_000usize,
    ) {
        let mut rows = Rows::new(Budget::new(bound, 0));
        let mut newest = BTreeMap::<(u32, u8), Vec<u8>>::new();
        let (mut given, mut ahead) = (newest.clone(), BTreeSet::new());
        for step in steps {
            match step {
                Step::Put(family, key, value) => {
                    let value = value.map(bytes);
                    rows.put(FamilyId(family), &[key], value.as_deref());
                    ahead.insert((family, key));
                    match value {
                        Some(value) => newest.insert((family, key), value),
                        None => newest.remove(&(family, key)),
                    };
                }
                Step::Get(family, key) => {
                    let mut out = b"before".to_vec();
                    let expected = newest.get(&(family, key));
                    match rows.get(FamilyId(family), &[key], &mut out) {
                        Some(found) => {
                            prop_assert_eq!(found.then_some(&out[6..]), expected.map(|value| &value[..]));
                            prop_assert_eq!(&out[..6], b"before");
                        }
                        None => {
                            prop_assert!(!ahead.contains(&(family, key)), "RocksDB does not have it");
                            let held = given.get(&(family, key));
                            prop_assert_eq!(held, expected);
                            if let Some(value) = held {
                                rows.keep(FamilyId(family), &[key], value);
                            }
                        }
                    }
                }
                Step::HandOver => {
                    rows.settle();
                    given = newest.clone();
                    ahead.clear();
                }
                Step::Write(family, key, value) => {
                    rows.settle();
                    ahead.clear();
                    // Some are too long to be copied.
                    let value = value.map(|value| if value >= 240 { vec![value; 3_000] } else { bytes(value) });
                    rows.follow(FamilyId(family), &[key], value.as_deref());
                    match value {
                        Some(value) => newest.insert((family, key), value),
                        None => newest.remove(&(family, key)),
                    };
                    given = newest.clone();
                }
                Step::Forget(family) => {
                    rows.forget(FamilyId(family));
                    newest.retain(|(of, _), _| *of != family);
                    given.retain(|(of, _), _| *of != family);
                    ahead.retain(|(of, _)| *of != family);
                }
            }
            if rows.is_full() {
                rows.settle();
                given = newest.clone();
                ahead.clear();
            }
            prop_assert_eq!(rows.total(), rows.bytes());
            // A generation is an entry beyond its part before it is noticed.
            prop_assert!(rows.bytes() <= bound + 200, "{} of {bound}", rows.bytes());
        }
    }
}

#[test]
fn the_rows_of_all_databases_stay_within_their_bound() {
    let budget = Budget::new(60_000, 0);
    let mut databases = [(); 2].map(|()| Rows::new(Arc::clone(&budget)));
    let family = FamilyId(1);
    for n in 0..5_000u32 {
        for rows in &mut databases {
            rows.put(family, &n.to_be_bytes(), Some(&[7; 20]));
            rows.keep(family, &(n / 2 + 1_000_000).to_be_bytes(), &[8; 20]);
            if rows.is_full() {
                rows.settle();
            }
        }
        let held: usize = databases.iter().map(Rows::bytes).sum();
        assert!(held <= 60_000 + 200, "{held}");
    }
    let mut out = Vec::new();
    assert_eq!(databases[0].get(family, &4_999u32.to_be_bytes(), &mut out), Some(true));
    assert_eq!(out, [7; 20]);
    assert_eq!(databases[0].get(family, &0u32.to_be_bytes(), &mut out), None, "it has gone long ago");
}

/// A table that is read at random and fits is found in memory, however it came there.
#[test]
fn rows_that_are_handed_over_in_several_parts_are_all_kept_while_there_is_room() {
    let mut rows = Rows::new(Budget::new(100_000, 0));
    let family = FamilyId(1);
    let mut parts = 0;
    for n in 0..1_200u32 {
        rows.put(family, &n.to_be_bytes(), Some(&[7; 20]));
        if rows.is_full() {
            rows.settle();
            parts += 1;
        }
    }
    assert!(parts >= 2, "{parts}");
    for n in 0..1_200u32 {
        assert_eq!(rows.get(family, &n.to_be_bytes(), &mut Vec::new()), Some(true), "{n}");
    }
}

/// The same of one that is written straight to RocksDB before anybody asks for its rows.
#[test]
fn rows_that_rocksdb_is_given_at_once_are_kept_while_copies_are_found() {
    let mut rows = Rows::new(Budget::new(100_000, 0));
    let family = FamilyId(1);
    for n in 0..1_200u32 {
        assert!(rows.follow_writes(), "{n}");
        rows.follow(family, &n.to_be_bytes(), Some(&[7; 20]));
    }
    for n in 0..1_200u32 {
        assert_eq!(rows.get(family, &n.to_be_bytes(), &mut Vec::new()), Some(true), "{n}");
    }
    for n in 0..10_000u32 {
        assert_eq!(rows.get(family, &(n + 1_200).to_be_bytes(), &mut Vec::new()), None);
    }
    assert!(!rows.follow_writes(), "hardly a look-up finds a copy");
    for n in 0..10_000u32 {
        assert_eq!(rows.get(family, &(n % 1_200).to_be_bytes(), &mut Vec::new()), Some(true));
    }
    assert!(rows.follow_writes(), "each look-up finds one");
}

/// What is found in the oldest generation stays when that goes.
#[test]
fn rows_that_are_in_use_outlive_their_generation() {
    let mut rows = Rows::new(Budget::new(60_000, 0));
    let family = FamilyId(1);
    rows.put(family, b"used", Some(b"1"));
    rows.settle();
    for n in 0..20_000u32 {
        rows.keep(family, &n.to_be_bytes(), &[8; 20]);
        assert_eq!(rows.get(family, b"used", &mut Vec::new()), Some(true), "after {n}");
    }
}
