//! Compares what a life has left with what its application must give: outputs as a reader of committed records sees
//! them, changelogs replayed, and the stores on every disk.

use std::ops::Range;
use std::sync::Arc;

use millstream::broker::embedded::LogRecord;
use millstream::broker::{Broker, Isolation, OutRecord, ProducerSettings, Wake};
use millstream::state::changelog::push_timestamped;
use millstream::state::model::{Headers, Position};
use millstream::state::store::{Persistence, StoreId, StoreKind, StoreSpec};
use millstream::task::TaskId;

use super::life::Life;
use super::scenario::Scenario;
use super::workload::{Steps, Table};
use super::{APP, disks};

/// Compares; all processes must have stopped.
pub(super) fn check(life: &Life) -> Result<(), String> {
    if let Some(behind) = life.behind() {
        return Err(format!("after the stop, {behind}"));
    }
    nothing_hangs(life)?;
    let expected = life.scenario.workload.expected(&life.scenario.inputs, life.scenario.partitions);
    for (topic, steps) in &expected.outputs {
        outputs(life, topic, steps)?;
    }
    for sub in life.topology.sub_topologies() {
        for (index, store) in sub.spec().stores.iter().enumerate() {
            let wanted = expected.stores.get(&*store.name).cloned().unwrap_or_default();
            changelog(life, store, &wanted)?;
            // What is in memory is gone with the process; the changelog is all that it leaves.
            let partitions = if store.persistence == Persistence::Durable { life.scenario.partitions } else { 0 };
            for partition in 0..partitions {
                let task = TaskId { sub_topology: sub.spec().id, partition };
                disks::check(life, &sub.spec().stores, StoreId(index as u32), task)?;
            }
        }
    }
    probe(life)
}

fn nothing_hangs(life: &Life) -> Result<(), String> {
    let open = life.broker.open_transactions();
    if !open.is_empty() {
        return Err(format!("transactions hang: {open:?}"));
    }
    for topic in life.broker.topics() {
        for partition in 0..life.scenario.partitions {
            let end = |isolation| life.broker.end(&topic, partition, isolation);
            let (Ok(stable), Ok(high)) = (end(Isolation::ReadCommitted), end(Isolation::ReadUncommitted)) else {
                continue;
            };
            if stable != high {
                return Err(format!("{topic}-{partition} can be read to {stable} of {high} only"));
            }
        }
    }
    Ok(())
}

pub(super) fn read(life: &Life, topic: &str, partition: i32) -> Vec<LogRecord> {
    life.broker.read_log(topic, partition, Isolation::ReadCommitted).unwrap_or_default()
}

pub(super) fn show(value: Option<&[u8]>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |bytes| format!("\"{}\"", bytes.escape_ascii()))
}

fn show_steps(steps: &[Option<Vec<u8>>]) -> String {
    steps.iter().map(|step| show(step.as_deref())).collect::<Vec<_>>().join(" → ")
}

fn outputs(life: &Life, topic: &str, wanted: &Steps) -> Result<(), String> {
    let mut found = Steps::new();
    for record in (0..life.scenario.partitions).flat_map(|partition| read(life, topic, partition)) {
        let key = record.key.unwrap_or_default().to_vec();
        found.entry(key).or_default().push(record.value.map(|value| value.to_vec()));
    }
    let Scenario { workload, exactly_once, inputs, .. } = &life.scenario;
    let known = |key: &Vec<u8>| wanted.contains_key(key) || (!exactly_once && workload.can_be(inputs, key));
    if let Some(key) = found.keys().find(|key| !known(key)) {
        return Err(format!("topic {topic} has a key {} that no input gives", key.escape_ascii()));
    }
    for (key, wanted) in wanted {
        let none = Vec::new();
        let found = found.get(key).unwrap_or(&none);
        let (last, last_wanted) = (found.last().cloned().flatten(), wanted.last().cloned().flatten());
        let right = if *exactly_once {
            let order = workload.steps_are_right(found, wanted, !life.scenario.cached);
            order && (last == last_wanted || !workload.last_counts())
        } else {
            // A delete that is repeated after a crash finds nothing to delete and is not handed on, as in Kafka Streams.
            last_wanted.is_none() || workload.will_do(last.as_deref(), last_wanted.as_deref())
        };
        if !right {
            let (found, wanted, key) = (show_steps(found), show_steps(wanted), key.escape_ascii());
            return Err(format!("topic {topic}, key {key}:\n  found  {found}\n  wanted {wanted}"));
        }
    }
    Ok(())
}

/// A part of a changelog replayed over what is there already, as the bytes of a store.
pub(super) fn replay(life: &Life, store: &StoreSpec, partition: i32, part: Range<Position>, mut table: Table) -> Table {
    let topic = format!("{APP}-{}-changelog", store.name);
    for record in read(life, &topic, partition) {
        if !part.contains(&Position::new(record.offset.number())) {
            continue;
        }
        let key = record.key.unwrap_or_default().to_vec();
        match record.value {
            Some(value) if is_timestamped(store.kind) => {
                let mut bytes = Vec::new();
                push_timestamped(&mut bytes, record.timestamp, &value);
                table.insert(key, bytes);
            }
            Some(value) => drop(table.insert(key, value.to_vec())),
            None => drop(table.remove(&key)),
        }
    }
    table
}

/// Where no changelog ends.
pub(super) const NO_END: Position = Position::new(i64::MAX);

fn is_timestamped(kind: StoreKind) -> bool {
    matches!(kind, StoreKind::TimestampedKeyValue | StoreKind::TimestampedWindow(_))
}

/// The time by which an entry of a store that forgets is kept: the start of a window, the end of a session.
pub(super) fn time_of(kind: StoreKind, key: &[u8]) -> Option<i64> {
    // The start and a sequence number, or the end and the start, are the last of the key.
    let from_end = match kind {
        StoreKind::Window(_) | StoreKind::TimestampedWindow(_) => 12,
        StoreKind::Session(_) => 16,
        _ => return None,
    };
    let at = key.len().checked_sub(from_end)?;
    key.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(i64::from_be_bytes)
}

fn changelog(life: &Life, store: &StoreSpec, wanted: &Table) -> Result<(), String> {
    let skip = if is_timestamped(store.kind) { 8 } else { 0 };
    let mut found = Table::new();
    for partition in 0..life.scenario.partitions {
        let table = replay(life, store, partition, Position::START..NO_END, Table::new());
        let seen = |key: &[u8], value: &[u8]| life.scenario.workload.seen(&store.name, key, value);
        found.extend(table.iter().map(|(key, value)| seen(key, value.get(skip..).unwrap_or_default())));
    }
    differ(life, &format!("changelog of {}", store.name), &found, wanted)
}

fn differ(life: &Life, what: &str, found: &Table, wanted: &Table) -> Result<(), String> {
    let keys: std::collections::BTreeSet<&Vec<u8>> = found.keys().chain(wanted.keys()).collect();
    for key in keys {
        let (found, wanted) = (found.get(key).map(Vec::as_slice), wanted.get(key).map(Vec::as_slice));
        let right = match life.scenario.exactly_once {
            true => found == wanted,
            false => life.scenario.workload.will_do(found, wanted),
        };
        if !right {
            return Err(format!("{what}, key {}: found {}, wanted {}", key.escape_ascii(), show(found), show(wanted)));
        }
    }
    Ok(())
}

/// A transaction over all topics goes through and can be read: nothing of the application is in its way.
fn probe(life: &Life) -> Result<(), String> {
    let settings = ProducerSettings {
        client_id: "probe".into(),
        transactional_id: Some("probe".into()),
        transaction_timeout: std::time::Duration::from_secs(10),
    };
    let failed = |error: millstream::broker::BrokerError| format!("the probe failed: {error}");
    let mut producer = life.broker.producer(settings, Wake::nobody()).map_err(failed)?;
    producer.init().poll().unwrap_or(Ok(())).map_err(failed)?;
    producer.begin().map_err(failed)?;
    for topic in life.scenario.workload.outputs() {
        let topic: Arc<str> = (*topic).into();
        for partition in 0..life.scenario.partitions {
            let (key, value) = (Some(&b"probe"[..]), Some(&b"probe"[..]));
            let headers = &Headers::new();
            let record = OutRecord { topic: &topic, partition, timestamp: Some(super::START), key, value, headers };
            producer.produce(record).map_err(failed)?;
        }
    }
    producer.commit().poll().unwrap_or(Ok(())).map_err(failed)?;
    // The next transaction begins only when the markers of this one are written.
    producer.begin().map_err(failed)?;
    for topic in life.scenario.workload.outputs() {
        for partition in 0..life.scenario.partitions {
            let last = read(life, topic, partition).pop().and_then(|record| record.value);
            if last.as_deref() != Some(&b"probe"[..]) {
                return Err(format!("the probe cannot be read in {topic}-{partition}"));
            }
        }
    }
    Ok(())
}
