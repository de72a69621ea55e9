//! Partition counts: given by the cluster for the user's topics, worked out for repartition topics.

use std::collections::HashMap;
use std::sync::Arc;

use millstream_operators::topology::{SubTopologySpec, TopicRef, Topology};

use super::{Known, TopicError};
use crate::config::StreamsConfig;

/// Partition counts by full topic name.
pub(super) struct Counts(HashMap<Arc<str>, i32>);

impl Counts {
    pub(super) fn of(&self, topic: &str) -> i32 {
        self.0.get(topic).copied().unwrap_or(0)
    }

    /// How many tasks a sub-topology has.
    pub(super) fn tasks(&self, spec: &SubTopologySpec, application_id: &str) -> i32 {
        let topics = spec.sources.iter().flat_map(|source| &source.topics);
        topics.map(|topic| self.of(&topic.full_name(application_id))).max().unwrap_or(0)
    }
}

/// Works out every count: explicit ones first, then each repartition topic takes the largest count upstream of it, and
/// those of a co-partitioned group the count of the group.
pub(super) fn resolve(topology: &Topology, config: &StreamsConfig, known: &Known) -> Result<Counts, TopicError> {
    let app = &config.application_id;
    let specs: Vec<&SubTopologySpec> = topology.sub_topologies().iter().map(|sub| sub.spec()).collect();
    let mut counts = HashMap::new();
    for topic in specs.iter().flat_map(|spec| &spec.sources).flat_map(|source| &source.topics) {
        if let TopicRef::External(name) = topic
            && let Some(known) = known.get(name)
        {
            counts.insert(name.clone(), known.partitions);
        }
    }
    for repartition in specs.iter().flat_map(|spec| &spec.repartitions) {
        if let Some(partitions) = repartition.partitions {
            counts.insert(repartition.topic.full_name(app), partitions);
        }
    }
    let mut open = open_topics(&specs, app, &counts);
    while !open.is_empty() {
        settle(&specs, app, &mut counts, Upstream::Whole);
        let mut left = open_topics(&specs, app, &counts);
        if left.len() == open.len() {
            // Topics in a circle, as those of a foreign-key join: what is known of the upstream has to do.
            settle(&specs, app, &mut counts, Upstream::Known);
            left = open_topics(&specs, app, &counts);
        }
        if left.len() == open.len() {
            return Err(TopicError::UnknownCount { topics: left.join(", ") });
        }
        open = left;
    }
    copartition(&specs, app, &mut counts)?;
    Ok(Counts(counts))
}

/// What is to be known of a sub-topology's sources before its repartition topics get their counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Upstream {
    /// All of it.
    Whole,
    /// Something.
    Known,
}

/// Gives repartition topics the largest count upstream of them.
fn settle(specs: &[&SubTopologySpec], app: &str, counts: &mut HashMap<Arc<str>, i32>, upstream: Upstream) {
    for spec in specs {
        let topics = spec.sources.iter().flat_map(|source| &source.topics);
        let found: Vec<Option<i32>> = topics.map(|topic| counts.get(&topic.full_name(app)).copied()).collect();
        if upstream == Upstream::Whole && found.contains(&None) {
            continue;
        }
        let Some(largest) = found.into_iter().flatten().max() else { continue };
        for repartition in &spec.repartitions {
            counts.entry(repartition.topic.full_name(app)).or_insert(largest);
        }
    }
}

fn open_topics(specs: &[&SubTopologySpec], app: &str, counts: &HashMap<Arc<str>, i32>) -> Vec<String> {
    let names = specs.iter().flat_map(|spec| &spec.repartitions).map(|repartition| repartition.topic.full_name(app));
    names.filter(|name| !counts.contains_key(name)).map(|name| name.to_string()).collect()
}

fn copartition(specs: &[&SubTopologySpec], app: &str, counts: &mut HashMap<Arc<str>, i32>) -> Result<(), TopicError> {
    let free: Vec<Arc<str>> = specs
        .iter()
        .flat_map(|spec| &spec.repartitions)
        .filter(|repartition| repartition.partitions.is_none())
        .map(|repartition| repartition.topic.full_name(app))
        .collect();
    for spec in specs {
        for group in &spec.copartitioned {
            let names: Vec<Arc<str>> = group.iter().map(|topic| topic.full_name(app)).collect();
            let fixed: Vec<&Arc<str>> = names.iter().filter(|name| !free.contains(name)).collect();
            let decides: Vec<&Arc<str>> = if fixed.is_empty() { names.iter().collect() } else { fixed.clone() };
            let count = decides.iter().filter_map(|name| counts.get(*name)).copied().max().unwrap_or(0);
            if fixed.iter().any(|name| counts.get(*name) != Some(&count)) {
                let listed: Vec<String> = fixed
                    .iter()
                    .map(|name| format!("{name} ({} partitions)", counts.get(*name).copied().unwrap_or(0)))
                    .collect();
                return Err(TopicError::NotCopartitioned { topics: listed.join(", "), sub_topology: spec.id });
            }
            for name in names.iter().filter(|name| free.contains(name)) {
                counts.insert(name.clone(), count);
            }
        }
    }
    Ok(())
}
