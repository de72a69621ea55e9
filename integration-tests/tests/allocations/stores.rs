//! The hot path of an aggregation must not ask for memory.

#![allow(unsafe_code, reason = "a counting allocator cannot be written without it")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;

use millstream_state::context::StateContext;
use millstream_state::engine::MemoryEngine;
use millstream_state::model::Timestamp;
use millstream_state::serdes;
use millstream_state::store::{
    CacheBudget, Changelog, KeyValue, Persistence, StoreId, StoreKind, StoreSpec, TaskStores, WindowShape, WindowStore,
};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system allocator as it is; counting touches no memory of the caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the memory came from `alloc` above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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
            before = ALLOCATIONS.with(Cell::get);
        }
        let old = store.take(&mut cx, &key).unwrap().map_or(0, |old| old.value);
        store.put_taken(&mut cx, Some(old + 1), Timestamp::from_millis(round)).unwrap();
        assert!(!store.must_flush());
    }
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
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
            before = ALLOCATIONS.with(Cell::get);
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
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
}
