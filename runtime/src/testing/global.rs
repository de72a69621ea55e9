//! The global stores under test: records are applied at once.

use std::collections::HashMap;
use std::sync::Arc;

use millstream_operators::context::Context;
use millstream_operators::global::Globals;
use millstream_operators::topology::Topology;
use millstream_state::commit::Committed;
use millstream_state::context::StateContext;
use millstream_state::model::{Offset, RawRecord, Timestamp, TopicPartition};
use millstream_state::store::{StoreSpec, TaskStores};

use super::{RawTestRecord, TestConfig, TestError};
use crate::global::GlobalChain;

/// What fills the global stores.
pub(super) struct GlobalUnit {
    chain: GlobalChain,
    globals: Globals,
    /// The source of each topic.
    sources: HashMap<Arc<str>, usize>,
    specs: Vec<StoreSpec>,
    commits: u64,
}

impl GlobalUnit {
    pub(super) fn open(topology: &Topology, config: &TestConfig) -> Result<Option<Self>, TestError> {
        let Some(global) = topology.global() else { return Ok(None) };
        let spec = global.spec();
        let engine =
            config.storage.open("global").map_err(|source| TestError::Open { sub_topology: spec.id, source })?;
        let mut cx = Context::new(StateContext::new(TaskStores::open(&spec.stores, engine)?));
        cx.wall_clock = config.wall_clock;
        let globals = Globals::default();
        globals.fill(cx);
        let sources = spec.sources.iter().enumerate();
        let sources = sources.flat_map(|(index, source)| source.topics.iter().map(move |topic| (topic, index)));
        let sources = sources.map(|(topic, index)| (topic.full_name(&config.application_id), index)).collect();
        let chain = GlobalChain::new(global);
        Ok(Some(Self { chain, globals, sources, specs: spec.stores.clone(), commits: 0 }))
    }

    pub(super) fn globals(&self) -> &Globals {
        &self.globals
    }

    pub(super) fn specs(&self) -> &[StoreSpec] {
        &self.specs
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = &str> {
        self.sources.keys().map(|topic| &**topic)
    }

    /// Applies a record, if its topic is one of these.
    pub(super) fn apply(
        &mut self,
        TopicPartition { topic, partition }: &TopicPartition,
        offset: i64,
        record: &RawTestRecord,
    ) -> Result<(), TestError> {
        let Some(&source) = self.sources.get(topic) else { return Ok(()) };
        self.commits += 1;
        let (chain, proof) = (&mut self.chain, Committed::testify(self.commits));
        let raw = RawRecord {
            offset: Offset::new(offset),
            timestamp: record.timestamp.unwrap_or(Timestamp::UNKNOWN),
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &record.headers,
        };
        let applied = self.globals.write(|cx| {
            chain.process(cx, source, (topic, *partition), &raw).map_err(|source| TestError::Global {
                topic: topic.to_string(),
                offset,
                source: Box::new(source),
            })?;
            chain.finish(cx);
            Ok(cx.state.stores.apply(&proof, &[])?)
        });
        // The stores were opened before anything could be applied to them.
        applied.unwrap_or(Ok(()))
    }
}
