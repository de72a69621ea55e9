use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;
use crate::commit::ChangelogMark;
use crate::context::StateContext;
use crate::engine::MemoryEngine;
use crate::model::{Offset, Position, RawRecord, TopicId};
use crate::serdes::DefaultSerde;
use crate::store::{CacheBudget, Changelog, Persistence, StoreId, StoreKind, StoreSpec, TaskStores, WindowShape};

const STORE: StoreId = StoreId(0);

fn spec() -> StoreSpec {
    let shape = WindowShape { retain_duplicates: true, ..WindowShape::new(10, 100) };
    StoreSpec {
        name: "s".into(),
        kind: StoreKind::Window(shape),
        persistence: Persistence::Durable,
        changelog: Changelog::Topic(BTreeMap::new()),
        cached: false,
        headers: false,
    }
}

fn open() -> StateContext {
    StateContext::new(TaskStores::open(&[spec()], Box::new(MemoryEngine::new())).unwrap())
}

fn store() -> WindowStore<String, String> {
    WindowStore::new(STORE, &spec(), String::serde(), String::serde(), &CacheBudget::new(0))
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn all(cx: &mut StateContext) -> Vec<(Timestamp, String)> {
    let mut found = Vec::new();
    store().collect(cx, &"k".to_owned(), (at(0), at(1000)), &mut found).unwrap();
    found
}

/// Appends these values at these times, with one header each.
fn filled(values: &[(i64, Option<&str>)]) -> StateContext {
    let (mut cx, mut store) = (open(), store());
    for (time, value) in values {
        let mut headers = Headers::new();
        headers.add("h", Some(Bytes::from(time.to_string())));
        cx.record.timestamp = at(*time);
        let value = value.map(str::to_owned);
        store.append(&mut cx, &"k".to_owned(), (at(*time), &headers), value.as_ref()).unwrap();
    }
    cx
}

fn replay(from: &StateContext, into: &mut StateContext) {
    let headers = Headers::new();
    let changes: Vec<_> = from.changes.iter().collect();
    let mut records = changes.iter().map(|change| RawRecord {
        offset: Offset::new(0),
        timestamp: change.meta.timestamp.unwrap(),
        key: change.key,
        value: change.value,
        headers: &headers,
    });
    let mark = ChangelogMark { topic: TopicId(1), position: Position::new(0), applied_at: at(0) };
    into.stores.restore(STORE, &mut records, mark).unwrap();
}

#[test]
fn values_with_equal_key_and_time_stand_beside_each_other_in_the_order_of_their_coming() {
    let mut cx = filled(&[(5, Some("a")), (3, Some("b")), (5, Some("c")), (5, Some("a"))]);
    let wanted = [(3, "b"), (5, "a"), (5, "c"), (5, "a")].map(|(time, value)| (at(time), value.to_owned()));
    assert_eq!(all(&mut cx), wanted);
}

#[test]
fn the_changelog_has_the_headers_of_each_record_and_counts_nulls() {
    let cx = filled(&[(5, Some("a")), (6, None), (7, Some("b"))]);
    let logged: Vec<_> = cx
        .changes
        .iter()
        .map(|change| {
            let number = split_window_key(change.key.unwrap()).unwrap().sequence;
            let header = change.headers.last("h").unwrap().value.clone().unwrap();
            (number, change.value.map(<[u8]>::to_vec), header)
        })
        .collect();
    let row = |number, value: Option<&str>, header: &'static str| {
        (number, value.map(|value| value.as_bytes().to_vec()), Bytes::from_static(header.as_bytes()))
    };
    assert_eq!(logged, [row(1, Some("a"), "5"), row(2, None, "6"), row(3, Some("b"), "7")]);
}

#[test]
fn what_is_replayed_once_more_replaces_what_is_there() {
    // Once a store that did not count nulls kept a replayed record twice, and a join had its results twice.
    let mut first = filled(&[(5, Some("a")), (6, None), (7, Some("b"))]);
    let mut restored = open();
    replay(&first, &mut restored);
    replay(&first, &mut restored);
    assert_eq!(all(&mut restored), all(&mut first));
}

#[test]
fn a_null_does_not_move_the_stores_time_neither_when_put_nor_when_replayed() {
    let mut cx = filled(&[(5, Some("a")), (900, None)]);
    let mut restored = open();
    replay(&cx, &mut restored);
    assert_eq!(all(&mut cx).len(), 1);
    assert_eq!(all(&mut restored), all(&mut cx));
}
