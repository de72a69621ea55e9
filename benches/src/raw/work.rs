//! What the raw loop does with a record: no more than what a topology's reads and writes take of the client.

use std::collections::HashMap;

use anyhow::{Result, bail};
use rustc_hash::FxBuildHasher;

use super::Output;
use super::latest::Latest;
use crate::native::{Message, Topic};
use crate::order::{Caching, Order, Workload};
use crate::topics::Topics;

pub(super) enum Work {
    /// Writes the record as it came.
    Copy { output: Topic },
    /// Writes every count; with a changelog, to that as well.
    Count { output: Topic, changelog: Option<Topic>, counts: HashMap<Box<[u8]>, u64, FxBuildHasher>, _own: Topics },
    /// Writes the words of a text to a topic, reads them from it, and writes the counts that have changed when it commits.
    Words { words: Topic, name: String, output: Topic, changelog: Topic, counts: Counts, _own: Topics },
    /// Looks up the value before, keeps the new one, and writes it, also to a changelog.
    Reduce { output: Topic, changelog: Topic, latest: Latest, _own: Topics },
}

impl Work {
    pub(super) fn new(order: &Order, sender: &Output) -> Result<Self> {
        let output = sender.topic(&order.output)?;
        if matches!(order.workload, Workload::Passthrough | Workload::Copy) {
            return Ok(Self::Copy { output });
        }
        let own = Topics::new(&order.bootstrap_servers, format!("{}-own", order.name))?;
        let partitions = own.partitions(&order.output)?;
        let changelog = || sender.topic(&own.create("changelog", partitions)?);
        Ok(match order.workload {
            Workload::Count => {
                let changelog = (order.caching == Caching::Off).then(changelog).transpose()?;
                Self::Count { output, changelog, counts: HashMap::default(), _own: own }
            }
            Workload::Wordcount => {
                let name = own.create("words", partitions)?;
                let (words, changelog) = (sender.topic(&name)?, changelog()?);
                Self::Words { words, name, output, changelog, counts: Counts::default(), _own: own }
            }
            Workload::ReduceLargeState => {
                Self::Reduce { output, changelog: changelog()?, latest: Latest::open(order)?, _own: own }
            }
            other => bail!("there is no raw loop for {}", other.name()),
        })
    }

    /// The topics that are read.
    pub(super) fn reads<'a>(&'a self, order: &'a Order) -> Vec<&'a str> {
        match self {
            Self::Words { name, .. } => vec![&order.input, name],
            Self::Copy { .. } | Self::Count { .. } | Self::Reduce { .. } => vec![&order.input],
        }
    }

    /// Takes a record of the topic of this number, and answers how many records of the last stage that was.
    pub(super) fn record(&mut self, topic: usize, record: &Message<'_>, sender: &Output) -> Result<u64> {
        match self {
            Self::Copy { output } => sender.send(output, record.key, record.value, record.timestamp)?,
            Self::Count { output, changelog, counts, .. } => {
                let count = match counts.get_mut(record.key) {
                    Some(count) => {
                        *count += 1;
                        *count
                    }
                    None => {
                        counts.insert(record.key.into(), 1);
                        1
                    }
                };
                sender.send(output, record.key, &count.to_be_bytes(), record.timestamp)?;
                if let Some(changelog) = changelog {
                    sender.send(changelog, record.key, &row(count, record.timestamp), record.timestamp)?;
                }
            }
            Self::Words { words, .. } if topic == 0 => {
                for word in record.value.split(|&byte| byte == b' ') {
                    sender.send(words, word, word, record.timestamp)?;
                }
                return Ok(0);
            }
            Self::Words { counts, .. } => counts.add(record.key, record.timestamp),
            Self::Reduce { output, changelog, latest, .. } => {
                latest.set(record.key, record.value, record.timestamp)?;
                sender.send(output, record.key, record.value, record.timestamp)?;
                sender.send(changelog, record.key, record.value, record.timestamp)?;
            }
        }
        Ok(1)
    }

    /// Writes what waits for the end of the transaction.
    pub(super) fn commit(&mut self, sender: &Output) -> Result<()> {
        let Self::Words { output, changelog, counts, .. } = self else { return Ok(()) };
        for counted in counts.changed() {
            sender.send(output, &counted.key, &counted.count.to_be_bytes(), counted.timestamp)?;
            sender.send(changelog, &counted.key, &row(counted.count, counted.timestamp), counted.timestamp)?;
        }
        Ok(())
    }

    /// The transaction has been committed.
    pub(super) fn committed(&mut self) -> Result<()> {
        if let Self::Reduce { latest, .. } = self { latest.write() } else { Ok(()) }
    }
}

/// How often each word came, and which of them since the last commit.
#[derive(Default)]
pub(super) struct Counts {
    index: HashMap<Box<[u8]>, usize, FxBuildHasher>,
    counted: Vec<Counted>,
    changed: Vec<usize>,
}

struct Counted {
    key: Box<[u8]>,
    count: u64,
    timestamp: i64,
    changed: bool,
}

/// As in a changelog: the timestamp and the count.
fn row(count: u64, timestamp: i64) -> [u8; 16] {
    let mut row = [0; 16];
    row[..8].copy_from_slice(&timestamp.to_be_bytes());
    row[8..].copy_from_slice(&count.to_be_bytes());
    row
}

impl Counts {
    fn add(&mut self, key: &[u8], timestamp: i64) {
        let at = match self.index.get(key) {
            Some(&at) => at,
            None => {
                self.index.insert(key.into(), self.counted.len());
                self.counted.push(Counted { key: key.into(), count: 0, timestamp, changed: false });
                self.counted.len() - 1
            }
        };
        let counted = &mut self.counted[at];
        counted.count += 1;
        counted.timestamp = counted.timestamp.max(timestamp);
        if !counted.changed {
            counted.changed = true;
            self.changed.push(at);
        }
    }

    /// Those that have changed since the last time.
    fn changed(&mut self) -> impl Iterator<Item = &Counted> {
        let Self { counted, changed, .. } = self;
        for &at in &*changed {
            counted[at].changed = false;
        }
        changed.drain(..).map(|at| &counted[at])
    }
}
