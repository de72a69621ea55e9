//! How many partitions topics have in a test, and which task is next.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_operators::topology::{TopicRef, Topology};
use millstream_state::model::TopicId;

use super::{TestConfig, TestError};
use crate::broker::TopicDescription;
use crate::config::StreamsConfig;
use crate::task::TaskPlan;
use crate::topics::{self, Known, Planned};

/// The partition counts of the topics in a test. Repartition topics and changelogs get theirs as in production, and what
/// would be refused there is refused here.
///
/// ```
/// use millstream::testing::Partitions;
/// let partitions = Partitions::of(4).topic("small", 1);
/// ```
#[derive(Clone, Debug)]
pub struct Partitions {
    all: i32,
    single: BTreeMap<String, i32>,
}

impl Partitions {
    /// So many partitions for every topic of the user's.
    pub fn of(partitions: i32) -> Self {
        Self { all: partitions.max(1), single: BTreeMap::new() }
    }

    /// Another count for one topic.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>, partitions: i32) -> Self {
        self.single.insert(topic.into(), partitions.max(1));
        self
    }

    pub(super) fn count(&self, topic: &str) -> i32 {
        self.single.get(topic).copied().unwrap_or(self.all)
    }

    /// The plans of the tasks of all sub-topologies, made as on a cluster with these topics.
    pub(super) fn plans(&self, topology: &Arc<Topology>, config: &TestConfig) -> Result<Vec<Arc<TaskPlan>>, TestError> {
        let mut settings = StreamsConfig::new(config.application_id.clone(), "test");
        settings.undecodable.clone_from(&config.undecodable);
        settings.refused.clone_from(&config.refused);
        let internal = format!("{}-", config.application_id);
        let names = topics::all_topics(topology, &settings);
        let mut known = Known::new();
        for name in names.into_iter().filter(|name| !is_internal(topology, name, &internal)) {
            let partitions = self.count(&name);
            add(&mut known, name, partitions);
        }
        loop {
            match topics::plan(topology, &settings, &known).map_err(|source| TestError::Topics { source })? {
                Planned::Ready(plans) => return Ok(plans),
                Planned::Create(missing) => {
                    missing.into_iter().for_each(|topic| add(&mut known, topic.name, topic.partitions));
                }
            }
        }
    }
}

fn add(known: &mut Known, name: Arc<str>, partitions: i32) {
    let id = TopicId(known.len() as u128 + 1);
    known.insert(name.clone(), TopicDescription { name, id, partitions, config: BTreeMap::new() });
}

/// Whether the application makes the topic itself.
fn is_internal(topology: &Topology, name: &str, prefix: &str) -> bool {
    let Some(short) = name.strip_prefix(prefix) else { return false };
    topology.sub_topologies().iter().any(|part| {
        let spec = part.spec();
        let repartition = spec.repartitions.iter().any(|topic| {
            let (TopicRef::Internal(known) | TopicRef::External(known)) = &topic.topic;
            **known == *short
        });
        repartition || spec.stores.iter().any(|store| short == format!("{}-changelog", store.name))
    })
}

/// Random numbers that are the same for the same seed (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`, which must not be 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}
