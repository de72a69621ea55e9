//! From a topology to topics on a cluster: which there must be, which are made, how many partitions each has.
//!
//! ```text
//!  describe all ──► plan ──► missing internal topics? ──create──► describe all ──► plan ──► TaskPlans
//!                     └── error: missing source, counts that differ, counts that have changed
//! ```
//! [`plan`] is a pure function of the topology and what the cluster said; [`Resolver`] asks the cluster.

mod counts;
mod names;
mod resolver;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use millstream_operators::topology::{SourceSpec, TopicRef, Topology};
use millstream_state::store::{Changelog, StoreKind, StoreSpec};

use crate::broker::{NewTopic, TopicDescription};
use crate::config::StreamsConfig;
use crate::task::{
    ChangelogTopic, DeserializationHandler, InputTopic, OutputTopic, PanicHandler, ProcessingHandler, TaskPlan,
};

pub use names::all_topics;
pub(crate) use names::{changelog_name, subscription};
pub use resolver::{ResolveError, Resolver};

/// What the cluster has: topics by full name.
pub type Known = HashMap<Arc<str>, TopicDescription>;

/// The topics of the topology and those of the cluster do not go together.
#[non_exhaustive]
#[derive(Clone, Debug, thiserror::Error)]
pub enum TopicError {
    /// A topic that is read does not exist.
    #[error("source topic {topic}, read by {node}, does not exist; create it before the application starts")]
    MissingSource {
        /// The topic.
        topic: String,
        /// The source node.
        node: String,
    },
    /// A topic that is written does not exist.
    #[error("topic {topic}, written by {node}, does not exist; create it before the application starts")]
    MissingSink {
        /// The topic.
        topic: String,
        /// The sink node, or the handler.
        node: String,
    },
    /// Topics that are joined or merged into one task's state have different partition counts.
    #[error(
        "topics {topics} must have equal partition counts, as sub-topology {sub_topology} reads them together; \
             repartition one of them, or create it anew"
    )]
    NotCopartitioned {
        /// The topics with their counts.
        topics: String,
        /// The sub-topology.
        sub_topology: u32,
    },
    /// An internal topic exists with another partition count than the topology asks for.
    #[error(
        "internal topic {topic} has {actual} partitions where the topology needs {expected}: a source topic's partition \
         count has changed since it was created. Keys would move to other tasks than their state: reset the application \
         (delete its internal topics and state directories) or restore the old partition count"
    )]
    CountChanged {
        /// The internal topic.
        topic: String,
        /// What the topology needs.
        expected: i32,
        /// What the topic has.
        actual: i32,
    },
    /// A repartition topic's count follows from itself.
    #[error("the partition count of {topics} cannot be told from the topology; give it with Repartitioned::partitions")]
    UnknownCount {
        /// The topics.
        topics: String,
    },
    /// The broker refused to create a topic.
    #[error("internal topic {topic} could not be created: {reason}")]
    Refused {
        /// The topic.
        topic: String,
        /// The broker's words.
        reason: String,
    },
}

/// What is to be done next.
pub enum Planned {
    /// These internal topics are missing.
    Create(Vec<NewTopic>),
    /// Everything is there.
    Ready(Vec<Arc<TaskPlan>>),
}

/// Plans the tasks of a topology on a cluster that has the topics `known`.
///
/// # Errors
/// If source or sink topics are missing, or partition counts do not go together.
pub fn plan(topology: &Arc<Topology>, config: &StreamsConfig, known: &Known) -> Result<Planned, TopicError> {
    let planner = Planner { topology, config, known };
    planner.check_externals()?;
    let counts = counts::resolve(topology, config, known)?;
    let missing = planner.missing(&counts)?;
    if missing.is_empty() { planner.plans().map(Planned::Ready) } else { Ok(Planned::Create(missing)) }
}

struct Planner<'a> {
    topology: &'a Arc<Topology>,
    config: &'a StreamsConfig,
    known: &'a Known,
}

impl Planner<'_> {
    fn name(&self, topic: &TopicRef) -> Arc<str> {
        topic.full_name(&self.config.application_id)
    }

    fn check_externals(&self) -> Result<(), TopicError> {
        let exists = |topic: &str| self.known.contains_key(topic);
        for sub in self.topology.sub_topologies().iter().chain(self.topology.global()) {
            for source in &sub.spec().sources {
                for topic in source.topics.iter().filter(|topic| matches!(topic, TopicRef::External(_))) {
                    let topic = self.name(topic);
                    if !exists(&topic) {
                        return Err(TopicError::MissingSource {
                            topic: topic.to_string(),
                            node: source.node.to_string(),
                        });
                    }
                }
            }
            for sink in &sub.spec().sinks {
                if let Some(topic @ TopicRef::External(_)) = &sink.topic {
                    let topic = self.name(topic);
                    if !exists(&topic) {
                        return Err(TopicError::MissingSink { topic: topic.to_string(), node: sink.node.to_string() });
                    }
                }
            }
        }
        if let ProcessingHandler::DeadLetter(topic) = &self.config.refused
            && !exists(topic)
        {
            let node = "the handler for records that the program refuses".into();
            return Err(TopicError::MissingSink { topic: topic.to_string(), node });
        }
        if let PanicHandler::DeadLetter(topic) = &self.config.panics
            && !exists(topic)
        {
            let node = "the handler for records that the program panics on".into();
            return Err(TopicError::MissingSink { topic: topic.to_string(), node });
        }
        match &self.config.undecodable {
            DeserializationHandler::DeadLetter(topic) if !exists(topic) => Err(TopicError::MissingSink {
                topic: topic.to_string(),
                node: "the handler for records that cannot be decoded".into(),
            }),
            _ => Ok(()),
        }
    }

    /// Internal topics that do not exist yet; those that do must have the right partition counts.
    fn missing(&self, counts: &counts::Counts) -> Result<Vec<NewTopic>, TopicError> {
        let mut missing: BTreeMap<Arc<str>, NewTopic> = BTreeMap::new();
        let mut need = |name: Arc<str>, partitions: i32, config: BTreeMap<String, String>| {
            match self.known.get(&name) {
                Some(known) if known.partitions != partitions => {
                    return Err(TopicError::CountChanged {
                        topic: name.to_string(),
                        expected: partitions,
                        actual: known.partitions,
                    });
                }
                Some(_) => {}
                None => {
                    let replication = self.config.replication;
                    missing.insert(name.clone(), NewTopic { name, partitions, replication, config });
                }
            }
            Ok(())
        };
        for sub in self.topology.sub_topologies() {
            for repartition in &sub.spec().repartitions {
                let name = self.name(&repartition.topic);
                need(name.clone(), counts.of(&name), repartition_config(&repartition.config))?;
            }
            let tasks = counts.tasks(sub.spec(), &self.config.application_id);
            for store in &sub.spec().stores {
                if let Changelog::Topic(over) = &store.changelog {
                    let name = changelog_name(&self.config.application_id, store);
                    need(name, tasks, changelog_config(store, over, self.config.window_changelog_grace))?;
                }
            }
        }
        Ok(missing.into_values().collect())
    }

    fn plans(&self) -> Result<Vec<Arc<TaskPlan>>, TopicError> {
        let plan = |index: usize| {
            let mut plan = TaskPlan::new(self.topology.clone(), index);
            let spec = self.topology.sub_topologies()[index].spec();
            plan.inputs = spec.sources.iter().enumerate().flat_map(|(at, source)| self.inputs(at, source)).collect();
            plan.sinks =
                spec.sinks.iter().map(|sink| sink.topic.as_ref().map(|topic| self.output(&self.name(topic)))).collect();
            plan.changelogs = spec.stores.iter().map(|store| self.changelog(store)).collect();
            if let DeserializationHandler::DeadLetter(topic) = &self.config.undecodable {
                plan.dead_letters = Some(self.output(topic));
            }
            if let ProcessingHandler::DeadLetter(topic) = &self.config.refused {
                plan.refused = Some(self.output(topic));
            }
            if let PanicHandler::DeadLetter(topic) = &self.config.panics {
                plan.panicked = Some(self.output(topic));
            }
            Arc::new(plan)
        };
        Ok((0..self.topology.sub_topologies().len()).map(plan).collect())
    }

    fn inputs(&self, at: usize, source: &SourceSpec) -> Vec<InputTopic> {
        let input = |topic: &TopicRef| {
            let name = self.name(topic);
            let repartition = matches!(topic, TopicRef::Internal(_));
            let reset = if repartition {
                // Whatever is in a repartition topic was put there to be processed.
                millstream_operators::topology::OffsetReset::Earliest
            } else {
                source.offset_reset.unwrap_or(self.config.offset_reset)
            };
            let partitions = self.known.get(&name).map_or(0, |known| known.partitions);
            InputTopic { topic: name, partitions, source: at, reset, repartition }
        };
        source.topics.iter().map(input).collect()
    }

    fn output(&self, name: &Arc<str>) -> OutputTopic {
        let known = self.known.get(name);
        OutputTopic {
            topic: name.clone(),
            partitions: known.map_or(1, |known| known.partitions),
            retention: known.and_then(retention),
        }
    }

    fn changelog(&self, store: &StoreSpec) -> Option<ChangelogTopic> {
        let (name, source) = match &store.changelog {
            Changelog::Off => return None,
            Changelog::Topic(_) => (changelog_name(&self.config.application_id, store), false),
            Changelog::Source(topic) => (topic.clone(), true),
        };
        let known = self.known.get(&name)?;
        let delete_retention = setting(known, "delete.retention.ms").unwrap_or(24 * 60 * 60 * 1000);
        Some(ChangelogTopic {
            out: self.output(&name),
            id: known.id,
            delete_retention: Duration::from_millis(delete_retention.unsigned_abs()),
            source,
        })
    }
}

fn setting(topic: &TopicDescription, name: &str) -> Option<i64> {
    topic.config.get(name).and_then(|value| value.parse().ok())
}

/// How long a topic keeps records by time; `None` if it does not delete by time.
fn retention(topic: &TopicDescription) -> Option<Duration> {
    let policy = topic.config.get("cleanup.policy").map_or("delete", String::as_str);
    let retention = setting(topic, "retention.ms")?;
    (policy.contains("delete") && retention >= 0).then(|| Duration::from_millis(retention.unsigned_abs()))
}

fn with(over: &BTreeMap<String, String>, defaults: &[(&str, String)]) -> BTreeMap<String, String> {
    let mut config: BTreeMap<String, String> =
        defaults.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    config.extend(over.iter().map(|(name, value)| (name.clone(), value.clone())));
    config
}

/// Kafka Streams' `RepartitionTopicConfig`: small segments, nothing deleted by time; processed records are deleted by
/// request.
fn repartition_config(over: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let defaults = [
        ("cleanup.policy", "delete".to_owned()),
        ("retention.ms", "-1".to_owned()),
        ("segment.bytes", (50 << 20).to_string()),
        ("message.timestamp.type", "CreateTime".to_owned()),
    ];
    with(over, &defaults)
}

/// Kafka Streams' `UnwindowedUnversionedChangelogTopicConfig`, `WindowedChangelogTopicConfig` and
/// `VersionedChangelogTopicConfig`.
fn changelog_config(store: &StoreSpec, over: &BTreeMap<String, String>, grace: Duration) -> BTreeMap<String, String> {
    let timestamps = ("message.timestamp.type", "CreateTime".to_owned());
    match store.kind.retention() {
        Some(retention) => {
            let retention = retention.saturating_add(i64::try_from(grace.as_millis()).unwrap_or(i64::MAX));
            let policy = ("cleanup.policy", "compact,delete".to_owned());
            with(over, &[policy, timestamps, ("retention.ms", retention.to_string())])
        }
        None => {
            let mut defaults = vec![("cleanup.policy", "compact".to_owned()), timestamps];
            if let StoreKind::VersionedKeyValue(shape) = store.kind {
                // A compacted history would be none: records younger than it stay, with Kafka Streams' margin of a day.
                let lag = shape.history_retention.saturating_add(24 * 60 * 60 * 1000);
                defaults.push(("min.compaction.lag.ms", lag.to_string()));
            }
            with(over, &defaults)
        }
    }
}
