//! A task's effects on their way to the producer: where each record goes, and how many went to each changelog.

use std::sync::Arc;
use std::time::Duration;

use millstream_state::model::{BufferedRecord, Timestamp};

use super::plan::{OutputTopic, TaskPlan};
use super::{DEAD_LETTERS, PANICKED, REFUSED, Task, sessions};
use crate::broker::{BrokerError, OutRecord};
use crate::partitioner::partition_of;

/// Who takes a task's records: the worker's producer, or a test driver.
pub trait Outbox {
    /// Takes a record; `Ok(false)` if there is no room now.
    ///
    /// # Errors
    /// If it can never be sent.
    fn send(&mut self, record: OutRecord<'_>) -> Result<bool, BrokerError>;

    /// How many partitions a topic has that was chosen per record; `None` if that is still being asked.
    ///
    /// # Errors
    /// If there is no such topic.
    fn partitions(&mut self, topic: &Arc<str>) -> Result<Option<i32>, BrokerError>;
}

/// How far the effects of the current transaction have been handed over.
#[derive(Default)]
pub(super) struct Handover {
    outputs: usize,
    changes: usize,
    /// Changelog records handed over in this transaction, by store.
    pub(super) written: Vec<i64>,
    /// Where records without a key go until the next commit.
    pub(super) round: usize,
    /// Topics (sinks, then changelogs) that a warning about old timestamps has been given for.
    warned: Vec<bool>,
}

impl Task {
    /// Hands the effects so far to `outbox`, in order. `Ok(false)` means that there was no room for all of them: call
    /// again before processing more.
    ///
    /// # Errors
    /// If a record cannot be sent.
    pub fn send(&mut self, outbox: &mut impl Outbox) -> Result<bool, BrokerError> {
        Ok(self.send_changes(outbox)? && self.send_outputs(outbox)?)
    }

    fn send_changes(&mut self, outbox: &mut impl Outbox) -> Result<bool, BrokerError> {
        let changes = &mut self.cx.state.changes;
        let stores = &self.plan.sub_topology().spec().stores;
        if self.rules.at_least_once && self.handover.changes == 0 && sessions::are_among(stores) {
            sessions::put_before_deletes(changes, stores);
        }
        while let Some(record) = changes.get(self.handover.changes) {
            let store = record.meta.target as usize;
            if let Some(changelog) = &self.plan.changelogs[store] {
                let slot = self.plan.sinks.len() + store;
                warn_of_old(&mut self.handover.warned, slot, &changelog.out, &record, self.cx.wall_clock);
                if !outbox.send(out(&record, &changelog.out.topic, self.id.partition))? {
                    return Ok(false);
                }
                self.handover.written[store] += 1;
            }
            self.handover.changes += 1;
        }
        changes.clear();
        self.handover.changes = 0;
        Ok(true)
    }

    fn send_outputs(&mut self, outbox: &mut impl Outbox) -> Result<bool, BrokerError> {
        while let Some(record) = self.cx.outputs.get(self.handover.outputs) {
            let choose = |partitions| choose(&self.plan, &record, partitions, self.handover.round);
            let sent = match target(&self.plan, record.meta.target) {
                Some(to) => {
                    let slot = record.meta.target as usize;
                    warn_of_old(&mut self.handover.warned, slot, to, &record, self.cx.wall_clock);
                    outbox.send(out(&record, &to.topic, choose(to.partitions)))?
                }
                None => {
                    let index = self.handover.outputs;
                    let chosen = self.cx.dynamic_topics.iter().find(|(at, _)| *at == index);
                    let Some((_, topic)) = chosen else {
                        self.handover.outputs += 1;
                        continue;
                    };
                    match outbox.partitions(topic)? {
                        Some(count) => outbox.send(out(&record, topic, choose(count)))?,
                        None => false,
                    }
                }
            };
            if !sent {
                return Ok(false);
            }
            self.handover.outputs += 1;
        }
        self.cx.outputs.clear();
        self.cx.dynamic_topics.clear();
        self.handover.outputs = 0;
        Ok(true)
    }

    /// Whether effects wait to be handed over.
    pub fn has_unsent(&self) -> bool {
        self.unsent() > 0
    }

    /// How many effects wait to be handed over.
    pub(super) fn unsent(&self) -> usize {
        self.cx.state.changes.len() + self.cx.outputs.len()
    }
}

impl Handover {
    pub(super) fn new(plan: &TaskPlan) -> Self {
        Self {
            written: vec![0; plan.changelogs.len()],
            warned: vec![false; plan.sinks.len() + plan.changelogs.len()],
            ..Self::default()
        }
    }

    /// A transaction has ended: the next one starts counting from nothing.
    pub(super) fn restart(&mut self) {
        self.outputs = 0;
        self.changes = 0;
        self.written.fill(0);
        self.round += 1;
    }
}

fn target(plan: &TaskPlan, target: u32) -> Option<&OutputTopic> {
    match target {
        DEAD_LETTERS => plan.dead_letters.as_ref(),
        REFUSED => plan.refused.as_ref(),
        PANICKED => plan.panicked.as_ref(),
        sink => plan.sinks[sink as usize].as_ref(),
    }
}

fn out<'a>(record: &BufferedRecord<'a>, topic: &'a Arc<str>, partition: i32) -> OutRecord<'a> {
    OutRecord {
        topic,
        partition,
        timestamp: record.meta.timestamp,
        key: record.key,
        value: record.value,
        headers: record.headers,
    }
}

fn choose(plan: &TaskPlan, record: &BufferedRecord<'_>, partitions: i32, round: usize) -> i32 {
    match (record.meta.partition, record.key) {
        (Some(partition), _) => partition,
        (None, Some(key)) => {
            // Topics for records that failed are no sinks; their keys are as they came.
            let sink = plan.sub_topology().spec().sinks.get(record.meta.target as usize);
            let suffix = sink.map_or(0, |sink| sink.unhashed_suffix);
            partition_of(&key[..key.len().saturating_sub(suffix)], partitions)
        }
        (None, None) => (round % partitions.max(1) as usize) as i32,
    }
}

/// A record older than its topic's retention is deleted by the broker as soon as its segment is rolled: the user must
/// hear of it, once per topic.
fn warn_of_old(warned: &mut [bool], slot: usize, to: &OutputTopic, record: &BufferedRecord<'_>, wall_clock: Timestamp) {
    let (Some(retention), Some(timestamp)) = (to.retention, record.meta.timestamp) else { return };
    if timestamp.millis() >= wall_clock.millis().saturating_sub(millis(retention)) {
        return;
    }
    if let Some(warned) = warned.get_mut(slot)
        && !*warned
    {
        *warned = true;
        tracing::warn!(
            topic = %to.topic,
            record_time = %timestamp,
            retention_ms = millis(retention),
            "records written to {} are older than its retention.ms: the broker will delete them; \
             set retention.ms=-1 on the topic, or write present timestamps",
            to.topic
        );
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use millstream_operators::dsl::{Materialized, Produced, StreamsBuilder, TimeWindows};
    use millstream_state::model::{Headers, RecordBuffer, RecordMeta, Windowed};

    use super::*;

    const PARTITIONS: i32 = 64;

    /// Where the sinks of a windowed count put a window of `user`: the first by default, the second by a partitioner that
    /// leaves it to the hash.
    fn partitions(user: &str, start: i64) -> (i32, i32) {
        let builder = StreamsBuilder::new();
        let windows = TimeWindows::of_size_with_no_grace(Duration::from_secs(30));
        let counts = builder.stream::<String, i64>("in").group_by_key().windowed_by(windows);
        let counts = counts.count(Materialized::named("counts")).to_stream();
        counts.to("by-key");
        counts.to_with("by-all", Produced::<Windowed<String>, Option<i64>>::new().partitioner(|_, _, _| None));
        let plan = TaskPlan::new(Arc::new(builder.build().unwrap()), 0);

        let key = [user.as_bytes(), &start.to_be_bytes()].concat();
        let place = |target: u32| {
            let mut buffer = RecordBuffer::default();
            let meta = RecordMeta { target, partition: None, timestamp: None };
            buffer.append(meta, &Headers::new(), Some(&key), None);
            choose(&plan, &buffer.get(0).unwrap(), PARTITIONS, 0)
        };
        (place(0), place(1))
    }

    /// Lost once: each window of a key went to a partition of its own, and Kafka Streams' updates of it to another.
    #[test]
    fn all_windows_of_a_key_go_to_the_partition_of_the_key() {
        for start in [0, 30_000, 60_000] {
            assert_eq!(partitions("anna", start).0, partition_of(b"anna", PARTITIONS));
        }
    }

    #[test]
    fn a_partitioner_that_does_not_choose_leaves_it_to_the_hash_of_the_whole_key() {
        let whole = [b"anna".as_slice(), &30_000i64.to_be_bytes()].concat();
        assert_eq!(partitions("anna", 30_000).1, partition_of(&whole, PARTITIONS));
        assert_ne!(partition_of(&whole, PARTITIONS), partition_of(b"anna", PARTITIONS));
    }
}
