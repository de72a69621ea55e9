//! How often the path of a record asks for memory: never in the chain, and no more than stated with stores and commits.
//!
//! Counts are the same on every machine, so that a path which has become dearer is noticed where seconds would not show.

#![allow(unsafe_code, reason = "a counting allocator cannot be written without it")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod stores;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use millstream::operators::topology::Topology;
use millstream::prelude::*;
use millstream::state::engine::{RocksSettings, RocksStorage, Storage as _};
use millstream_integration_tests::alone::{Alone, Fed};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
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

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

const KEYS: i64 = 100;
const BATCH: i64 = 1_000;

/// The task, with RocksDB below it in a directory that must outlive it.
fn alone(folder: &tempfile::TempDir, topology: Topology) -> Alone {
    let storage = RocksStorage::new(folder.path(), &RocksSettings::default());
    Alone::new(topology, storage.open("0_0").unwrap(), 10 << 20).unwrap()
}

fn numbers(from: i64) -> Vec<Fed> {
    (from..from + BATCH).map(|n| ((n % KEYS).to_be_bytes().to_vec(), n.to_be_bytes().to_vec(), n)).collect()
}

/// As the benches' records: keys of 12 bytes, values of 100.
fn texts(from: i64) -> Vec<Fed> {
    (from..from + BATCH).map(|n| (format!("key-{:08}", n % KEYS).into_bytes(), vec![b'a'; 100], n * 10)).collect()
}

/// The same with keys that come once.
fn new_keys(from: i64) -> Vec<Fed> {
    (from..from + BATCH).map(|n| (format!("key-{n:08}").into_bytes(), vec![b'a'; 100], n * 10)).collect()
}

#[test]
fn map_and_filter_of_fixed_size_types_allocate_nothing_from_record_to_output() {
    let builder = StreamsBuilder::new();
    let doubled = builder.stream::<i64, i64>("in").map_values(|value| value * 2).filter(|_, value| *value >= 0);
    doubled.map(|key, value| (*key, *value)).to("out");
    let folder = tempfile::tempdir().unwrap();
    let mut alone = alone(&folder, builder.build().unwrap());
    assert_eq!(measure(&mut alone), 0);
    assert_eq!(alone.sent() as i64, 23 * BATCH);
}

#[test]
fn map_filter_and_count_of_fixed_size_types_allocate_nothing_from_record_to_store_changelog_and_output() {
    for cached in [true, false] {
        let builder = StreamsBuilder::new();
        let doubled = builder.stream::<i64, i64>("in").map_values(|value| value * 2).filter(|_, value| *value >= 0);
        let counts = doubled.group_by_key().count(Materialized::named("counts").caching(cached));
        counts.to_stream().to("out");
        let folder = tempfile::tempdir().unwrap();
        let mut alone = alone(&folder, builder.build().unwrap());
        assert_eq!(measure(&mut alone), 0, "cached: {cached}");
        alone.commit().unwrap();
        // With the cache each key once a commit, else every record; to the output and to the changelog.
        let expected = if cached { 2 * KEYS } else { 23 * BATCH };
        assert_eq!(alone.sent() as i64, 2 * expected, "cached: {cached}");
    }
}

/// Allocations for ten batches whose keys the transaction has seen before.
fn measure(alone: &mut Alone) -> u64 {
    // Buffers grow to the size that a transaction needs, in the transaction before.
    for round in 0..12 {
        alone.feed(numbers(round * BATCH));
        assert_eq!(alone.process().unwrap() as i64, BATCH);
    }
    alone.commit().unwrap();
    alone.feed(numbers(0));
    alone.process().unwrap();
    (1..=10).for_each(|round| alone.feed(numbers(round * BATCH)));
    let before = allocations();
    assert_eq!(alone.process().unwrap() as i64, 10 * BATCH);
    allocations() - before
}

/// Allocations of twenty transactions of a thousand records: process, flush, send, write to RocksDB.
fn transactions(topology: Topology, batch: impl Fn(i64) -> Vec<Fed>, table: bool) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let mut alone = alone(&folder, topology);
    let mut allocated = 0;
    for round in 0..TRANSACTIONS + 5 {
        if table {
            alone.feed_to(1, batch(round * BATCH));
        }
        alone.feed(batch(round * BATCH));
        let before = allocations();
        alone.process().unwrap();
        alone.commit().unwrap();
        // The first transactions find out how much room they need.
        allocated += if round < 5 { 0 } else { allocations() - before };
    }
    allocated
}

const TRANSACTIONS: i64 = 20;

fn topology(build: impl Fn(&KStream<String, String>)) -> Topology {
    let builder = StreamsBuilder::new();
    build(&builder.stream::<String, String>("in"));
    builder.build().unwrap()
}

/// Allocations in twenty transactions, `per_record` of them for each record. What is left over is for the transaction, two
/// or three where there is no window.
fn assert_allocations(what: &str, found: u64, per_record: i64, left_over: u64) {
    let of_records = (per_record * BATCH * TRANSACTIONS) as u64;
    let expected = of_records + left_over;
    println!("{what}: {found}, {of_records} of them for records");
    // Far fewer than expected is wrong as well: then the bound is loose and notices nothing.
    let close = (expected - left_over / 4)..=(expected + left_over / 4);
    assert!(
        close.contains(&found),
        "{what}: {found} allocations in {TRANSACTIONS} transactions, expected were {expected}"
    );
}

#[test]
fn a_transaction_without_a_store_allocates_what_the_program_asks_for() {
    let copy = topology(|input| input.to("out"));
    assert_allocations("copy", transactions(copy, texts, false), 0, 40);
    // The value that the program makes, in two steps: `format!` does not know its length.
    let passthrough = topology(|input| input.map_values(|value| format!("{value}!")).to("out"));
    assert_allocations("passthrough", transactions(passthrough, texts, false), 2, 40);
    // The three words, and three keys cloned from them.
    let words = topology(|input| {
        let words = input.flat_map_values(|_| ["one", "two", "three"].map(String::from));
        words.group_by(|_, word| word.clone()).count(Materialized::named("words")).to_stream().to("out");
    });
    assert_allocations("words, to be repartitioned", transactions(words, texts, false), 6, 40);
}

#[test]
fn a_transaction_with_stores_allocates_no_more_than_before() {
    let count = |cached: bool| {
        topology(move |input| {
            input.group_by_key().count(Materialized::named("counts").caching(cached)).to_stream().to("out");
        })
    };
    assert_allocations("count", transactions(count(true), texts, false), 0, 40);
    assert_allocations("count without a cache", transactions(count(false), texts, false), 0, 40);
    // The key, which the cache keeps. The rest is once: copies of rows turn out not to be worth it, are dropped, and those of
    // a sample are begun.
    assert_allocations("count of keys that are new", transactions(count(true), new_keys, false), 1, 57);
    // Windows lie in column families of the database, and every sixth transaction begins a new one.
    let windows = topology(|input| {
        let windows = TimeWindows::of_size_and_grace(Duration::from_secs(60), Duration::from_secs(10));
        input.group_by_key().windowed_by(windows).count(Materialized::named("windows")).to_stream().to("out");
    });
    assert_allocations("windowed count", transactions(windows, texts, false), 0, 601);
    // The value that the program clones.
    let reduce = topology(|input| {
        input.group_by_key().reduce(|_, new| new.clone(), Materialized::named("last")).to_stream().to("out");
    });
    assert_allocations("reduce of texts", transactions(reduce, texts, false), 1, 40);
    // The value that goes into the table, and two for the text that the program makes.
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, String>("table");
    let stream = builder.stream::<String, String>("in");
    stream.join_table(&table, |left, right| format!("{left}{right}")).to("out");
    assert_allocations("join with a table", transactions(builder.build().unwrap(), texts, true), 3, 40);
}
