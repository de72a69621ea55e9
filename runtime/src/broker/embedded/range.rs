//! The `range` assignor: topic by topic, neighbouring partitions to each member in order.
//!
//! Topics with the same number of partitions and the same subscribers are shared out alike, which is what co-partitioned
//! topics need. Members with an instance id come first, by that; the others by member id.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_state::model::TopicPartition;

/// A member as the assignor sees it.
#[derive(Clone, Debug)]
pub(super) struct Subscriber {
    pub(super) member: Arc<str>,
    pub(super) instance: Option<Arc<str>>,
    pub(super) topics: Vec<Arc<str>>,
}

/// Shares out the partitions of all subscribed topics; `partitions` answers how many a topic has.
pub(super) fn assign(
    mut subscribers: Vec<Subscriber>,
    partitions: &dyn Fn(&str) -> i32,
) -> BTreeMap<Arc<str>, Vec<TopicPartition>> {
    subscribers.sort_by_key(|s| (s.instance.is_none(), s.instance.clone(), s.member.clone()));
    let mut shares: BTreeMap<_, Vec<_>> = subscribers.iter().map(|s| (s.member.clone(), Vec::new())).collect();
    let topics: BTreeSet<&Arc<str>> = subscribers.iter().flat_map(|s| &s.topics).collect();
    for topic in topics {
        let takers: Vec<_> = subscribers.iter().filter(|s| s.topics.contains(topic)).collect();
        let (count, members) = (partitions(topic), takers.len() as i32);
        let mut next = 0;
        for (index, taker) in takers.iter().enumerate() {
            let share = count / members + i32::from((index as i32) < count % members);
            let own = (next..next + share).map(|partition| TopicPartition::new(topic.clone(), partition));
            shares.entry(taker.member.clone()).or_default().extend(own);
            next += share;
        }
    }
    shares
}
