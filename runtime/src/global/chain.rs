//! The operators that fill the global stores.

use std::sync::Arc;

use millstream_operators::context::Context;
use millstream_operators::error::ProcessError;
use millstream_operators::topology::{Chain, SubTopology};
use millstream_state::model::{RawRecord, RecordContext, Timestamp};
use millstream_state::store::CacheBudget;

/// The operators of all global stores. They write to the stores and nowhere else.
pub(crate) struct GlobalChain {
    chain: Chain,
    /// The highest time seen, by source and partition.
    times: std::collections::BTreeMap<(usize, i32), Timestamp>,
}

impl GlobalChain {
    /// Global stores are never cached: what is written must be seen by others.
    pub(crate) fn new(global: &SubTopology) -> Self {
        Self { chain: global.chain(&CacheBudget::new(0)), times: std::collections::BTreeMap::new() }
    }

    /// Processes a record of the source number `source`, of this topic and partition.
    pub(crate) fn process(
        &mut self,
        cx: &mut Context,
        source: usize,
        (topic, partition): (&Arc<str>, i32),
        record: &RawRecord<'_>,
    ) -> Result<(), ProcessError> {
        self.chain.init(cx)?;
        let highest = self.times.entry((source, partition)).or_insert(Timestamp::UNKNOWN);
        let timestamp = self.chain.timestamp(source, record, *highest)?;
        *highest = timestamp.max(*highest);
        cx.stream_time = cx.stream_time.max(timestamp);
        let (topic, offset, headers) = (topic.clone(), record.offset, record.headers.clone());
        cx.state.record = RecordContext { topic, partition, offset, timestamp, headers };
        self.chain.process(cx, source, record, timestamp)
    }

    /// Drops what such operators cannot have: changelog records, outputs.
    pub(crate) fn finish(&mut self, cx: &mut Context) {
        cx.state.changes.clear();
        cx.outputs.clear();
        cx.dynamic_topics.clear();
    }
}
