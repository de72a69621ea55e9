//! The record cache and typed stores: what is held back, what comes out when, in which order.

use std::collections::BTreeMap;

use super::*;
use crate::commit::Committed;
use crate::context::StateContext;
use crate::engine::{Direction, MemoryEngine};
use crate::model::{Timestamp, Window, Windowed};
use crate::serdes;

const A: StoreId = StoreId(0);
type Counts = KeyValue<String, i64>;

fn spec(kind: StoreKind, cached: bool) -> StoreSpec {
    StoreSpec {
        name: "s".into(),
        kind,
        persistence: Persistence::Durable,
        changelog: Changelog::Topic(BTreeMap::new()),
        cached,
        headers: false,
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn open(kind: StoreKind, budget: &CacheBudget) -> (Counts, StateContext) {
    let spec = spec(kind, true);
    let stores = TaskStores::open(std::slice::from_ref(&spec), Box::new(MemoryEngine::new())).unwrap();
    (KeyValue::new(A, &spec, serdes::string(), serdes::i64(), budget), StateContext::new(stores))
}

fn cached() -> (Counts, StateContext) {
    open(StoreKind::TimestampedKeyValue, &CacheBudget::new(1 << 20))
}

fn uncached() -> (Counts, StateContext) {
    open(StoreKind::TimestampedKeyValue, &CacheBudget::new(0))
}

/// Counts a key at a time, without flushing.
fn count(store: &mut Counts, cx: &mut StateContext, key: &str, time: i64) {
    cx.record.timestamp = at(time);
    let old = store.take(cx, &key.to_owned()).unwrap();
    store.put_taken(cx, Some(old.map_or(0, |old| old.value) + 1), at(time)).unwrap();
}

type Seen = (String, Option<i64>, Option<i64>, i64);

fn flush(store: &mut Counts, cx: &mut StateContext, need_old: bool) -> Vec<Seen> {
    let mut seen = Vec::new();
    while let Some(update) = store.take_dirty(cx, need_old).unwrap() {
        seen.push((update.key.clone(), update.new, update.old, update.timestamp.millis()));
        store.put_back(update);
    }
    seen
}

fn seen(key: &str, new: impl Into<Option<i64>>, old: impl Into<Option<i64>>, time: i64) -> Seen {
    (key.to_owned(), new.into(), old.into(), time)
}

/// Changelog records as key, value, timestamp.
fn changelog(cx: &StateContext) -> Vec<(String, Option<i64>, i64)> {
    let number = |bytes: &[u8]| i64::from_be_bytes(bytes.try_into().unwrap());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let time = |time: Option<Timestamp>| time.unwrap().millis();
    let records = cx.changes.iter();
    records.map(|it| (text(it.key.unwrap()), it.value.map(number), time(it.meta.timestamp))).collect()
}

#[test]
fn a_cache_hands_out_one_update_per_key_in_the_order_of_the_last_updates() {
    let (mut store, mut cx) = cached();
    for (key, time) in [("a", 1), ("b", 2), ("c", 3), ("a", 4), ("a", 5)] {
        count(&mut store, &mut cx, key, time);
        assert!(!store.must_flush());
    }
    assert!(cx.changes.is_empty());
    let expected = [seen("b", 1, None, 2), seen("c", 1, None, 3), seen("a", 3, None, 5)];
    assert_eq!(flush(&mut store, &mut cx, true), expected);
    assert_eq!(changelog(&cx), [("b".into(), Some(1), 2), ("c".into(), Some(1), 3), ("a".into(), Some(3), 5)]);
    count(&mut store, &mut cx, "a", 6);
    assert_eq!(flush(&mut store, &mut cx, true), [seen("a", 4, 3, 6)]);
    assert_eq!(flush(&mut store, &mut cx, true), []);
}

#[test]
fn without_a_cache_every_update_is_handed_out_at_once() {
    let (mut store, mut cx) = uncached();
    count(&mut store, &mut cx, "a", 1);
    assert!(store.must_flush());
    assert_eq!(flush(&mut store, &mut cx, true), [seen("a", 1, None, 1)]);
    assert!(!store.must_flush());
    count(&mut store, &mut cx, "a", 2);
    assert_eq!(flush(&mut store, &mut cx, true), [seen("a", 2, 1, 2)]);
    assert_eq!(store.read(&mut cx, &"a".into()).unwrap(), Some(Stamped::new(&2, at(2))));
}

#[test]
fn a_delete_of_what_was_never_there_is_dropped_with_a_cache_and_forwarded_without() {
    let (mut store, mut cx) = cached();
    cx.record.timestamp = at(7);
    store.update(&mut cx, &"a".into(), None, at(9)).unwrap();
    assert_eq!(flush(&mut store, &mut cx, false), []);
    assert!(cx.changes.is_empty());
    let (mut store, mut cx) = uncached();
    cx.record.timestamp = at(7);
    store.update(&mut cx, &"a".into(), None, at(9)).unwrap();
    assert_eq!(flush(&mut store, &mut cx, false), [seen("a", None, None, 9)]);
    assert_eq!(changelog(&cx), [("a".into(), None, 7)]);
}

#[test]
fn a_cached_delete_carries_the_time_of_its_record_and_the_old_value() {
    let (mut store, mut cx) = cached();
    count(&mut store, &mut cx, "a", 1);
    flush(&mut store, &mut cx, false);
    cx.record.timestamp = at(3);
    store.update(&mut cx, &"a".into(), None, at(9)).unwrap();
    assert_eq!(store.get(&mut cx, &"a".into()).unwrap(), None);
    cx.record.timestamp = at(100);
    assert_eq!(flush(&mut store, &mut cx, true), [seen("a", None, 1, 3)]);
    assert_eq!(changelog(&cx)[1..], [("a".into(), None, 3)]);
    assert_eq!(store.get(&mut cx, &"a".into()).unwrap(), None);
}

#[test]
fn an_eviction_flushes_the_evicted_entry_first_and_then_all_others() {
    let budget = CacheBudget::new(500);
    let (mut store, mut cx) = open(StoreKind::TimestampedKeyValue, &budget);
    let mut time = 0;
    let mut keys = Vec::new();
    while !store.must_flush() {
        time += 1;
        keys.push(format!("key{time}"));
        count(&mut store, &mut cx, &keys[keys.len() - 1], time);
        if time == 2 {
            // `key1` was updated last but is not the one used last.
            count(&mut store, &mut cx, "key1", 2);
            store.get(&mut cx, &"key2".into()).unwrap();
        }
    }
    let first: Vec<_> = flush(&mut store, &mut cx, false).into_iter().map(|update| update.0).collect();
    let mut expected = vec!["key1".to_owned(), "key2".to_owned()];
    expected.extend(keys[2..].iter().cloned());
    assert_eq!(first, expected);
    assert!(budget.used() <= budget.limit(), "{} of {}", budget.used(), budget.limit());
    assert_eq!(store.get(&mut cx, &"key1".into()).unwrap(), Some(&2));
    drop(store);
    assert_eq!(budget.used(), 0);
}

#[test]
fn nodes_below_may_read_and_write_the_store_while_an_update_is_forwarded() {
    let (mut store, mut cx) = cached();
    count(&mut store, &mut cx, "a", 1);
    count(&mut store, &mut cx, "b", 2);
    let update = store.take_dirty(&mut cx, false).unwrap().unwrap();
    assert_eq!(store.get(&mut cx, &"a".into()).unwrap(), Some(&1));
    count(&mut store, &mut cx, "a", 3);
    store.put_back(update);
    // What was written during the flush is the next flush's.
    assert_eq!(flush(&mut store, &mut cx, false), [seen("b", 1, None, 2)]);
    assert_eq!(flush(&mut store, &mut cx, false), [seen("a", 2, None, 3)]);
}

#[test]
fn an_update_is_forwarded_as_of_the_record_that_caused_it() {
    let (mut store, mut cx) = cached();
    cx.record.topic = "in".into();
    cx.record.headers.add("h", None);
    count(&mut store, &mut cx, "a", 1);
    cx.record.topic = "other".into();
    cx.record.headers.remove("h");
    let mut update = store.take_dirty(&mut cx, false).unwrap().unwrap();
    update.swap_record(&mut cx);
    assert_eq!((&*cx.record.topic, cx.record.headers.len()), ("in", 1));
    update.swap_record(&mut cx);
    assert_eq!(&*cx.record.topic, "other");
}

#[test]
fn scans_see_what_is_held_back_and_flush_nothing() {
    let (mut store, mut cx) = cached();
    for key in ["b", "d", "a"] {
        count(&mut store, &mut cx, key, 1);
    }
    flush(&mut store, &mut cx, false);
    cx.stores.apply(&Committed::testify(1), &[]).unwrap();
    cx.changes.clear();
    count(&mut store, &mut cx, "d", 2);
    count(&mut store, &mut cx, "c", 2);
    store.put(&mut cx, &"b".into(), None).unwrap();
    let all = |entries: Entries<'_, String, i64>| -> Vec<_> {
        entries.map(|entry| entry.map(|(key, found)| (key, found.value)).unwrap()).collect()
    };
    let expected = [("a".to_owned(), 1), ("c".to_owned(), 1), ("d".to_owned(), 2)];
    assert_eq!(all(store.all(&mut cx, Direction::Forward).unwrap()), expected);
    let range = (Some(&"b".to_owned()), Some(&"c".to_owned()));
    assert_eq!(all(store.range(&mut cx, range, Direction::Backward).unwrap()), expected[1..2]);
    assert_eq!(all(store.prefix(&mut cx, b"d", Direction::Forward).unwrap()), expected[2..]);
    assert!(cx.changes.is_empty());
}

#[test]
fn a_plain_store_keeps_values_as_they_are_and_logs_the_time_of_the_record() {
    for budget in [0, 1 << 20] {
        let (mut store, mut cx) = open(StoreKind::KeyValue, &CacheBudget::new(budget));
        cx.record.timestamp = at(5);
        store.put(&mut cx, &"a".into(), Some(Stamped::new(3, at(77)))).unwrap();
        let there = store.put_if_absent(&mut cx, &"a".into(), Stamped::new(4, at(78))).unwrap();
        assert_eq!(there.map(|found| *found.value), Some(3));
        store.write_back(&mut cx).unwrap();
        assert_eq!(changelog(&cx), [("a".into(), Some(3), 5)]);
        let mut raw = Vec::new();
        assert!(cx.stores.get(A, b"a", &mut raw).unwrap());
        assert_eq!(raw, 3i64.to_be_bytes());
    }
}

#[test]
fn putting_what_was_not_taken_is_refused() {
    let (mut store, mut cx) = cached();
    store.take(&mut cx, &"a".into()).unwrap();
    store.get(&mut cx, &"b".into()).unwrap();
    let error = store.put_taken(&mut cx, Some(1), at(1)).unwrap_err();
    assert!(error.to_string().contains("put_taken without a take"), "{error}");
}

#[test]
fn a_windowed_update_is_forwarded_with_its_window_and_logged_with_its_store_key() {
    let shape = WindowShape::new(10, 100);
    for cached in [false, true] {
        let spec = spec(StoreKind::TimestampedWindow(shape), cached);
        let stores = TaskStores::open(std::slice::from_ref(&spec), Box::new(MemoryEngine::new())).unwrap();
        let mut cx = StateContext::new(stores);
        let budget = CacheBudget::new(1 << 20);
        let mut store = WindowStore::new(A, &spec, serdes::string(), serdes::i64(), &budget);
        assert!(store.take(&mut cx, &"a".to_owned(), at(20)).unwrap().is_none());
        store.put_taken(&mut cx, Some(1), at(25)).unwrap();
        assert_eq!(store.must_flush(), !cached);
        let fetched = |store: &mut WindowStore<String, i64>, cx: &mut StateContext| {
            let times = (at(0), at(100));
            let entries = store.fetch(cx, &"a".to_owned(), times, Direction::Forward).unwrap();
            entries.map(|entry| entry.unwrap().0.window.start.millis()).collect::<Vec<_>>()
        };
        if cached {
            assert_eq!(fetched(&mut store, &mut cx), [20]);
        }
        let update = store.take_dirty(&mut cx, false).unwrap().unwrap();
        let window = Window { start: at(20), end: at(30) };
        assert_eq!(update.key, Windowed { key: "a".to_owned(), window });
        assert_eq!((update.new, update.timestamp), (Some(1), at(25)));
        store.put_back(update);
        assert!(store.take_dirty(&mut cx, false).unwrap().is_none());
        let logged = cx.changes.get(0).unwrap();
        assert_eq!(logged.key.unwrap(), crate::key_order::window_key(b"a", at(20), 0));
        assert_eq!(logged.value.unwrap(), 1i64.to_be_bytes());
        assert_eq!(logged.meta.timestamp, Some(at(25)));
        assert_eq!(fetched(&mut store, &mut cx), [20]);
        let all = store.fetch_all(&mut cx, (at(0), at(100)), Direction::Forward).unwrap();
        assert_eq!(all.count(), 1);
        // As in Kafka Streams, a clean entry outlives its window (`cogroup-windowed-expired-cached.json`).
        store
            .update(
                &mut cx,
                &Windowed { key: "b".to_owned(), window: Window { start: at(500), end: at(510) } },
                Some(1),
                at(500),
            )
            .unwrap();
        while let Some(update) = store.take_dirty(&mut cx, false).unwrap() {
            store.put_back(update);
        }
        assert_eq!(store.read(&mut cx, &"a".to_owned(), at(20)).unwrap().is_some(), cached);
    }
}
