//! What all tasks of one sub-topology have in common once its topics are known on the cluster.

use std::sync::Arc;
use std::time::Duration;

use millstream_operators::topology::{OffsetReset, SubTopology, Topology};
use millstream_state::model::{TopicId, TopicPartition};

use super::TaskId;

/// A topic that tasks read.
#[derive(Clone, Debug)]
pub struct InputTopic {
    /// Its full name.
    pub topic: Arc<str>,
    /// How many partitions it has.
    pub partitions: i32,
    /// The source node that reads it, as an index into the sub-topology's sources.
    pub source: usize,
    /// Where to begin without a committed offset.
    pub reset: OffsetReset,
    /// Whether it is a repartition topic, whose records can be deleted once they are processed.
    pub repartition: bool,
}

/// A topic that tasks write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputTopic {
    /// Its full name.
    pub topic: Arc<str>,
    /// How many partitions it has.
    pub partitions: i32,
    /// How long it keeps records by their timestamps; `None` if for ever.
    pub retention: Option<Duration>,
}

/// The changelog of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangelogTopic {
    /// Where its records go.
    pub out: OutputTopic,
    /// Its id on the cluster.
    pub id: TopicId,
    /// After this long a compacted tombstone may be gone (`delete.retention.ms`).
    pub delete_retention: Duration,
    /// Whether it is a topic that the task reads anyway: nothing is written to it, and the store stands where the input
    /// stands.
    pub source: bool,
}

/// What all tasks of one sub-topology have in common.
pub struct TaskPlan {
    topology: Arc<Topology>,
    index: usize,
    /// The topics it reads, source by source.
    pub inputs: Vec<InputTopic>,
    /// The topics it writes, by sink; `None` where the topic is chosen per record.
    pub sinks: Vec<Option<OutputTopic>>,
    /// The changelogs, by store; `None` for a store without one.
    pub changelogs: Vec<Option<ChangelogTopic>>,
    /// Where records go that cannot be decoded, if the handler says so.
    pub dead_letters: Option<OutputTopic>,
    /// Where records go that the program's code refuses, if the handler says so.
    pub refused: Option<OutputTopic>,
    /// Where records go that the program's code panics on, if the handler says so.
    pub panicked: Option<OutputTopic>,
}

impl TaskPlan {
    /// A plan for the sub-topology at `index` of `topology`, with nothing known about its topics yet.
    pub fn new(topology: Arc<Topology>, index: usize) -> Self {
        Self {
            topology,
            index,
            inputs: Vec::new(),
            sinks: Vec::new(),
            changelogs: Vec::new(),
            dead_letters: None,
            refused: None,
            panicked: None,
        }
    }

    /// The sub-topology.
    pub fn sub_topology(&self) -> &SubTopology {
        &self.topology.sub_topologies()[self.index]
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.sub_topology().spec().id
    }

    /// How many tasks there are: as many as the largest input topic has partitions.
    pub fn tasks(&self) -> i32 {
        self.inputs.iter().map(|input| input.partitions).max().unwrap_or(0)
    }

    /// The input topics of the task with this partition.
    pub fn inputs_of(&self, task: TaskId) -> impl Iterator<Item = (&InputTopic, TopicPartition)> + '_ {
        self.inputs
            .iter()
            .filter(move |input| task.partition < input.partitions)
            .map(move |input| (input, TopicPartition::new(input.topic.clone(), task.partition)))
    }
}
