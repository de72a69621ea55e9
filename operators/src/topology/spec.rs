//! A topology as the runtime sees it: sub-topologies with the topics they read and write and the stores they keep.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_state::store::StoreSpec;

/// A topic that a topology refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TopicRef {
    /// A topic of the user's; it must exist.
    External(Arc<str>),
    /// A topic of the application's own, named `<application id>-<name>`; the runtime creates it.
    Internal(Arc<str>),
}

impl TopicRef {
    /// The topic's full name in the application `application_id`.
    pub fn full_name(&self, application_id: &str) -> Arc<str> {
        match self {
            Self::External(name) => name.clone(),
            Self::Internal(name) => format!("{application_id}-{name}").into(),
        }
    }
}

/// Where a source begins when its group has no committed offset, or one that is out of range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the oldest record there is (Kafka Streams' default).
    #[default]
    Earliest,
    /// At the end: only records that come from now on.
    Latest,
    /// Stop with an error.
    None,
}

/// A node that reads topics. Its index in [`SubTopologySpec::sources`] is what the chain calls it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSpec {
    /// The node's name.
    pub node: Arc<str>,
    /// The topics it reads.
    pub topics: Vec<TopicRef>,
    /// Where it begins; `None` leaves it to the configuration.
    pub offset_reset: Option<OffsetReset>,
}

/// A node that writes a topic. Its index in [`SubTopologySpec::sinks`] is the target of its records in
/// [`Context::outputs`](crate::context::Context::outputs).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkSpec {
    /// The node's name.
    pub node: Arc<str>,
    /// The topic; `None` if it is chosen per record.
    pub topic: Option<TopicRef>,
    /// How many bytes at the end of its keys say nothing about the partition
    /// ([`Serde::unhashed_suffix`](millstream_state::serdes::Serde::unhashed_suffix)).
    pub unhashed_suffix: usize,
}

/// A repartition topic, to be created with `cleanup.policy=delete` and `retention.ms=-1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepartitionSpec {
    /// The topic.
    pub topic: TopicRef,
    /// Its partition count; `None` takes the largest count among the topics upstream of it.
    pub partitions: Option<i32>,
    /// Topic settings over the defaults.
    pub config: BTreeMap<String, String>,
}

/// A part of a topology that needs no topic in between; it runs as one task per partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubTopologySpec {
    /// Its number.
    pub id: u32,
    /// What it reads.
    pub sources: Vec<SourceSpec>,
    /// What it writes.
    pub sinks: Vec<SinkSpec>,
    /// Its stores in the order in which they were registered; a [`StoreId`](millstream_state::store::StoreId) is an
    /// index into it.
    pub stores: Vec<StoreSpec>,
    /// The repartition topics it writes.
    pub repartitions: Vec<RepartitionSpec>,
    /// Groups of topics it reads that must have equal partition counts.
    pub copartitioned: Vec<Vec<TopicRef>>,
}
