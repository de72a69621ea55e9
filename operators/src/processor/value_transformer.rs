//! Transformers of a table's values, with state of their own.

use std::sync::Arc;

use millstream_state::error::BoxError;
use millstream_state::model::{Headers, Timestamp};

use super::context::{RecordMetadata, StoreScope, sealed, settle};
use crate::context::Context;
use crate::error::ProcessError;

/// What a value transformer sees of the task it runs in (Kafka Streams' `ProcessorContext` with forwarding disabled): a
/// transformer answers a value and cannot hand on records.
pub struct TransformerContext<'a> {
    cx: &'a mut Context,
    node: &'a Arc<str>,
}

impl sealed::Sealed for TransformerContext<'_> {
    fn context(&mut self) -> &mut Context {
        self.cx
    }
}
impl StoreScope for TransformerContext<'_> {}

impl TransformerContext<'_> {
    /// Where the record being processed comes from; `None` while a join looks the table up.
    pub fn record_metadata(&self) -> Option<RecordMetadata<'_>> {
        let record = &self.cx.state.record;
        let (topic, partition, offset) = (&*record.topic, record.partition, record.offset.number());
        (!topic.is_empty()).then_some(RecordMetadata { topic, partition, offset })
    }

    /// The headers of the record being processed.
    pub fn headers(&self) -> &Headers {
        &self.cx.state.record.headers
    }

    /// The time of the value being transformed.
    pub fn timestamp(&self) -> Timestamp {
        self.cx.state.record.timestamp
    }

    /// The largest timestamp of any record that the task has processed.
    pub fn stream_time(&self) -> Timestamp {
        self.cx.stream_time
    }

    /// The time of day, as the runtime last told it.
    pub fn wall_clock(&self) -> Timestamp {
        self.cx.wall_clock
    }

    /// The node's name.
    pub fn node(&self) -> &str {
        self.node
    }

    /// Asks for a commit after this record.
    pub fn commit(&mut self) {
        self.cx.commit_requested = true;
    }
}

/// Makes a table's values of those of another table (Kafka Streams' `ValueTransformerWithKey`).
///
/// One is made per task, and again after an abort; what must survive belongs in stores. Where a join looks up a table that
/// is not kept, a transformer of its own does so.
pub trait ValueTransformer<K, V, U> {
    /// The value for a key; `None` stands for no value on both sides.
    ///
    /// # Errors
    /// Whatever is to stop the task at this record.
    fn transform(&mut self, cx: &mut TransformerContext<'_>, key: &K, value: Option<&V>)
    -> Result<Option<U>, BoxError>;

    /// Called when the task is closed or goes back to its last commit; not if the process is killed.
    fn close(&mut self) {}
}

impl<F, K, V, U> ValueTransformer<K, V, U> for F
where
    F: FnMut(&mut TransformerContext<'_>, &K, Option<&V>) -> Result<Option<U>, BoxError>,
{
    fn transform(
        &mut self,
        cx: &mut TransformerContext<'_>,
        key: &K,
        value: Option<&V>,
    ) -> Result<Option<U>, BoxError> {
        self(cx, key, value)
    }
}

/// Calls a transformer; answers `None` if it refuses the record and the handler says to go on.
pub(crate) fn call<K, V, U>(
    transformer: &mut impl ValueTransformer<K, V, U>,
    (cx, node): (&mut Context, &Arc<str>),
    key: &K,
    value: Option<&V>,
) -> Result<Option<Option<U>>, ProcessError> {
    match transformer.transform(&mut TransformerContext { cx, node }, key, value) {
        Ok(value) => Ok(Some(value)),
        Err(error) => settle(cx, node, error).map(|()| None),
    }
}
