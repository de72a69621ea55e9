//! The end of a chain: encodes records into the task's outputs, for a sink or a repartition topic.

use std::sync::Arc;

use millstream_state::model::{RecordContext, RecordMeta};
use millstream_state::serdes::{Serde, SerdeRef};

use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Process, Record};

/// Chooses the partition of a record, given the number of partitions; `None` leaves it to the key's hash.
pub(crate) type Partitioner<K, V> = Arc<dyn Fn(&K, &V, i32) -> Option<i32> + Send + Sync>;

/// Chooses the topic of a record.
pub(crate) type TopicChooser<K, V> = Arc<dyn Fn(&K, &V, &RecordContext) -> Arc<str> + Send + Sync>;

/// What an outlet needs to know; shared by the chains of all tasks.
pub(crate) struct OutletSettings<K, V> {
    /// The sink's name.
    pub(crate) node: Arc<str>,
    pub(crate) key: SerdeRef<K>,
    pub(crate) value: SerdeRef<V>,
    pub(crate) partitioner: Option<Partitioner<K, V>>,
    /// Chooses the topic, where it is not fixed.
    pub(crate) topic: Option<TopicChooser<K, V>>,
}

/// The node of [`KStream::to`](crate::dsl::KStream::to) and of a repartition topic's writing side.
pub(crate) struct Outlet<K, V> {
    settings: Arc<OutletSettings<K, V>>,
    sink: u32,
    /// Whether records with a null key end here unseen, as they do on the way to a repartition topic.
    skip_null_keys: bool,
}

impl<K, V> Outlet<K, V> {
    /// Writes to the sink of this index.
    pub(crate) fn new(settings: Arc<OutletSettings<K, V>>, sink: u32) -> Self {
        Self { settings, sink, skip_null_keys: false }
    }

    /// Drops records with a null key.
    pub(crate) fn skip_null_keys(self, skip: bool) -> Self {
        Self { skip_null_keys: skip, ..self }
    }
}

impl<K, V> Process<K, V> for Outlet<K, V> {
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        let settings = &*self.settings;
        if self.skip_null_keys && settings.key.is_null(record.key) {
            return Ok(());
        }
        let partition = settings.partitioner.as_ref().and_then(|choose| {
            let partitions = cx.sink_partitions.get(self.sink as usize).copied().unwrap_or(1);
            choose(record.key, record.value, partitions)
        });
        if let Some(choose) = &settings.topic {
            let topic = choose(record.key, record.value, &cx.state.record);
            cx.dynamic_topics.push((cx.outputs.len(), topic));
        }
        let meta = RecordMeta { target: self.sink, partition, timestamp: Some(record.timestamp) };
        let appended = cx.outputs.append_with(
            meta,
            record.headers,
            |out| encode(settings, "key", &*settings.key, record.key, out),
            |out| encode(settings, "value", &*settings.value, record.value, out),
        );
        if appended.is_err() && settings.topic.is_some() {
            cx.dynamic_topics.pop();
        }
        appended
    }
}

fn encode<K, V, T>(
    settings: &OutletSettings<K, V>,
    what: &'static str,
    serde: &dyn Serde<T>,
    value: &T,
    out: &mut Vec<u8>,
) -> Result<bool, ProcessError> {
    if serde.is_null(value) {
        return Ok(false);
    }
    match serde.encode(value, out) {
        Ok(()) => Ok(true),
        Err(source) => Err(ProcessError::Encode { node: settings.node.clone(), what, source }),
    }
}
