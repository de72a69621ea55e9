//! The names of all topics a topology has to do with.

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_operators::topology::Topology;
use millstream_state::store::{Changelog, StoreSpec};

use crate::config::StreamsConfig;
use crate::task::{DeserializationHandler, PanicHandler, ProcessingHandler};

/// The full name of a store's changelog.
pub(crate) fn changelog_name(application_id: &str, store: &StoreSpec) -> Arc<str> {
    format!("{application_id}-{}-changelog", store.name).into()
}

/// Every topic that the topology reads or writes, changelogs and dead letters included.
pub fn all_topics(topology: &Topology, config: &StreamsConfig) -> Vec<Arc<str>> {
    let app = &config.application_id;
    let mut names: BTreeSet<Arc<str>> = subscription(topology, app).into_iter().collect();
    for sub in topology.sub_topologies() {
        let spec = sub.spec();
        names.extend(spec.sinks.iter().filter_map(|sink| sink.topic.as_ref()).map(|topic| topic.full_name(app)));
        names.extend(spec.repartitions.iter().map(|repartition| repartition.topic.full_name(app)));
        let logged = spec.stores.iter().filter(|store| matches!(store.changelog, Changelog::Topic(_)));
        names.extend(logged.map(|store| changelog_name(app, store)));
    }
    if let Some(global) = topology.global() {
        let topics = global.spec().sources.iter().flat_map(|source| &source.topics);
        names.extend(topics.map(|topic| topic.full_name(app)));
    }
    if let DeserializationHandler::DeadLetter(topic) = &config.undecodable {
        names.insert(topic.clone());
    }
    if let ProcessingHandler::DeadLetter(topic) = &config.refused {
        names.insert(topic.clone());
    }
    if let PanicHandler::DeadLetter(topic) = &config.panics {
        names.insert(topic.clone());
    }
    names.into_iter().collect()
}

/// The topics whose partitions the group shares out: what is read.
pub(crate) fn subscription(topology: &Topology, application_id: &str) -> Vec<Arc<str>> {
    let sources = topology.sub_topologies().iter().flat_map(|sub| &sub.spec().sources);
    let names: BTreeSet<Arc<str>> =
        sources.flat_map(|source| &source.topics).map(|topic| topic.full_name(application_id)).collect();
    names.into_iter().collect()
}
