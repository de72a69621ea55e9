//! What an application has written, step by step, read from the logs of its topics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream::state::model::RawRecord;

use super::super::compare::{Played, Written};
use super::offsets;

/// A topic and a partition.
pub(super) type Place = (Arc<str>, i32);

/// All committed records of all partitions, with their offsets, and how far each had come after each step.
#[derive(Default)]
pub(super) struct Logs {
    pub(super) records: BTreeMap<Place, Vec<(i64, Written)>>,
    /// What the vector wrote; the rest is the application's.
    pub(super) piped: BTreeSet<(Arc<str>, i32, i64)>,
    /// After each step, what offset each partition ended at.
    pub(super) ends: Vec<BTreeMap<Place, i64>>,
}

impl Logs {
    /// What the application has written to a partition, in order.
    pub(super) fn written(&self, topic: &str, partition: i32) -> Vec<Written> {
        let place = (Arc::from(topic), partition);
        self.own(&place).map(|(_, record)| record.clone()).collect()
    }

    fn own(&self, place: &Place) -> impl Iterator<Item = &(i64, Written)> {
        let (topic, partition) = place.clone();
        let records = self.records.get(place).into_iter().flatten();
        records.filter(move |(offset, _)| !self.piped.contains(&(topic.clone(), partition, *offset)))
    }

    /// All that the application has written, step by step; within a step by partition. `buffers` are the changelogs in
    /// which offsets are translated.
    pub(super) fn played(&self, buffers: &[String]) -> Played {
        let mut played = Played { after: vec![BTreeMap::new(); self.ends.len()], ..Played::default() };
        let mut waiting: BTreeMap<&Place, _> = BTreeMap::new();
        for place in self.records.keys() {
            waiting.insert(place, self.own(place).peekable());
        }
        for (step, ends) in self.ends.iter().enumerate() {
            for (place, records) in &mut waiting {
                let end = ends.get(*place).copied().unwrap_or(0);
                let written = played.written.entry(place.0.to_string()).or_default();
                while let Some((_, record)) = records.next_if(|(offset, _)| *offset < end) {
                    written.push(record.clone());
                }
                played.after[step].insert(place.0.to_string(), written.len());
            }
        }
        for (_, records) in played.written.iter_mut().filter(|(topic, _)| buffers.contains(topic)) {
            records.iter_mut().for_each(|record| offsets::translate(record, &mut |topic, at| self.offsets(topic, at)));
        }
        played.written.retain(|_, records| !records.is_empty());
        let written = &played.written;
        played.after.iter_mut().for_each(|after| after.retain(|topic, _| written.contains_key(topic)));
        played
    }

    /// The offsets of all records of a partition, whoever wrote them.
    fn offsets(&self, topic: &Arc<str>, partition: i32) -> Vec<i64> {
        let records = self.records.get(&(topic.clone(), partition)).into_iter().flatten();
        records.map(|(offset, _)| *offset).collect()
    }
}

/// A record as it is compared.
pub(super) fn written(record: &RawRecord<'_>) -> Written {
    let headers = record.headers.iter();
    Written {
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        timestamp: Some(record.timestamp.millis()),
        headers: headers
            .map(|header| (header.name.to_string(), header.value.as_ref().map(|value| value.to_vec())))
            .collect(),
    }
}
