//! Versioned stores against a naive model, through commits, rollbacks and restarts, and restored from their changelog.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::commit::{ChangelogMark, Committed};
use crate::engine::{MemoryStorage, Storage};
use crate::model::{Headers, Offset, Position, RawRecord, TopicId};
use crate::store::{Changelog, Persistence, StoreSpec, VersionedShape};

const STORE: StoreId = StoreId(0);
const RETENTION: i64 = 10;

fn spec() -> StoreSpec {
    StoreSpec {
        name: "v".into(),
        kind: StoreKind::VersionedKeyValue(VersionedShape { history_retention: RETENTION, segment_interval: 3 }),
        persistence: Persistence::Durable,
        changelog: Changelog::Topic(BTreeMap::new()),
        cached: false,
        headers: false,
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Every version of every key that was ever put and not refused, as a list by time; `None` is a delete.
#[derive(Clone, Debug, Default)]
struct Model {
    keys: BTreeMap<Vec<u8>, Versions>,
    observed: Option<i64>,
}

#[derive(Clone, Debug, Default)]
struct Versions {
    values: BTreeMap<i64, Option<Vec<u8>>>,
    /// Since when the newest value is valid, if the key is not deleted.
    latest: Option<i64>,
    /// Until when those before the newest are valid, as far as Kafka Streams keeps that.
    ended: Option<i64>,
}

impl Versions {
    /// Puts a version; answers until when it is valid.
    fn put(&mut self, time: i64, value: Option<Vec<u8>>) -> Placed {
        let exists = value.is_some();
        let later = self.values.range(time + 1..).next().map(|(later, _)| *later);
        let until = [later, self.latest, self.ended].into_iter().flatten().filter(|end| *end > time).min();
        self.values.insert(time, value);
        if let Some(until) = until {
            self.ended = self.ended.max(Some(until));
            return Placed::Until(at(until));
        }
        match self.latest {
            Some(latest) if time > latest => self.ended = Some(time),
            // A delete at the very time of the latest value leaves a trace only where something ends.
            Some(_) if !exists && self.ended != Some(time) => {
                self.values.remove(&time);
            }
            None if !exists => self.ended = Some(time),
            _ => {}
        }
        self.latest = exists.then_some(time);
        Placed::Latest
    }
}

impl Model {
    fn too_old(&self, time: i64) -> bool {
        self.observed.is_some_and(|observed| time < observed - RETENTION)
    }

    fn put(&mut self, key: &[u8], value: Option<&[u8]>, time: i64) -> Placed {
        if self.too_old(time) {
            return Placed::TooOld;
        }
        self.observed = self.observed.max(Some(time));
        self.keys.entry(key.to_vec()).or_default().put(time, value.map(<[u8]>::to_vec))
    }

    fn get(&self, key: &[u8], as_of: i64) -> Option<(Vec<u8>, i64)> {
        let versions = &self.keys.get(key)?.values;
        let latest = versions.range(as_of + 1..).next().is_none();
        let (time, value) = versions.range(..=as_of).next_back()?;
        let value = value.clone()?;
        (latest || !self.too_old(as_of)).then_some((value, *time))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, Option<Vec<u8>>, i64),
    Get(Vec<u8>, i64),
    Apply,
    Rollback,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Keys of which one begins with another, times that collide.
    let key = || proptest::sample::select(vec![b"a".to_vec(), b"ab".to_vec(), b"b".to_vec()]);
    let value = proptest::option::weighted(0.7, proptest::collection::vec(0u8..3, 0..3));
    let step = prop_oneof![
        8 => (key(), value, 0i64..40).prop_map(|(key, value, time)| Step::Put(key, value, time)),
        4 => (key(), 0i64..45).prop_map(|(key, time)| Step::Get(key, time)),
        2 => Just(Step::Apply),
        1 => Just(Step::Rollback),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..80)
}

fn mark() -> ChangelogMark {
    ChangelogMark { topic: TopicId(7), position: Position::new(1), applied_at: at(5) }
}

fn found(stores: &mut TaskStores, key: &[u8], as_of: i64) -> Option<(Vec<u8>, i64)> {
    let version = stores.versioned_get_as_of(STORE, key, at(as_of)).unwrap();
    version.map(|version| (version.value, version.valid_from.millis()))
}

fn agree(stores: &mut TaskStores, model: &Model) {
    for key in model.keys.keys() {
        for as_of in 0..45 {
            assert_eq!(found(stores, key, as_of), model.get(key, as_of), "{key:?} as of {as_of}");
        }
        let latest = stores.versioned_get(STORE, key).unwrap().map(|version| version.value);
        assert_eq!(latest, model.get(key, i64::MAX - 1).map(|(value, _)| value), "{key:?}");
    }
}

/// A put as its changelog has it.
type Logged = (Vec<u8>, Option<Vec<u8>>, i64);

fn restored(changelog: &[Logged], piece: usize) -> TaskStores {
    let mut stores = TaskStores::open(&[spec()], MemoryStorage::new().open("0_0").unwrap()).unwrap();
    let headers = Headers::new();
    for piece in changelog.chunks(piece) {
        let mut records = piece.iter().map(|(key, value, time)| RawRecord {
            offset: Offset::new(0),
            timestamp: at(*time),
            key: Some(key),
            value: value.as_deref(),
            headers: &headers,
        });
        stores.restore(STORE, &mut records, mark()).unwrap();
    }
    stores
}

proptest! {
    #[test]
    fn what_was_valid_when_agrees_with_a_list_of_all_versions(steps in steps(), piece in 1usize..9) {
        let storage = MemoryStorage::new();
        let mut stores = TaskStores::open(&[spec()], storage.open("0_0").unwrap()).unwrap();
        let (mut committed, mut now) = (Model::default(), Model::default());
        let (mut logged, mut log) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Put(key, value, time) => {
                    let placed = stores.versioned_put(STORE, &key, value.as_deref(), at(time)).unwrap();
                    prop_assert_eq!(placed, now.put(&key, value.as_deref(), time));
                    log.push((key, value, time));
                }
                Step::Get(key, time) => prop_assert_eq!(found(&mut stores, &key, time), now.get(&key, time)),
                Step::Apply => {
                    stores.apply(&Committed::testify(1), &[(STORE, mark())]).unwrap();
                    (committed, logged) = (now.clone(), log.clone());
                }
                Step::Rollback => {
                    stores.rollback();
                    (now, log) = (committed.clone(), logged.clone());
                }
                Step::Reopen => {
                    drop(stores);
                    stores = TaskStores::open(&[spec()], storage.open("0_0").unwrap()).unwrap();
                    (now, log) = (committed.clone(), logged.clone());
                }
            }
        }
        agree(&mut stores, &now);
        agree(&mut restored(&log, piece), &now);
    }
}

#[test]
fn a_store_of_another_kind_is_refused() {
    let other = StoreSpec { kind: StoreKind::KeyValue, ..spec() };
    let mut stores = TaskStores::open(&[other], MemoryStorage::new().open("0_0").unwrap()).unwrap();
    assert!(stores.versioned_put(STORE, b"k", None, at(1)).is_err());
    assert!(stores.versioned_get_as_of(STORE, b"k", at(1)).is_err());
}
