//! Aborted transactions and crashes: what a program says is what it says without them, record for record.
//!
//! ```text
//!  record → chain → (commit: outputs and changelogs are kept) → record → (abort: back to the commit, a new chain) →
//!         → (crash: stores from their disk or from their changelogs, times from the commit) → …
//! ```
//! Were anything kept in the chain alone, or in a buffer that does not roll back, the two would differ.

use std::sync::Arc;

use millstream::operators::context::Context;
use millstream::operators::topology::Chain;
use millstream::prelude::*;
use millstream::state::commit::{ChangelogMark, Committed};
use millstream::state::context::StateContext;
use millstream::state::engine::{MemoryStorage, Storage};
use millstream::state::model::{Headers, Offset, Position, RawRecord, RecordContext, TopicId};
use millstream::state::store::{CacheBudget, Persistence, StoreId, TaskStores};
use rand::Rng;
use rand::rngs::SmallRng;

use super::{Event, ms, with_seeds};

/// A record as it was written: key, value, timestamp, headers.
type Logged = (Option<Vec<u8>>, Option<Vec<u8>>, Option<Timestamp>, Headers);

/// A task whose transactions the test decides about.
struct Bench {
    topology: Topology,
    storage: MemoryStorage,
    cx: Context,
    chain: Chain,
    /// What the last commit has settled.
    times: Vec<Timestamp>,
    changelogs: Vec<Vec<Logged>>,
    outputs: Vec<Logged>,
    commits: u64,
}

impl Bench {
    fn new(topology: Topology) -> Self {
        let storage = MemoryStorage::new();
        let specs = topology.sub_topologies()[0].spec().stores.clone();
        let stores = TaskStores::open(&specs, storage.open("t").unwrap()).unwrap();
        let chain = topology.sub_topologies()[0].chain(&CacheBudget::new(0));
        let changelogs = vec![Vec::new(); specs.len()];
        let cx = Context::new(StateContext::new(stores));
        Self { topology, storage, cx, chain, times: Vec::new(), changelogs, outputs: Vec::new(), commits: 0 }
    }

    fn process(&mut self, offset: usize, event: Event) {
        let (timestamp, offset) = (Timestamp::from_millis(event.time), Offset::new(offset as i64));
        let mut headers = Headers::new();
        headers.add("h", Some(event.value.to_be_bytes().to_vec().into()));
        let (key, value) = (event.key.as_bytes(), event.value.to_be_bytes());
        let record = RawRecord { offset, timestamp, key: Some(key), value: Some(&value), headers: &headers };
        let topic: Arc<str> = "in".into();
        self.cx.state.record = RecordContext { topic, partition: 0, offset, timestamp, headers: headers.clone() };
        self.cx.stream_time = self.cx.stream_time.max(timestamp);
        self.chain.process(&mut self.cx, 0, &record, timestamp).unwrap();
    }

    fn commit(&mut self) {
        self.chain.flush(&mut self.cx).unwrap();
        let bytes = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        for record in self.cx.state.changes.iter() {
            let logged = (bytes(record.key), bytes(record.value), record.meta.timestamp, record.headers.clone());
            self.changelogs[record.meta.target as usize].push(logged);
        }
        for record in self.cx.outputs.iter() {
            self.outputs.push((bytes(record.key), bytes(record.value), record.meta.timestamp, record.headers.clone()));
        }
        self.cx.state.changes.clear();
        self.cx.outputs.clear();
        self.commits += 1;
        self.cx.state.stores.apply(&Committed::testify(self.commits), &[]).unwrap();
        self.times.clone_from(&self.cx.operator_times);
    }

    fn abort(&mut self) {
        self.cx.state.stores.rollback();
        self.cx.state.changes.clear();
        self.cx.outputs.clear();
        self.chain = self.topology.sub_topologies()[0].chain(&CacheBudget::new(0));
        self.cx.operator_times.clone_from(&self.times);
    }

    fn crash(&mut self, loses_disk: bool) {
        let specs = self.topology.sub_topologies()[0].spec().stores.clone();
        let placeholder = TaskStores::open(&specs, MemoryStorage::new().open("t").unwrap()).unwrap();
        drop(std::mem::replace(&mut self.cx.state.stores, placeholder));
        if loses_disk {
            self.storage = MemoryStorage::new();
        }
        let mut stores = TaskStores::open(&specs, self.storage.open("t").unwrap()).unwrap();
        for (index, spec) in specs.iter().enumerate() {
            if loses_disk || spec.persistence == Persistence::InMemory {
                self.restore(&mut stores, index);
            }
        }
        self.cx = Context::new(StateContext::new(stores));
        self.chain = self.topology.sub_topologies()[0].chain(&CacheBudget::new(0));
        self.cx.operator_times.clone_from(&self.times);
    }

    fn restore(&self, stores: &mut TaskStores, index: usize) {
        let records = &self.changelogs[index];
        let mut raw = records.iter().enumerate().map(|(at, (key, value, timestamp, headers))| RawRecord {
            offset: Offset::new(at as i64),
            timestamp: timestamp.unwrap_or(Timestamp::UNKNOWN),
            key: key.as_deref(),
            value: value.as_deref(),
            headers,
        });
        let position = Position::new(records.len() as i64);
        let mark = ChangelogMark { topic: TopicId(1), position, applied_at: Timestamp::from_millis(0) };
        stores.restore(StoreId(index as u32), &mut raw, mark).unwrap();
    }
}

/// What a program writes, with aborts and crashes or without.
fn outputs(topology: Topology, events: &[Event], mut faults: Option<&mut SmallRng>) -> Vec<Logged> {
    let mut bench = Bench::new(topology);
    let (mut at, mut committed) = (0, 0);
    while at < events.len() {
        bench.process(at, events[at]);
        at += 1;
        let Some(rng) = faults.as_deref_mut() else { continue };
        match rng.random_range(0..12) {
            0..3 => {
                bench.commit();
                committed = at;
            }
            3 => {
                bench.abort();
                at = committed;
            }
            4 => {
                bench.crash(rng.random_bool(0.5));
                at = committed;
            }
            _ => {}
        }
    }
    bench.commit();
    bench.outputs
}

/// Compares a program with itself under faults.
fn survives(program: impl Fn(&mut SmallRng, &StreamsBuilder, KStream<String, i64>)) {
    with_seeds(15, 60, |rng, events| {
        let settings = TopologySettings { window_close_emit_interval: ms(0), ..TopologySettings::default() };
        let builder = StreamsBuilder::with_settings(settings);
        program(rng, &builder, builder.stream::<String, i64>("in"));
        let topology = builder.build().unwrap();
        let should = outputs(topology.clone(), events, None);
        assert_eq!(outputs(topology, events, Some(rng)), should);
    });
}

fn sum(_: &String, value: &i64, sum: i64) -> i64 {
    sum + value
}

fn labelled(table: &KTable<Windowed<String>, i64>) {
    let label =
        |key: &Windowed<String>, _: &Option<i64>| format!("{}@{}-{}", key.key, key.window.start, key.window.end);
    table.to_stream_with_key(label).to("out");
}

fn time_windows(rng: &mut SmallRng) -> TimeWindows {
    let (size, grace) = (rng.random_range(1..50), rng.random_range(0..60));
    TimeWindows::of_size_and_grace(ms(size), ms(grace)).advance_by(ms(rng.random_range(1..=size)))
}

fn sessions(rng: &mut SmallRng) -> SessionWindows {
    SessionWindows::of_inactivity_gap_and_grace(ms(rng.random_range(1..30)), ms(rng.random_range(0..60)))
}

fn sliding(rng: &mut SmallRng) -> SlidingWindows {
    SlidingWindows::of_time_difference_and_grace(ms(rng.random_range(1..40)), ms(rng.random_range(0..60)))
}

fn strategy(rng: &mut SmallRng) -> EmitStrategy {
    if rng.random_bool(0.5) { EmitStrategy::OnWindowClose } else { EmitStrategy::OnWindowUpdate }
}

#[test]
fn time_windows_survive() {
    survives(|rng, _, stream| {
        let windows = stream.group_by_key().windowed_by(time_windows(rng)).emit_strategy(strategy(rng));
        labelled(&windows.aggregate(|| 0, sum, Materialized::named("w")));
    });
}

#[test]
fn sliding_windows_survive() {
    survives(|rng, _, stream| {
        let windows = stream.group_by_key().windowed_by(sliding(rng)).emit_strategy(strategy(rng));
        labelled(&windows.aggregate(|| 0, sum, Materialized::named("w")));
    });
}

#[test]
fn sessions_survive_on_disk_and_in_memory() {
    survives(|rng, _, stream| {
        let windows = stream.group_by_key().windowed_by(sessions(rng)).emit_strategy(strategy(rng));
        let kept = Materialized::named("s");
        let kept = if rng.random_bool(0.5) { kept.in_memory() } else { kept };
        labelled(&windows.aggregate(|| 0, sum, |_, one, other| one + other, kept));
    });
}

#[test]
fn cogroups_survive() {
    survives(|rng, _, stream| {
        let (adds, takes) = (stream.group_by_key(), stream.group_by_key());
        let both = adds.cogroup(sum).cogroup(&takes, |_, value, sum| (value % 3 != 0).then(|| sum - 2 * value));
        labelled(&both.windowed_by(time_windows(rng)).aggregate(|| 0, Materialized::named("w")));
    });
}

#[test]
fn a_suppression_until_windows_close_survives() {
    survives(|rng, _, stream| {
        let closed = Suppressed::until_window_closes(BufferConfig::unbounded()).name("sup");
        let counts = stream.group_by_key().windowed_by(time_windows(rng)).count(Materialized::named("w"));
        labelled(&counts.suppress(closed));
    });
}

#[test]
fn a_suppression_until_sessions_close_survives() {
    survives(|rng, _, stream| {
        let closed = Suppressed::until_window_closes(BufferConfig::unbounded()).name("sup");
        let counts = stream.group_by_key().windowed_by(sessions(rng)).count(Materialized::named("s"));
        labelled(&counts.suppress(closed));
    });
}

#[test]
fn a_suppression_with_a_time_limit_and_little_room_survives() {
    survives(|rng, _, stream| {
        let buffer = BufferConfig::max_records(rng.random_range(1..4)).emit_early_when_full();
        let seldom = Suppressed::until_time_limit(ms(rng.random_range(0..60)), buffer).name("sup");
        stream.group_by_key().count(Materialized::named("c")).suppress(seldom).to_stream().to("out");
    });
}
