//! The beginning of a chain: decodes records of a stream's topics into slots whose memory is used again.

use std::sync::Arc;

use millstream_state::error::SerdeError;
use millstream_state::model::{Headers, RawRecord, Timestamp};
use millstream_state::serdes::SerdeRef;

use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Children, Record};
use crate::topology::chain::Inlet;

/// An input record as a timestamp extractor sees it.
#[derive(Clone, Copy, Debug)]
pub struct SourceRecord<'a, K, V> {
    /// The key.
    pub key: &'a K,
    /// The value.
    pub value: &'a V,
    /// The record's own timestamp; it may be negative.
    pub timestamp: Timestamp,
    /// The highest timestamp extracted from this partition so far; [`Timestamp::UNKNOWN`] at first.
    pub partition_time: Timestamp,
    /// The record's headers.
    pub headers: &'a Headers,
}

/// Where the time of a record comes from.
pub(crate) enum TimeSource<K, V> {
    /// The record's own timestamp; a negative one is an error.
    Fail,
    /// The record's own timestamp; with a negative one the record is dropped.
    Skip,
    /// The record's own timestamp, or where it is negative the partition's time.
    PartitionTime,
    /// What this function says; if that is negative the record is dropped.
    Custom(Extractor<K, V>),
}

pub(crate) type Extractor<K, V> = Arc<dyn Fn(&SourceRecord<'_, K, V>) -> Timestamp + Send + Sync>;

impl<K, V> Clone for TimeSource<K, V> {
    fn clone(&self) -> Self {
        match self {
            Self::Fail => Self::Fail,
            Self::Skip => Self::Skip,
            Self::PartitionTime => Self::PartitionTime,
            Self::Custom(extractor) => Self::Custom(extractor.clone()),
        }
    }
}

impl<K, V> TimeSource<K, V> {
    /// The time of a record, if no custom function has to see it.
    pub(crate) fn embedded(
        &self,
        node: &Arc<str>,
        own: Timestamp,
        partition_time: Timestamp,
    ) -> Result<Timestamp, ProcessError> {
        let invalid = || ProcessError::Timestamp { node: node.clone(), timestamp: own.millis() };
        match self {
            Self::Skip | Self::Custom(_) => Ok(own),
            _ if own.millis() >= 0 => Ok(own),
            Self::PartitionTime if partition_time.millis() >= 0 => Ok(partition_time),
            Self::PartitionTime | Self::Fail => Err(invalid()),
        }
    }
}

/// What an inlet needs to know; shared by the chains of all tasks.
pub(crate) struct InletSettings<K, V> {
    /// The source's name.
    pub(crate) node: Arc<str>,
    pub(crate) key: SerdeRef<K>,
    pub(crate) value: SerdeRef<V>,
    pub(crate) time: TimeSource<K, V>,
}

impl<K, V> InletSettings<K, V> {
    pub(crate) fn refuse(&self, what: &'static str) -> impl FnOnce(SerdeError) -> ProcessError {
        move |source| ProcessError::Decode { node: self.node.clone(), what, source }
    }
}

/// The inlet of [`StreamsBuilder::stream`](crate::dsl::StreamsBuilder::stream) and of a repartition topic.
pub(crate) struct StreamInlet<K, V> {
    settings: Arc<InletSettings<K, V>>,
    key: Option<K>,
    value: Option<V>,
    down: Children<K, V>,
}

impl<K, V> StreamInlet<K, V> {
    /// Hands what it decodes to `down`.
    pub(crate) fn new(settings: Arc<InletSettings<K, V>>, down: Children<K, V>) -> Self {
        Self { settings, key: None, value: None, down }
    }

    fn decode(&mut self, record: &RawRecord<'_>) -> Result<Option<(&K, &V)>, ProcessError> {
        let settings = &*self.settings;
        settings.key.decode_into(record.key, &mut self.key).map_err(settings.refuse("key"))?;
        settings.value.decode_into(record.value, &mut self.value).map_err(settings.refuse("value"))?;
        // Both are there now: that is what `decode_into` promises.
        Ok(self.key.as_ref().zip(self.value.as_ref()))
    }
}

impl<K, V> Inlet for StreamInlet<K, V> {
    fn timestamp(&mut self, record: &RawRecord<'_>, partition_time: Timestamp) -> Result<Timestamp, ProcessError> {
        let settings = self.settings.clone();
        let TimeSource::Custom(extract) = &settings.time else {
            return settings.time.embedded(&settings.node, record.timestamp, partition_time);
        };
        let decoded = self.decode(record)?;
        Ok(decoded.map_or(record.timestamp, |(key, value)| {
            let (timestamp, headers) = (record.timestamp, record.headers);
            extract(&SourceRecord { key, value, timestamp, partition_time, headers })
        }))
    }

    fn process(&mut self, cx: &mut Context, record: &RawRecord<'_>, timestamp: Timestamp) -> Result<(), ProcessError> {
        self.decode(record)?;
        match (&self.key, &self.value) {
            (Some(key), Some(value)) => {
                self.down.forward(cx, Record { key, value, timestamp, headers: record.headers })
            }
            _ => Ok(()),
        }
    }
}
