//! Joins go through aborts, restarts and moves to another machine as if nothing had been: what they commit is what they
//! commit without.
//!
//! ```text
//!  inputs ─▶ chain ─▶ outputs, changelog records ──commit──▶ kept        the rest is forgotten by an abort, and the
//!                                                                        inputs since the last commit come again
//! ```

#![allow(clippy::expect_used, reason = "what fails in a helper fails the test")]

use std::sync::Arc;
use std::time::Duration;

use millstream_operators::context::Context;
use millstream_operators::dsl::*;
use millstream_operators::topology::{Chain, Optimization, SubTopology, TopicRef, TopologySettings};
use millstream_state::commit::{ChangelogMark, Committed};
use millstream_state::context::StateContext;
use millstream_state::engine::MemoryEngine;
use millstream_state::model::{Headers, Offset, Position, RawRecord, RecordContext, Timestamp, TopicId};
use millstream_state::store::{CacheBudget, Persistence, StoreId, TaskStores};
use proptest::prelude::*;

type Text = Option<String>;

#[derive(Clone, Debug)]
struct Input {
    topic: &'static str,
    key: Text,
    value: Text,
    time: i64,
    then: Then,
}

/// What happens after an input.
#[derive(Clone, Copy, Debug)]
enum Then {
    GoOn,
    Commit,
    /// The transaction is aborted; the task goes on where it is.
    Abort,
    /// The task goes on elsewhere, from its changelogs.
    Move,
}

/// A record that was written: the target, the bytes, the time.
type Written = (u32, Option<Vec<u8>>, Option<Vec<u8>>, Option<i64>);

struct Life {
    part: SubTopology,
    budget: CacheBudget,
    chain: Chain,
    cx: Context,
    times: Vec<Timestamp>,
    changelog: Vec<Written>,
    outputs: Vec<Written>,
    open: Vec<Input>,
    commits: u64,
}

fn open(part: &SubTopology) -> Context {
    let stores = TaskStores::open(&part.spec().stores, Box::new(MemoryEngine::new())).expect("memory opens");
    Context::new(StateContext::new(stores))
}

fn written(records: &millstream_state::model::RecordBuffer) -> Vec<Written> {
    let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let written = records.iter().map(|record| {
        (record.meta.target, own(record.key), own(record.value), record.meta.timestamp.map(Timestamp::millis))
    });
    written.collect()
}

impl Life {
    fn new(settings: TopologySettings, program: &dyn Fn(&StreamsBuilder)) -> Self {
        let builder = StreamsBuilder::with_settings(settings);
        program(&builder);
        let topology = builder.build().expect("the topology can run");
        let part = topology.sub_topologies()[0].clone();
        let budget = CacheBudget::new(0);
        let (chain, cx) = (part.chain(&budget), open(&part));
        let (times, changelog, outputs, open) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { part, budget, chain, cx, times, changelog, outputs, open, commits: 0 }
    }

    fn process(&mut self, input: &Input) {
        let reads = |topics: &[TopicRef]| topics.contains(&TopicRef::External(input.topic.into()));
        let source = self.part.spec().sources.iter().position(|source| reads(&source.topics)).expect("it is read");
        let headers = Headers::new();
        let timestamp = Timestamp::from_millis(input.time);
        let raw = RawRecord {
            offset: Offset::new(0),
            timestamp,
            key: input.key.as_ref().map(String::as_bytes),
            value: input.value.as_ref().map(String::as_bytes),
            headers: &headers,
        };
        self.cx.stream_time = self.cx.stream_time.max(timestamp);
        let topic: Arc<str> = input.topic.into();
        self.cx.state.record = RecordContext { topic, timestamp, ..RecordContext::default() };
        self.chain.process(&mut self.cx, source, &raw, timestamp).expect("it is processed");
    }

    fn commit(&mut self) {
        self.commits += 1;
        self.outputs.extend(written(&self.cx.outputs));
        self.changelog.extend(written(&self.cx.state.changes));
        self.cx.outputs.clear();
        self.cx.state.changes.clear();
        self.cx.state.stores.apply(&Committed::testify(self.commits), &[]).expect("memory takes it");
        self.times.clone_from(&self.cx.operator_times);
        self.open.clear();
    }

    fn again(&mut self) {
        self.cx.operator_times.clone_from(&self.times);
        self.chain = self.part.chain(&self.budget);
        for input in self.open.clone() {
            self.process(&input);
        }
    }

    fn abort(&mut self) {
        self.cx.state.stores.rollback();
        self.cx.outputs.clear();
        self.cx.state.changes.clear();
        self.again();
    }

    fn relocate(&mut self) {
        self.cx = open(&self.part);
        for store in (0..self.part.spec().stores.len() as u32).map(StoreId) {
            let headers = Headers::new();
            let records = self.changelog.iter().filter(|(target, ..)| *target == store.0);
            let mut records = records.map(|(_, key, value, time)| RawRecord {
                offset: Offset::new(0),
                timestamp: Timestamp::from_millis(time.unwrap_or(-1)),
                key: key.as_deref(),
                value: value.as_deref(),
                headers: &headers,
            });
            let (position, applied_at) = (Position::new(0), Timestamp::from_millis(0));
            let mark = ChangelogMark { topic: TopicId(1), position, applied_at };
            self.cx.state.stores.restore(store, &mut records, mark).expect("it is restored");
        }
        self.again();
    }

    fn run(mut self, inputs: &[Input], faults: bool) -> (Vec<Written>, Vec<Written>) {
        for input in inputs {
            self.open.push(input.clone());
            self.process(input);
            match input.then {
                Then::GoOn => {}
                Then::Commit => self.commit(),
                Then::Abort if faults => self.abort(),
                Then::Move if faults => self.relocate(),
                Then::Abort | Then::Move => {}
            }
        }
        self.commit();
        (self.outputs, self.changelog)
    }
}

fn inputs(topics: [&'static str; 2]) -> impl Strategy<Value = Vec<Input>> {
    let key = prop_oneof![9 => "[abc]".prop_map(Some), 1 => Just(None)];
    let value = prop_oneof![9 => "[a-z]".prop_map(Some), 1 => Just(None)];
    let step = prop_oneof![6 => 0i64..8, 3 => -40i64..0, 1 => 0i64..200];
    let then =
        prop_oneof![4 => Just(Then::GoOn), 2 => Just(Then::Commit), 1 => Just(Then::Abort), 1 => Just(Then::Move)];
    proptest::collection::vec((any::<bool>(), key, value, step, then), 0..60).prop_map(move |steps| {
        let mut now = 0i64;
        let input = |(left, key, value, step, then): (bool, Text, Text, i64, Then)| {
            let time = (now + step).max(0);
            now = now.max(time);
            Input { topic: topics[usize::from(left)], key, value, time, then }
        };
        steps.into_iter().map(input).collect()
    })
}

fn settings(in_memory: bool) -> TopologySettings {
    TopologySettings {
        outer_join_emit_interval: Duration::ZERO,
        optimization: Optimization { single_store_self_join: true, ..Optimization::NONE },
        dsl_store: if in_memory { Persistence::InMemory } else { Persistence::Durable },
        ..TopologySettings::default()
    }
}

fn show(value: Option<&Text>) -> String {
    value.cloned().flatten().unwrap_or_else(|| "-".into())
}

fn survives(
    inputs: &[Input],
    settings: TopologySettings,
    program: &dyn Fn(&StreamsBuilder),
) -> Result<(), TestCaseError> {
    let wanted = Life::new(settings, program).run(inputs, false);
    prop_assert_eq!(Life::new(settings, program).run(inputs, true), wanted);
    Ok(())
}

fn windows() -> JoinWindows {
    JoinWindows::of_time_difference_and_grace(Duration::from_millis(20), Duration::from_millis(10))
}

proptest! {
    #[test]
    fn an_inner_join(inputs in inputs(["l", "r"]), in_memory in any::<bool>()) {
        survives(&inputs, settings(in_memory), &|b| {
            let (l, r) = (b.stream::<Text, Text>("l"), b.stream::<Text, Text>("r"));
            l.join(&r, |x, y| show(Some(x)) + &show(Some(y)), windows()).to("out");
        })?;
    }

    #[test]
    fn an_outer_join(inputs in inputs(["l", "r"]), in_memory in any::<bool>()) {
        survives(&inputs, settings(in_memory), &|b| {
            let (l, r) = (b.stream::<Text, Text>("l"), b.stream::<Text, Text>("r"));
            l.outer_join(&r, |x, y| show(x) + &show(y), windows()).to("out");
        })?;
    }

    #[test]
    fn a_left_join_of_a_join(inputs in inputs(["l", "r"])) {
        survives(&inputs, settings(false), &|b| {
            let (l, r) = (b.stream::<Text, Text>("l"), b.stream::<Text, Text>("r"));
            let once = l.join(&r, |x, y| Some(show(Some(x)) + &show(Some(y))), windows());
            once.left_join(&r, |x, y| show(Some(x)) + &show(y), windows()).to("out");
        })?;
    }

    #[test]
    fn a_stream_joined_with_itself(inputs in inputs(["l", "l"])) {
        survives(&inputs, settings(false), &|b| {
            let l = b.stream::<Text, Text>("l");
            l.join(&l, |x, y| show(Some(x)) + &show(Some(y)), windows()).to("out");
        })?;
    }

    #[test]
    fn a_join_with_a_table_and_a_grace_period(inputs in inputs(["l", "r"])) {
        survives(&inputs, settings(false), &|b| {
            let kept = Materialized::named("t").versioned(Duration::from_secs(60));
            let r = b.table_with("r", Consumed::<Text, String>::new(), kept);
            let joined = Joined::named("j").grace_period(Duration::from_millis(15));
            let l = b.stream::<Text, Text>("l").filter(|key, _| key.is_some());
            l.left_join_table_with(&r, |_, x, y| show(Some(x)) + y.map_or("-", |y| y), joined).to("out");
        })?;
    }

    #[test]
    fn a_join_with_a_table(inputs in inputs(["l", "r"])) {
        survives(&inputs, settings(false), &|b| {
            let (l, r) = (b.stream::<Text, Text>("l"), b.table::<Text, String>("r"));
            l.left_join_table(&r, |x, y| show(Some(x)) + y.map_or("-", |y| y)).to("out");
        })?;
    }
}
