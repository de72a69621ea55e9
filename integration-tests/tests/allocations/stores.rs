//! The hot path of an aggregation must not ask for memory.

use std::collections::BTreeMap;

use millstream::state::context::StateContext;
use millstream::state::engine::MemoryEngine;
use millstream::state::model::Timestamp;
use millstream::state::serdes;
use millstream::state::store::{
    CacheBudget, Changelog, KeyValue, Persistence, StoreId, StoreKind, StoreSpec, TaskStores, WindowShape, WindowStore,
};

use crate::allocations;

fn spec(kind: StoreKind) -> StoreSpec {
    StoreSpec {
        name: "s".into(),
        kind,
        persistence: Persistence::Durable,
        changelog: Changelog::Topic(BTreeMap::new()),
        cached: true,
        headers: false,
    }
}

fn context(spec: &StoreSpec) -> StateContext {
    StateContext::new(TaskStores::open(std::slice::from_ref(spec), Box::new(MemoryEngine::new())).unwrap())
}

#[test]
fn counting_a_key_that_is_in_the_cache_allocates_nothing() {
    let spec = spec(StoreKind::TimestampedKeyValue);
    let mut cx = context(&spec);
    let budget = CacheBudget::new(1 << 20);
    let mut store = KeyValue::new(StoreId(0), &spec, serdes::string(), serdes::i64(), &budget);
    let key = "a key of some length".to_owned();
    let mut before = 0;
    for round in 0..100 {
        if round == 2 {
            before = allocations();
        }
        let old = store.take(&mut cx, &key).unwrap().map_or(0, |old| old.value);
        store.put_taken(&mut cx, Some(old + 1), Timestamp::from_millis(round)).unwrap();
        assert!(!store.must_flush());
    }
    assert_eq!(allocations() - before, 0);
    assert_eq!(store.get(&mut cx, &key).unwrap(), Some(&100));
}

#[test]
fn flushing_keys_that_were_flushed_before_allocates_nothing() {
    let shape = WindowShape::new(10, 100_000);
    let spec = spec(StoreKind::TimestampedWindow(shape));
    let mut cx = context(&spec);
    let budget = CacheBudget::new(1 << 20);
    let mut store = WindowStore::new(StoreId(0), &spec, serdes::string(), serdes::i64(), &budget);
    let key = "a key of some length".to_owned();
    let start = Timestamp::from_millis(20);
    let mut before = 0;
    for round in 0..100 {
        if round == 3 {
            before = allocations();
        }
        let old = store.take(&mut cx, &key, start).unwrap().map_or(0, |old| old.value);
        store.put_taken(&mut cx, Some(old + 1), start).unwrap();
        while let Some(mut update) = store.take_dirty(&mut cx, false).unwrap() {
            update.swap_record(&mut cx);
            update.swap_record(&mut cx);
            store.put_back(update);
        }
        cx.changes.clear();
    }
    assert_eq!(allocations() - before, 0);
}
