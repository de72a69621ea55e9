//! Which leaders the admin client knows.
//!
//! librdkafka (2.12.1) begins to look for leaders on the thread that calls `rd_kafka_ListOffsets` or
//! `rd_kafka_DeleteRecords`. Where its cache lacks one, it tells its own thread to go on with the next answer to a metadata
//! request, and then uses what it has handed over: if that answer comes in between, the process ends with SIGSEGV. A search
//! that finds every leader at once hands nothing over. Therefore neither is called before an answer has named the leaders of
//! all the partitions that it is for. (For consumers see `end`.)

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream_state::model::TopicPartition;
use rdkafka::error::RDKafkaErrorCode;

use super::errors::Failure;
use super::native::TopicInfo;
use crate::broker::{BrokerError, ErrorClass};
use crate::clock::{Clock as _, Monotonic, SystemClock};

/// How long an answer is good for. The calls of a start come at once and need one answer; librdkafka may hear of lost
/// leaders by itself, so it is not to be much longer.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// Topics all of whose leaders were named lately.
#[derive(Default)]
pub(super) struct Leaders {
    clock: SystemClock,
    // A lock because each call has a thread of its own. When the topic was described, and how many partitions it had.
    met: Mutex<HashMap<String, (Monotonic, usize)>>,
}

impl Leaders {
    fn met(&self) -> MutexGuard<'_, HashMap<String, (Monotonic, usize)>> {
        // Entries are put and removed whole.
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The topics, each once, that must be described before a call for these partitions.
    pub(super) fn to_describe(&self, partitions: &[TopicPartition]) -> Vec<Arc<str>> {
        let now = self.clock.monotonic();
        let mut met = self.met();
        met.retain(|_, (at, _)| now.since(*at) < GOOD_FOR);
        let known = |partition: &TopicPartition| {
            met.get(&*partition.topic).is_some_and(|(_, count)| index(partition).is_some_and(|index| index < *count))
        };
        let unknown = partitions.iter().filter(|partition| !known(partition));
        let mut topics: Vec<Arc<str>> = unknown.map(|partition| partition.topic.clone()).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// Notes what a topic was said to be.
    pub(super) fn note(&self, topic: &str, described: &Result<TopicInfo, Failure>) {
        match described {
            Ok(info) if info.led.iter().all(|led| *led) => {
                self.met().insert(topic.to_owned(), (self.clock.monotonic(), info.led.len()));
            }
            _ => drop(self.met().remove(topic)),
        }
    }

    /// A call for these partitions failed. Where it may be made again, their topics are described before: librdkafka forgets
    /// the leaders of a topic, or after a new election goes on asking the former one with the former epoch
    /// (FENCED_LEADER_EPOCH for minutes on end), until it hears who leads now.
    pub(super) fn doubt(&self, partitions: &[TopicPartition], error: &BrokerError) {
        if error.class == ErrorClass::Retriable {
            let mut met = self.met();
            met.retain(|topic, _| partitions.iter().all(|partition| *partition.topic != **topic));
        }
    }
}

fn index(partition: &TopicPartition) -> Option<usize> {
    usize::try_from(partition.partition).ok()
}

/// Whether the described topics' partitions are there and have leaders.
pub(super) fn check<'a>(
    call: &str,
    partitions: impl Iterator<Item = &'a TopicPartition>,
    found: &HashMap<String, TopicInfo>,
) -> Result<(), BrokerError> {
    let mut without_leader = None;
    for partition in partitions {
        let led = index(partition).and_then(|index| found.get(&*partition.topic)?.led.get(index).copied());
        let error = |code| Err(Failure::of(code).error(format!("{call} of {partition}")));
        match led {
            Some(true) => {}
            Some(false) => without_leader = Some(error(RDKafkaErrorCode::LeaderNotAvailable)),
            None => return error(RDKafkaErrorCode::UnknownTopicOrPartition),
        }
    }
    without_leader.unwrap_or(Ok(()))
}
