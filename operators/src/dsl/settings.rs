//! The optional settings of sources, sinks, groups and repartition topics: one value each, with defaults.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_state::model::Timestamp;
use millstream_state::serdes::{DefaultSerde, SerdeRef};

use super::serdes::Serdes;
use crate::ops::inlet::{SourceRecord, TimeSource};
use crate::ops::outlet::Partitioner;
use crate::topology::OffsetReset;
use crate::topology::names::Given;

/// The constructors and setters that all settings share.
macro_rules! settings {
    ($settings:ident, $what:literal, { $($field:ident: $empty:expr),* }) => {
        impl<K: 'static, V: 'static> $settings<K, V> {
            /// The defaults, for types without a serde of their own: only serdes that came along with the stream.
            pub fn known() -> Self {
                Self { serdes: Serdes::default(), fallback: Serdes::default(), name: None, $($field: $empty),* }
            }

            #[doc = concat!("Settings with these serdes for ", $what, ".")]
            pub fn with(key: SerdeRef<K>, value: SerdeRef<V>) -> Self {
                Self::known().key_serde(key).value_serde(value)
            }

            /// Sets the name.
            #[must_use]
            pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
                self.name = Some(name.into());
                self
            }

            /// Sets the serde of the key.
            #[must_use]
            pub fn key_serde(mut self, serde: SerdeRef<K>) -> Self {
                self.serdes.key = Some(serde);
                self
            }

            /// Sets the serde of the value.
            #[must_use]
            pub fn value_serde(mut self, serde: SerdeRef<V>) -> Self {
                self.serdes.value = Some(serde);
                self
            }

            /// The serdes given, else those of the stream, else the types' own.
            pub(crate) fn serdes_over(&self, stream: Serdes<K, V>) -> Serdes<K, V> {
                self.serdes.clone().or(stream).or(self.fallback.clone())
            }
        }

        impl<K: DefaultSerde, V: DefaultSerde> $settings<K, V> {
            /// The defaults: a generated name, and the serdes that came along with the stream or the types' own.
            pub fn new() -> Self {
                Self { fallback: Serdes::default().or_default(), ..Self::known() }
            }

            /// The defaults under this name.
            pub fn named(name: impl Into<Arc<str>>) -> Self {
                Self::new().name(name)
            }
        }

        impl<K: DefaultSerde, V: DefaultSerde> Default for $settings<K, V> {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

pub(super) use settings;

/// What to do with a record whose timestamp is negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InvalidTimestamp {
    /// Stop with an error (Kafka Streams' `FailOnInvalidTimestamp`).
    #[default]
    Fail,
    /// Drop the record and count it (`LogAndSkipOnInvalidTimestamp`).
    Skip,
    /// Take the highest time seen in the partition, or stop with an error if there is none yet
    /// (`UsePartitionTimeOnInvalidTimestamp`).
    UsePartitionTime,
}

/// How a topic is read (Kafka Streams' `Consumed`).
///
/// ```
/// # use millstream_operators::dsl::*;
/// let builder = StreamsBuilder::new();
/// builder.stream_with("in", Consumed::<String, i64>::named("source")).to("out");
/// assert!(builder.build()?.describe().contains("Source: source (topics: [in])"));
/// # Ok::<(), millstream_operators::error::BuildError>(())
/// ```
pub struct Consumed<K, V> {
    serdes: Serdes<K, V>,
    fallback: Serdes<K, V>,
    pub(crate) name: Given,
    pub(crate) reset: Option<OffsetReset>,
    pub(crate) time: TimeSource<K, V>,
}

settings!(Consumed, "what is read", { reset: None, time: TimeSource::Fail });

impl<K: 'static, V: 'static> Consumed<K, V> {
    /// Where to begin when the group has no committed offset; otherwise the configuration says.
    #[must_use]
    pub fn offset_reset(mut self, reset: OffsetReset) -> Self {
        self.reset = Some(reset);
        self
    }

    /// What to do with negative timestamps.
    #[must_use]
    pub fn on_invalid_timestamp(mut self, what: InvalidTimestamp) -> Self {
        self.time = match what {
            InvalidTimestamp::Fail => TimeSource::Fail,
            InvalidTimestamp::Skip => TimeSource::Skip,
            InvalidTimestamp::UsePartitionTime => TimeSource::PartitionTime,
        };
        self
    }

    /// Takes each record's time from the record itself. A record for which the function answers a negative time is
    /// dropped and counted. Deletes of a table have no value to look at and keep the record's own timestamp.
    ///
    /// The function sees decoded records, so a topic read with one is decoded twice.
    ///
    /// ```
    /// # use millstream_operators::dsl::*;
    /// # use millstream_state::model::Timestamp;
    /// let builder = StreamsBuilder::new();
    /// let consumed = Consumed::new().timestamp_extractor(|record| Timestamp::from_millis(record.value * 1000));
    /// builder.stream_with::<String, i64>("in", consumed).to("out");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    #[must_use]
    pub fn timestamp_extractor(
        mut self,
        extractor: impl Fn(&SourceRecord<'_, K, V>) -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        self.time = TimeSource::Custom(Arc::new(extractor));
        self
    }
}

/// How a topic is written (Kafka Streams' `Produced`).
pub struct Produced<K, V> {
    serdes: Serdes<K, V>,
    fallback: Serdes<K, V>,
    pub(crate) name: Given,
    pub(crate) partitioner: Option<Partitioner<K, V>>,
}

settings!(Produced, "what is written", { partitioner: None });

impl<K: 'static, V: 'static> Produced<K, V> {
    /// Chooses the partition from key, value and the number of partitions. `None` leaves it to the key's hash, which is
    /// also the default: Kafka's murmur2, so that programs of other languages see the same partitions.
    #[must_use]
    pub fn partitioner(mut self, choose: impl Fn(&K, &V, i32) -> Option<i32> + Send + Sync + 'static) -> Self {
        self.partitioner = Some(Arc::new(choose));
        self
    }
}

/// How a stream is grouped (Kafka Streams' `Grouped`). The name becomes that of the repartition topic, if there is one.
pub struct Grouped<K, V> {
    serdes: Serdes<K, V>,
    fallback: Serdes<K, V>,
    pub(crate) name: Given,
}

settings!(Grouped, "the repartition topic and the stores of the group", {});

impl<K, V> Grouped<K, V> {
    /// These settings, under the other name if they have none.
    pub(crate) fn or_name(mut self, other: &Given) -> Self {
        self.name = self.name.or_else(|| other.clone());
        self
    }
}

/// How a stream is repartitioned (Kafka Streams' `Repartitioned`). The name becomes that of the topic.
pub struct Repartitioned<K, V> {
    serdes: Serdes<K, V>,
    fallback: Serdes<K, V>,
    pub(crate) name: Given,
    pub(crate) partitions: Option<i32>,
    pub(crate) partitioner: Option<Partitioner<K, V>>,
    pub(crate) config: BTreeMap<String, String>,
}

settings!(Repartitioned, "the repartition topic", {
    partitions: None,
    partitioner: None,
    config: BTreeMap::new()
});

impl<K: 'static, V: 'static> Repartitioned<K, V> {
    /// The partition count of the topic; by default that of the largest topic upstream.
    #[must_use]
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// Chooses the partition, as [`Produced::partitioner`].
    #[must_use]
    pub fn partitioner(mut self, choose: impl Fn(&K, &V, i32) -> Option<i32> + Send + Sync + 'static) -> Self {
        self.partitioner = Some(Arc::new(choose));
        self
    }

    /// A topic setting over the defaults (`cleanup.policy=delete`, `retention.ms=-1`).
    #[must_use]
    pub fn topic_config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.insert(name.into(), value.into());
        self
    }
}
