//! Sessions, stores laid out by time, and buffers against naive models, across commits, rollbacks, restarts and
//! restores.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::{
    Buffered, Changelog, Persistence, SegmentOrder, SessionShape, StoreKind, StoreSpec, WindowShape, log_buffer,
};
use super::*;
use crate::commit::Committed;
use crate::context::StateContext;
use crate::engine::{MemoryStorage, Storage};
use crate::key_order::{session_key, split_session_key, split_window_key, window_key};
use crate::model::{Headers, Offset, Position, RawRecord, RecordContext, TopicId, Window};

const A: StoreId = StoreId(0);
const RETENTION: i64 = 120;
const INTERVAL: i64 = 50;

fn spec(kind: StoreKind) -> StoreSpec {
    StoreSpec {
        name: "s".into(),
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

/// One thing done to a store. Times are numbers from 0 on, keys are one letter.
#[derive(Clone, Debug)]
enum Step {
    Put(u8, i64, i64, Option<u8>),
    Hold(i64),
    Apply,
    Rollback,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let put = (b'a'..=b'c', 0..400i64, 0..20i64, proptest::option::of(any::<u8>()));
    let step = prop_oneof![
        8 => put.prop_map(|(key, time, span, value)| Step::Put(key, time, span, value)),
        1 => (0..400i64).prop_map(Step::Hold),
        2 => Just(Step::Apply),
        1 => Just(Step::Rollback),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..60)
}

/// Everything that was ever put, by key as bytes, and the largest time.
#[derive(Clone, Default)]
struct Model {
    entries: BTreeMap<Vec<u8>, (i64, u8)>,
    observed: i64,
}

/// Keys as the store has them: of windows the start tells the time, of sessions the end.
fn key_of(kind: StoreKind, key: u8, time: i64, span: i64) -> Vec<u8> {
    match kind {
        StoreKind::Session(_) => session_key(&[key], Window { start: at((time - span).max(0)), end: at(time) }),
        _ => window_key(&[key], at(time), 0),
    }
}

fn found(entries: StoreScan<'_>) -> Vec<(Vec<u8>, u8)> {
    entries.map(|entry| entry.map(|(key, value)| (key.into_vec(), value[0])).unwrap()).collect()
}

/// Plays the steps on a store and a model; the model is committed and rolled back as a whole.
fn play(kind: StoreKind, steps: &[Step], mut look: impl FnMut(&mut TaskStores, &Model)) {
    let storage = MemoryStorage::new();
    let specs = [spec(kind)];
    let mut stores = TaskStores::open(&specs, storage.open("t").unwrap()).unwrap();
    let (mut model, mut committed) = (Model { observed: -1, ..Model::default() }, None::<Model>);
    for step in steps {
        match step {
            Step::Put(key, time, span, value) => {
                let bytes = key_of(kind, *key, *time, *span);
                model.observed = model.observed.max(*time);
                let kept = stores.window_put(A, &bytes, value.as_ref().map(std::slice::from_ref)).unwrap();
                let expired = time.div_euclid(INTERVAL) < (model.observed - RETENTION).div_euclid(INTERVAL);
                assert_eq!(kept, !expired);
                match value.filter(|_| kept) {
                    Some(value) => model.entries.insert(bytes, (*time, value)),
                    None if kept => model.entries.remove(&bytes),
                    None => None,
                };
            }
            Step::Hold(time) => stores.hold(A, at(*time)).unwrap(),
            Step::Apply => {
                stores.apply(&Committed::testify(1), &[]).unwrap();
                committed = Some(model.clone());
            }
            Step::Rollback | Step::Reopen => {
                if matches!(step, Step::Rollback) {
                    stores.rollback();
                } else {
                    drop(stores);
                    stores = TaskStores::open(&specs, storage.open("t").unwrap()).unwrap();
                }
                model = committed.clone().unwrap_or(Model { observed: -1, ..Model::default() });
            }
        }
        look(&mut stores, &model);
    }
}

proptest! {
    #[test]
    fn sessions_are_found_by_key_and_time_until_they_expire(steps in steps(), times in (0..400i64, 0..400i64), by_time: bool) {
        let order = if by_time { SegmentOrder::ByTime { indexed: true } } else { SegmentOrder::ByKey };
        let kind = StoreKind::Session(SessionShape { retention: RETENTION, segment_interval: INTERVAL, order });
        play(kind, &steps, |stores, model| {
            let live = |end: i64| end > model.observed - RETENTION;
            for key in b'a'..=b'c' {
                let should: Vec<_> = model.entries.iter().filter(|(bytes, (end, _))| {
                    let (of, session) = split_session_key(bytes).unwrap();
                    of == [key] && live(*end) && *end >= times.0 && session.start <= at(times.1)
                }).map(|(bytes, (_, value))| (bytes.clone(), *value)).collect();
                let times = (at(times.0), at(times.1));
                let is = found(stores.session_find(A, &[key], times, Direction::Forward).unwrap());
                assert_eq!(is, should);
                let back = found(stores.session_find(A, &[key], times, Direction::Backward).unwrap());
                assert_eq!(back, should.into_iter().rev().collect::<Vec<_>>());
            }
        });
    }

    #[test]
    fn windows_laid_out_by_time_are_found_by_key_and_by_time(steps in steps(), times in (0..400i64, 0..400i64), indexed: bool) {
        let order = SegmentOrder::ByTime { indexed };
        let shape = WindowShape { segment_interval: INTERVAL, order, ..WindowShape::new(10, RETENTION) };
        play(StoreKind::Window(shape), &steps, |stores, model| {
            let between = (at(times.0), at(times.1));
            for key in b'a'..=b'c' {
                let should: Vec<_> = model.entries.iter().filter(|(bytes, (start, _))| {
                    let of = split_window_key(bytes).unwrap().key;
                    of == [key] && *start >= model.observed - RETENTION && (times.0..=times.1).contains(start)
                }).map(|(bytes, (_, value))| (bytes.clone(), *value)).collect();
                assert_eq!(found(stores.window_fetch(A, &[key], between, Direction::Forward).unwrap()), should);
                let back = found(stores.window_fetch(A, &[key], between, Direction::Backward).unwrap());
                assert_eq!(back, should.into_iter().rev().collect::<Vec<_>>());
            }
        });
    }

    #[test]
    fn what_is_held_is_there_though_it_has_expired(steps in steps(), hold in 0..400i64) {
        let order = SegmentOrder::ByTime { indexed: false };
        let shape = WindowShape { segment_interval: INTERVAL, order, ..WindowShape::new(10, RETENTION) };
        let steps: Vec<Step> = steps.into_iter().filter(|step| !matches!(step, Step::Hold(_))).collect();
        let with_hold: Vec<Step> = steps.iter().flat_map(|step| [Step::Hold(hold), step.clone()]).collect();
        play(StoreKind::Window(shape), &with_hold, |stores, model| {
            let should: Vec<_> = model.entries.iter().filter(|(_, (start, _))| *start >= hold).collect();
            let mut should: Vec<_> = should.into_iter().map(|(bytes, (start, value))| (*start, bytes.clone(), *value)).collect();
            should.sort();
            let is = found(stores.fetch_held(A, (at(hold), at(i64::MAX)), None).unwrap());
            assert_eq!(is, should.iter().map(|(_, bytes, value)| (bytes.clone(), *value)).collect::<Vec<_>>());
            for (index, (last, _)) in is.iter().enumerate() {
                let rest = found(stores.fetch_held(A, (at(hold), at(i64::MAX)), Some(last)).unwrap());
                assert_eq!(rest, is[index + 1..]);
            }
        });
    }

    #[test]
    fn a_buffer_is_what_its_model_says_and_its_changelog_gives_it_back(
        steps in proptest::collection::vec((0..8u8, b'a'..=b'e', 0..50i64, proptest::option::of(any::<u8>())), 1..60),
    ) {
        let spec = StoreSpec { persistence: Persistence::InMemory, ..spec(StoreKind::TimeOrderedBuffer) };
        let open = || TaskStores::open(std::slice::from_ref(&spec), MemoryStorage::new().open("t").unwrap()).unwrap();
        let mut cx = StateContext::new(open());
        let (mut model, mut committed): (Vec<(i64, u8, Option<u8>)>, _) = (Vec::new(), Vec::new());
        let mut changelog: Vec<(Vec<u8>, Option<Vec<u8>>, Headers)> = Vec::new();
        for (what, key, time, value) in steps {
            match what {
                0..4 => {
                    let new = value.map(|value| Bytes::copy_from_slice(&[value]));
                    let change = Buffered { prior: None, old: None, new, record: RecordContext::default() };
                    cx.stores.buffer_put(A, at(time), &[key], change).unwrap();
                    match model.iter_mut().find(|(_, of, _)| *of == key) {
                        Some(waits) => waits.2 = value,
                        None => model.push((time, key, value)),
                    }
                    model.sort_unstable_by_key(|(time, key, _)| (*time, *key));
                }
                4 => {
                    let popped = cx.stores.buffer_pop(A).unwrap().map(|(key, waits)| (key[0], waits.new.map(|new| new[0])));
                    let first = (!model.is_empty()).then(|| model.remove(0));
                    assert_eq!(popped, first.map(|(_, key, value)| (key, value)));
                }
                5 => {
                    log_buffer(&mut cx, A).unwrap();
                    let record = |it: crate::model::BufferedRecord<'_>| (it.key.unwrap().to_vec(), it.value.map(<[u8]>::to_vec), it.headers.clone());
                    changelog.extend(cx.changes.iter().map(record));
                    cx.changes.clear();
                    cx.stores.apply(&Committed::testify(1), &[]).unwrap();
                    committed.clone_from(&model);
                }
                6 => {
                    cx.stores.rollback();
                    model.clone_from(&committed);
                }
                _ => {
                    let mut stores = open();
                    let mut raw = changelog.iter().enumerate().map(|(index, (key, value, headers))| RawRecord {
                        offset: Offset::new(index as i64), timestamp: at(-1), key: Some(key), value: value.as_deref(), headers,
                    });
                    let mark = ChangelogMark { topic: TopicId(1), position: Position::new(1), applied_at: at(0) };
                    stores.restore(A, &mut raw, mark).unwrap();
                    cx = StateContext::new(stores);
                    model.clone_from(&committed);
                }
            }
            prop_assert_eq!(cx.stores.buffer_len(A).unwrap(), model.len());
            prop_assert_eq!(cx.stores.buffer_first_time(A).unwrap(), model.first().map(|(time, _, _)| at(*time)));
            let weight = |(_, _, value): &(i64, u8, Option<u8>)| 8 + 1 + 20 + usize::from(value.is_some());
            prop_assert_eq!(cx.stores.buffer_bytes(A).unwrap(), model.iter().map(weight).sum::<usize>());
        }
    }
}
