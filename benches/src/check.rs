//! Reads what a run has written: a fast run that loses records is no run.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;

use crate::order::{Order, Side, Workload};
use crate::topics;

/// Compares a run's committed output with the input, and answers how many records it wrote.
///
/// # Errors
/// If the output is wrong, or cannot be read.
pub fn output(order: &Order, passing: u64) -> Result<u64> {
    let mut config = topics::reader(&order.bootstrap_servers, &format!("{}-check", order.name));
    let consumer: BaseConsumer = config.set("enable.partition.eof", "true").create()?;
    let partitions = topics::ends(&consumer, &order.output)?.len();
    consumer.assign(&topics::from_the_start(&order.output, partitions)?)?;
    let (mut written, mut at_end) = (0, 0);
    let mut counts: HashMap<Vec<u8>, u64> = HashMap::new();
    while at_end < partitions {
        match consumer.poll(Duration::from_secs(30)) {
            None => bail!("{} has no end", order.output),
            Some(Err(KafkaError::PartitionEOF(_))) => at_end += 1,
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(message)) => {
                written += 1;
                let key = message.key().unwrap_or_default();
                if order.workload == Workload::ReduceLargeState {
                    counts.insert(key.to_vec(), 1);
                } else if order.workload.counts() {
                    let bytes = message.payload().and_then(|value| value.try_into().ok());
                    let count = bytes.map_or(0, u64::from_be_bytes);
                    let last = counts.entry(key.to_vec()).or_default();
                    ensure!(count > *last, "a count in {} went from {last} to {count}", order.output);
                    *last = count;
                }
            }
        }
    }
    let (found, expected) = match (order.workload, order.side) {
        // Keys with their windows, where there are some: the last counts of all add up to the input.
        (workload, _) if workload.counts() => (counts.values().sum(), order.records * workload.steps_per_record()),
        (Workload::ReduceLargeState, _) => (counts.len() as u64, order.records.min(order.keys as u64)),
        (Workload::Passthrough, Side::Millstream | Side::KafkaStreams) => (written, passing),
        _ => (written, order.records),
    };
    ensure!(found == expected, "{} accounts for {found} records instead of {expected}", order.output);
    Ok(written)
}
