//! What the application has done, seen from outside: its output, its offsets, its group.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::options::Order;
use super::watch::{Stopwatch, pause};
use crate::topics;

const TIMEOUT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// A read_committed reader that stands at the end of the output.
pub(super) struct Outputs {
    reader: BaseConsumer,
}

impl Outputs {
    pub(super) fn new(order: &Order) -> Result<Self> {
        let mut config = topics::reader(&order.bootstrap_servers, "restart-reader");
        let reader: BaseConsumer = config.set("fetch.wait.max.ms", "20").create()?;
        let mut list = TopicPartitionList::new();
        for (partition, end) in topics::ends(&reader, &order.output)?.into_iter().enumerate() {
            list.add_partition_offset(&order.output, partition as i32, Offset::Offset(end))?;
        }
        reader.assign(&list)?;
        Ok(Self { reader })
    }

    /// Reads on until there is a record of this key.
    pub(super) fn wait_for(&self, key: &str, patience: Duration) -> Result<()> {
        let began = Stopwatch::start();
        while began.elapsed() < patience {
            if let Some(message) = self.reader.poll(Duration::from_millis(100))
                && message?.key() == Some(key.as_bytes())
            {
                return Ok(());
            }
        }
        bail!("no output for {key} in {patience:?}")
    }
}

/// The application's group.
pub(super) struct Group {
    // Not a member: it only asks.
    client: BaseConsumer,
    name: String,
    input: String,
}

impl Group {
    pub(super) fn new(order: &Order) -> Result<Self> {
        let client = topics::reader(&order.bootstrap_servers, &order.name).create()?;
        Ok(Self { client, name: order.name.clone(), input: order.input.clone() })
    }

    /// Waits until all input there is now has been committed.
    pub(super) fn wait_until_committed(&self, patience: Duration) -> Result<()> {
        let ends = topics::ends(&self.client, &self.input)?;
        let began = Stopwatch::start();
        while began.elapsed() < patience {
            let list = topics::from_the_start(&self.input, ends.len())?;
            // The broker may not have a coordinator for a group that nobody has joined yet.
            let Ok(committed) = self.client.committed_offsets(list, TIMEOUT) else {
                pause(LOOK);
                continue;
            };
            let at_end = |partition: i32| Offset::Offset(ends[partition as usize]);
            let empty = |partition: i32| ends[partition as usize] == 0;
            let reached = |partition, offset| offset == at_end(partition) || empty(partition);
            if committed.elements().iter().all(|element| reached(element.partition(), element.offset())) {
                return Ok(());
            }
            pause(LOOK);
        }
        bail!("group {} has not committed the end of {} in {patience:?}", self.name, self.input)
    }

    /// Whether it has no members.
    pub(super) fn is_empty(&self) -> Result<bool> {
        let groups = self.client.fetch_group_list(Some(&self.name), TIMEOUT)?;
        let group = groups.groups().iter().find(|group| group.name() == self.name);
        Ok(group.with_context(|| format!("the broker does not know group {}", self.name))?.members().is_empty())
    }
}
