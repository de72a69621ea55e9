//! A topic: its id, its settings with Kafka's defaults, and its partitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_state::model::TopicId;

use super::super::{NewTopic, TopicDescription};
use super::log::PartitionLog;

/// What a Kafka 4 broker answers for a topic that sets nothing.
const DEFAULTS: [(&str, &str); 22] = [
    ("cleanup.policy", "delete"),
    ("compression.type", "producer"),
    ("delete.retention.ms", "86400000"),
    ("file.delete.delay.ms", "60000"),
    ("flush.messages", "9223372036854775807"),
    ("flush.ms", "9223372036854775807"),
    ("index.interval.bytes", "4096"),
    ("max.compaction.lag.ms", "9223372036854775807"),
    ("max.message.bytes", "1048588"),
    ("message.timestamp.after.max.ms", "3600000"),
    ("message.timestamp.before.max.ms", "9223372036854775807"),
    ("message.timestamp.type", "CreateTime"),
    ("min.cleanable.dirty.ratio", "0.5"),
    ("min.compaction.lag.ms", "0"),
    ("min.insync.replicas", "1"),
    ("preallocate", "false"),
    ("retention.bytes", "-1"),
    ("retention.ms", "604800000"),
    ("segment.bytes", "1073741824"),
    ("segment.index.bytes", "10485760"),
    ("segment.ms", "604800000"),
    ("unclean.leader.election.enable", "false"),
];

/// The settings that this broker heeds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heeded {
    /// `None` keeps records for ever.
    pub(super) retention: Option<i64>,
    pub(super) deletes: bool,
    pub(super) compacts: bool,
    pub(super) delete_retention: i64,
    pub(super) max_message_bytes: usize,
    pub(super) log_append_time: bool,
}

/// A topic.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    pub(super) id: TopicId,
    pub(super) config: BTreeMap<String, String>,
    pub(super) heeded: Heeded,
    pub(super) partitions: Vec<PartitionLog>,
}

impl Topic {
    /// The topic asked for, or the words with which Kafka refuses it.
    pub(super) fn create(wanted: &NewTopic, id: TopicId) -> Result<Self, String> {
        check_name(&wanted.name)?;
        let partitions = match wanted.partitions {
            // The broker's `num.partitions`.
            -1 => 1,
            wanted if wanted > 0 => wanted,
            wanted => return Err(format!("number of partitions was set to {wanted}, which is not above 0")),
        };
        if let Some(replicas) = wanted.replication.filter(|replicas| ![-1, 1].contains(replicas)) {
            return Err(format!("unable to replicate the partition {replicas} time(s): there is 1 broker"));
        }
        let mut config: BTreeMap<_, _> = DEFAULTS.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        for (key, value) in &wanted.config {
            match config.get_mut(key) {
                Some(setting) => setting.clone_from(value),
                None => return Err(format!("unknown topic config name: {key}")),
            }
        }
        let heeded = heed(&config)?;
        let partitions = (0..partitions).map(|_| PartitionLog::default()).collect();
        Ok(Self { name: wanted.name.clone(), id, config, heeded, partitions })
    }

    pub(super) fn describe(&self) -> TopicDescription {
        TopicDescription {
            name: self.name.clone(),
            id: self.id,
            partitions: self.partitions.len() as i32,
            config: self.config.clone(),
        }
    }

    pub(super) fn partition(&self, partition: i32) -> Option<&PartitionLog> {
        usize::try_from(partition).ok().and_then(|index| self.partitions.get(index))
    }

    pub(super) fn partition_mut(&mut self, partition: i32) -> Option<&mut PartitionLog> {
        usize::try_from(partition).ok().and_then(|index| self.partitions.get_mut(index))
    }

    /// Applies retention and compaction.
    pub(super) fn housekeep(&mut self, now: i64) -> bool {
        let mut deleted = false;
        for log in &mut self.partitions {
            if let Some(retention) = self.heeded.retention.filter(|_| self.heeded.deletes) {
                deleted |= log.expire(now.saturating_sub(retention));
            }
            if self.heeded.compacts {
                log.compact(now, self.heeded.delete_retention, false);
            }
        }
        deleted
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 249 || name == "." || name == ".." || !name.chars().all(legal) {
        return Err(format!(
            "topic name {name:?} is invalid: 1 to 249 characters, ASCII alphanumerics, '.', '_' and '-', not '.' or '..'"
        ));
    }
    Ok(())
}

fn heed(config: &BTreeMap<String, String>) -> Result<Heeded, String> {
    let text = |key: &str| config.get(key).map_or("", String::as_str);
    let number = |key: &str| {
        text(key).parse::<i64>().map_err(|_| format!("invalid value {:?} for configuration {key}", text(key)))
    };
    let policies: Vec<&str> = text("cleanup.policy").split(',').map(str::trim).filter(|p| !p.is_empty()).collect();
    if let Some(unknown) = policies.iter().find(|policy| !["compact", "delete"].contains(policy)) {
        return Err(format!("invalid value {unknown:?} for configuration cleanup.policy: compact or delete"));
    }
    let log_append_time = match text("message.timestamp.type") {
        "CreateTime" => false,
        "LogAppendTime" => true,
        other => return Err(format!("invalid value {other:?} for configuration message.timestamp.type")),
    };
    Ok(Heeded {
        retention: Some(number("retention.ms")?).filter(|retention| *retention >= 0),
        deletes: policies.contains(&"delete"),
        compacts: policies.contains(&"compact"),
        delete_retention: number("delete.retention.ms")?,
        max_message_bytes: usize::try_from(number("max.message.bytes")?).unwrap_or(0),
        log_append_time,
    })
}
