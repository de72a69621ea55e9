//! What restarts replayed, told by their logs, against what was missing, told by the changelogs.
//!
//! ```text
//!   changelog   … ▓▓▓▓▓|▓▓▓▓|▓▓▓▓▓▓|          | commit marker
//!                           ▲       ▲
//!                           │       end when the owner was killed
//!                           start of the last transaction: nothing before it may be replayed
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, ensure};
use millstream::broker::{Broker, Isolation};
use millstream::state::model::TopicPartition;
use millstream_examples::calls::ask;
use millstream_examples::outputs;

use super::follower::Follower;

/// Where changelog partitions end for a read_committed reader.
pub(super) type Ends = BTreeMap<TopicPartition, i64>;

/// The stores of `flights`, by the number of their sub-topology.
const STORES: [(&str, u32); 3] = [("by-origin", 1), ("by-origin-hour", 2), ("by-carrier", 3)];
const PARTITIONS: i32 = 6;

/// What restarts replayed.
#[derive(Debug, Default)]
pub struct Replays {
    /// Replays of a store whose disk was kept.
    pub tails: usize,
    /// Records in them.
    pub tail_records: usize,
    /// Replays of a store without a disk.
    pub whole: usize,
    /// Records in them.
    pub whole_records: usize,
    /// Kills of a process that ran all its tasks: its next replay was held against its last transaction.
    pub checked: usize,
}

/// One line `restored … records`.
struct Restored {
    changelog: TopicPartition,
    records: usize,
    from: i64,
    to: i64,
}

/// Where all changelogs end now.
pub(super) async fn ends(broker: &dyn Broker, application: &str) -> anyhow::Result<Ends> {
    let admin = broker.admin();
    let topics: Vec<Arc<str>> = STORES.iter().map(|(store, _)| changelog(application, store)).collect();
    let described = ask(|| admin.describe_topics(topics.clone())).await?;
    // A process may be killed before the first has created them.
    let present = described.into_iter().flatten().map(|topic| topic.name);
    let partitions: Vec<_> = present
        .flat_map(|topic| (0..PARTITIONS).map(move |number| TopicPartition::new(topic.clone(), number)))
        .collect();
    let ends = ask(|| admin.end_positions(partitions.clone(), Isolation::ReadCommitted)).await?;
    Ok(partitions.into_iter().zip(ends.into_iter().map(|end| end.number())).collect())
}

fn changelog(application: &str, store: &str) -> Arc<str> {
    format!("{application}-{store}-changelog").into()
}

/// Checks all restarts of all processes.
pub(super) async fn check(broker: &dyn Broker, application: &str, followers: &[Follower]) -> anyhow::Result<Replays> {
    let committed = committed_offsets(broker, application).await?;
    let mut replays = Replays::default();
    for follower in followers {
        // What the present disk is known to hold, at least.
        let mut floors = BTreeMap::new();
        for life in &follower.lives {
            if life.fresh {
                floors.clear();
            }
            let log = std::fs::read_to_string(&life.log)?;
            for restored in restored(&log)? {
                let floor = floors.get(&restored.changelog).copied();
                replays.count(&restored, floor.is_some());
                let floor = floor.unwrap_or(0);
                let offsets = &committed[&restored.changelog];
                let again = offsets.range(restored.from.min(floor)..floor).count();
                ensure!(
                    again == 0,
                    "{}: {} was replayed from {}, {again} records of it had been there: everything before {floor}",
                    life.log.display(),
                    restored.changelog,
                    restored.from,
                );
                floors.insert(restored.changelog, restored.to);
            }
            let Some(ends) = &life.ends else { continue };
            let owned = owned(&log);
            replays.checked += usize::from(!owned.is_empty());
            for task in owned {
                for (partition, &end) in ends.iter().filter(|(partition, _)| task_of(application, partition) == task) {
                    let start = last_transaction(&committed[partition], end);
                    let floor = floors.entry(partition.clone()).or_insert(0);
                    *floor = start.max(*floor);
                }
            }
        }
    }
    Ok(replays)
}

impl Replays {
    fn count(&mut self, restored: &Restored, disk_kept: bool) {
        if disk_kept {
            self.tails += 1;
            self.tail_records += restored.records;
        } else {
            self.whole += 1;
            self.whole_records += restored.records;
        }
    }
}

/// The offsets of all committed records of all changelogs.
async fn committed_offsets(
    broker: &dyn Broker,
    application: &str,
) -> anyhow::Result<BTreeMap<TopicPartition, BTreeSet<i64>>> {
    let mut offsets: BTreeMap<TopicPartition, BTreeSet<i64>> = BTreeMap::new();
    for (store, _) in STORES {
        let topic = changelog(application, store);
        for partition in outputs::partitions(broker, &topic).await? {
            offsets.insert(partition, BTreeSet::new());
        }
        outputs::read(broker, &topic, |partition, record| {
            let partition = TopicPartition::new(topic.clone(), partition);
            offsets.entry(partition).or_default().insert(record.offset.number());
        })
        .await?;
    }
    Ok(offsets)
}

/// Where the last transaction before `end` begins: the records of one follow each other, a marker stands between two.
fn last_transaction(committed: &BTreeSet<i64>, end: i64) -> i64 {
    let mut start = end;
    for &offset in committed.range(..end).rev() {
        if start != end && offset + 1 != start {
            break;
        }
        start = offset;
    }
    start
}

/// The tasks that a process was running when its log ends; none if it was still getting there.
fn owned(log: &str) -> Vec<String> {
    let after = |text: &str| log.rfind(text).map(|at| (at, &log[at + text.len()..]));
    let running = after("REBALANCING → RUNNING").map(|(at, _)| at);
    match (after(" assigned "), running) {
        (Some((assigned, rest)), Some(running)) if running > assigned => {
            let line = rest.lines().next().unwrap_or_default();
            line.split_once(": ").map(|(_, tasks)| tasks.split(' ').map(str::to_owned).collect()).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// The task that a changelog partition belongs to.
fn task_of(application: &str, partition: &TopicPartition) -> String {
    let store = STORES.iter().find(|(store, _)| changelog(application, store) == partition.topic);
    store.map_or_else(String::new, |(_, number)| format!("{number}_{}", partition.partition))
}

fn restored(log: &str) -> anyhow::Result<Vec<Restored>> {
    log.lines().filter(|line| line.contains(" restored ")).map(parse).collect()
}

fn parse(line: &str) -> anyhow::Result<Restored> {
    let field = |name: &str| {
        let value = line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        value.with_context(|| format!("no {name} in {line:?}"))
    };
    let (topic, number) = field("changelog")?.rsplit_once('-').context("a topic and a partition")?;
    Ok(Restored {
        changelog: TopicPartition::new(topic, number.parse()?),
        records: field("records")?.parse()?,
        from: field("from")?.parse()?,
        to: field("to")?.parse()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_transaction_begins_after_the_last_marker_but_one() {
        // markers at 3, 6 and 9
        let committed = BTreeSet::from([0, 1, 2, 4, 5, 7, 8]);
        assert_eq!(last_transaction(&committed, 10), 7);
        assert_eq!(last_transaction(&committed, 7), 4);
        assert_eq!(last_transaction(&committed, 3), 0);
        assert_eq!(last_transaction(&BTreeSet::new(), 5), 5);
    }

    #[test]
    fn a_restore_line_is_understood() {
        let line = "2026-01-01T00:00:00Z  INFO millstream::restore::replay: restored 56 records in 9 ms task=1_0 \
                    changelog=a-by-origin-changelog-4 records=56 from=7 to=112";
        let restored = &restored(line).unwrap()[0];
        assert_eq!(restored.changelog, TopicPartition::new("a-by-origin-changelog", 4));
        assert_eq!((restored.records, restored.from, restored.to), (56, 7, 112));
    }

    #[test]
    fn only_a_process_that_runs_all_its_tasks_owns_them() {
        let assigned = "INFO controller: a: assigned 2 tasks: 1_0 2_3\n";
        let running = "INFO state: a: REBALANCING → RUNNING\n";
        assert_eq!(owned(&format!("{assigned}{running}")), ["1_0", "2_3"]);
        assert_eq!(owned(&format!("{running}{assigned}")), [""; 0]);
        assert_eq!(owned(assigned), [""; 0]);
    }
}
