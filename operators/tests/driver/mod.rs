//! Runs a topology by hand: one task per sub-topology, on the memory engine, with repartition topics in between.

#![allow(clippy::expect_used, reason = "a failure here is to stop the test")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::VecDeque;

use bytes::Bytes;
use millstream_operators::context::{Context, Dropped};
use millstream_operators::dsl::StreamsBuilder;
use millstream_operators::error::ProcessError;
use millstream_operators::topology::{Chain, SubTopologySpec, TopicRef, TopologySettings};
use millstream_state::context::StateContext;
use millstream_state::engine::MemoryEngine;
use millstream_state::model::{Headers, Offset, RawRecord, RecordContext, Timestamp};
use millstream_state::serdes::DefaultSerde;
use millstream_state::store::{CacheBudget, TaskStores};

/// A record in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// Where it was written; internal topics go by their short name.
    pub(crate) topic: String,
    /// The key's bytes.
    pub(crate) key: Option<Vec<u8>>,
    /// The value's bytes.
    pub(crate) value: Option<Vec<u8>>,
    /// Its time.
    pub(crate) timestamp: i64,
    /// Its headers.
    pub(crate) headers: Headers,
    /// What a partitioner chose.
    pub(crate) partition: Option<i32>,
}

struct Task {
    spec: SubTopologySpec,
    chain: Chain,
    cx: Context,
}

/// The tasks of a topology.
pub(crate) struct Driver {
    tasks: Vec<Task>,
    written: Vec<Written>,
}

/// The bytes of a value of a type with a serde.
pub(crate) fn bytes<T: DefaultSerde>(value: &T) -> Option<Vec<u8>> {
    let serde = T::serde();
    if serde.is_null(value) {
        return None;
    }
    let mut out = Vec::new();
    serde.encode(value, &mut out).expect("it has an encoding");
    Some(out)
}

/// The value of these bytes.
pub(crate) fn value<T: DefaultSerde>(bytes: Option<&[u8]>) -> T {
    T::serde().decode(bytes).expect("bytes of this type")
}

impl Driver {
    /// The program without a record cache.
    pub(crate) fn new(program: impl FnOnce(&StreamsBuilder)) -> Self {
        Self::cached(0, program)
    }

    /// The program with a record cache of this size, flushed by [`Driver::commit`].
    pub(crate) fn cached(cache: usize, program: impl FnOnce(&StreamsBuilder)) -> Self {
        Self::open(cache, &StreamsBuilder::new(), program)
    }

    /// The program without a record cache, with these settings.
    pub(crate) fn with_settings(settings: TopologySettings, program: impl FnOnce(&StreamsBuilder)) -> Self {
        Self::open(0, &StreamsBuilder::with_settings(settings), program)
    }

    fn open(cache: usize, builder: &StreamsBuilder, program: impl FnOnce(&StreamsBuilder)) -> Self {
        program(builder);
        let topology = builder.build().expect("the topology can run");
        let budget = CacheBudget::new(cache);
        let open = |part: &millstream_operators::topology::SubTopology| {
            let spec = part.spec().clone();
            let stores = TaskStores::open(&spec.stores, Box::new(MemoryEngine::new())).expect("memory opens");
            let mut cx = Context::new(StateContext::new(stores));
            cx.sink_partitions = vec![4; spec.sinks.len()];
            Task { chain: part.chain(&budget), cx, spec }
        };
        Self { tasks: topology.sub_topologies().iter().map(open).collect(), written: Vec::new() }
    }

    /// Processes one record to the end, through repartition topics too.
    pub(crate) fn pipe<K: DefaultSerde, V: DefaultSerde>(&mut self, topic: &str, key: K, value: V, timestamp: i64) {
        self.try_pipe(topic, (bytes(&key), bytes(&value)), timestamp, &Headers::new()).expect("it is processed");
    }

    /// As [`Driver::pipe`], with bytes and headers, and with what went wrong.
    pub(crate) fn try_pipe(
        &mut self,
        topic: &str,
        (key, value): (Option<Vec<u8>>, Option<Vec<u8>>),
        timestamp: i64,
        headers: &Headers,
    ) -> Result<(), ProcessError> {
        let (topic, headers) = (topic.to_owned(), headers.clone());
        let mut waiting = VecDeque::from([Written { topic, key, value, timestamp, headers, partition: None }]);
        while let Some(record) = waiting.pop_front() {
            for index in 0..self.tasks.len() {
                self.tasks[index].process(&record)?;
                waiting.extend(self.collect(index));
            }
        }
        Ok(())
    }

    /// Flushes the caches, as a commit does.
    pub(crate) fn commit(&mut self) {
        for index in 0..self.tasks.len() {
            let Task { chain, cx, .. } = &mut self.tasks[index];
            chain.flush(cx).expect("it flushes");
            self.collect(index);
        }
    }

    /// Commits again and again until nothing comes out any more, and processes what went into repartition topics.
    #[allow(dead_code, reason = "not every test program has topics in between")]
    pub(crate) fn settle(&mut self) {
        loop {
            let mut waiting = VecDeque::new();
            for index in 0..self.tasks.len() {
                let Task { chain, cx, .. } = &mut self.tasks[index];
                chain.flush(cx).expect("it flushes");
                waiting.extend(self.collect(index));
            }
            if waiting.is_empty() {
                return;
            }
            while let Some(record) = waiting.pop_front() {
                for index in 0..self.tasks.len() {
                    self.tasks[index].process(&record).expect("it is processed");
                    waiting.extend(self.collect(index));
                }
            }
        }
    }

    fn collect(&mut self, index: usize) -> Vec<Written> {
        let written = self.tasks[index].take();
        self.written.extend(written.iter().cloned());
        written
    }

    /// What was written to this topic since the last call, with its time.
    pub(crate) fn read<K: DefaultSerde, V: DefaultSerde>(&mut self, topic: &str) -> Vec<(K, V, i64)> {
        self.read_raw(topic)
            .into_iter()
            .map(|record| (value(record.key.as_deref()), value(record.value.as_deref()), record.timestamp))
            .collect()
    }

    /// What was written to this topic since the last call.
    pub(crate) fn read_raw(&mut self, topic: &str) -> Vec<Written> {
        let (read, rest) = std::mem::take(&mut self.written).into_iter().partition(|record| record.topic == topic);
        self.written = rest;
        read
    }

    /// How many records were dropped, over all tasks.
    pub(crate) fn dropped(&self) -> Dropped {
        self.tasks.iter().fold(Dropped::default(), |sum, task| Dropped {
            null: sum.null + task.cx.dropped.null,
            late: sum.late + task.cx.dropped.late,
            timestamp: sum.timestamp + task.cx.dropped.timestamp,
        })
    }

    /// The names and values of the times that operators keep, over all tasks.
    pub(crate) fn operator_times(&self) -> Vec<(String, i64)> {
        let times = |task: &Task| {
            let slots = task.chain.operator_slots().iter().map(|slot| slot.to_string());
            slots.zip(task.cx.operator_times.iter().map(|time| time.millis())).collect::<Vec<_>>()
        };
        self.tasks.iter().flat_map(times).collect()
    }
}

fn name(topic: &TopicRef) -> &str {
    let (TopicRef::External(name) | TopicRef::Internal(name)) = topic;
    name
}

impl Task {
    fn process(&mut self, record: &Written) -> Result<(), ProcessError> {
        let reads = |topics: &[TopicRef]| topics.iter().any(|topic| name(topic) == record.topic);
        let Some(source) = self.spec.sources.iter().position(|source| reads(&source.topics)) else { return Ok(()) };
        let raw = RawRecord {
            offset: Offset::new(0),
            timestamp: Timestamp::from_millis(record.timestamp),
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &record.headers,
        };
        let timestamp = self.chain.timestamp(source, &raw, self.cx.stream_time)?;
        self.cx.stream_time = self.cx.stream_time.max(timestamp);
        self.cx.state.record = RecordContext {
            topic: record.topic.as_str().into(),
            partition: 0,
            offset: raw.offset,
            timestamp,
            headers: record.headers.clone(),
        };
        self.chain.process(&mut self.cx, source, &raw, timestamp)
    }

    fn take(&mut self) -> Vec<Written> {
        let written = self.cx.outputs.iter().enumerate().map(|(index, record)| {
            let sink = &self.spec.sinks[record.meta.target as usize];
            let chosen = self.cx.dynamic_topics.iter().find(|(at, _)| *at == index).map(|(_, topic)| &**topic);
            Written {
                topic: sink.topic.as_ref().map(name).or(chosen).expect("a topic").to_owned(),
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                timestamp: record.meta.timestamp.expect("sinks set a time").millis(),
                headers: record.headers.clone(),
                partition: record.meta.partition,
            }
        });
        let written = written.collect();
        self.cx.outputs.clear();
        self.cx.dynamic_topics.clear();
        self.cx.state.changes.clear();
        written
    }
}

/// Headers with one entry.
pub(crate) fn header(name: &str, text: &'static str) -> Headers {
    let mut headers = Headers::new();
    headers.add(name, Some(Bytes::from_static(text.as_bytes())));
    headers
}
