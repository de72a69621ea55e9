//! The input: the same options give the same records in the same order in every partition.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Result, bail};
use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::meter;
use crate::options::Options;

const VALUE_BYTES: usize = 100;
const SEED: u64 = 1;

/// The records span an hour of record time, which ended about an hour ago.
const SPAN_MS: i64 = 3_600_000;

/// Ranks by Zipf's law, from the exact cumulative distribution.
struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    fn new(ranks: usize, exponent: f64) -> Self {
        let mut total = 0.0;
        let weights = (1..=ranks).map(|rank| (rank as f64).powf(-exponent));
        let mut cumulative: Vec<f64> = weights
            .map(|weight| {
                total += weight;
                total
            })
            .collect();
        for sum in &mut cumulative {
            *sum /= total;
        }
        Self { cumulative }
    }

    fn draw(&self, random: &mut StdRng) -> usize {
        let at: f64 = random.random();
        self.cumulative.partition_point(|&sum| sum < at).min(self.cumulative.len() - 1)
    }
}

/// Draws records one after the other into buffers of its own.
struct Records {
    random: StdRng,
    zipf: Zipf,
    keys: usize,
    key: Vec<u8>,
    value: [u8; VALUE_BYTES],
}

impl Records {
    fn new(keys: usize, exponent: f64) -> Self {
        Self {
            random: StdRng::seed_from_u64(SEED),
            zipf: Zipf::new(keys, exponent),
            keys,
            key: Vec::new(),
            value: [0; VALUE_BYTES],
        }
    }

    /// A key of 12 bytes and a value of 100 hexadecimal digits.
    fn draw(&mut self) {
        // Multiplied by a prime, so that the frequent keys do not lie side by side.
        let id = self.zipf.draw(&mut self.random) as u64 * 1_000_003 % self.keys as u64;
        self.key.clear();
        // Writing to a vector cannot fail.
        let _ = write!(self.key, "key-{id:08}");
        for digits in self.value.chunks_mut(16) {
            let mut bits = self.random.next_u64();
            for digit in digits {
                *digit = b"0123456789abcdef"[(bits & 15) as usize];
                bits >>= 4;
            }
        }
    }
}

/// Whether the passthrough workload lets a value through: half of all do.
pub fn passes(value: &[u8]) -> bool {
    value.first().is_some_and(|&first| first < b'8')
}

/// Fills a topic, and answers how many of its values pass.
///
/// # Errors
/// If the broker does not take all records.
pub fn fill(bootstrap: &str, topic: &str, options: &Options) -> Result<u64> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("enable.idempotence", "true").set("partitioner", "murmur2_random");
    config.set("linger.ms", "50").set("batch.size", "262144").set("batch.num.messages", "20000");
    let producer: BaseProducer = config.create()?;
    let mut records = Records::new(options.keys, options.zipf);
    let start = meter::wall_ms() - 2 * SPAN_MS;
    let mut passed = 0;
    for index in 0..options.records {
        records.draw();
        passed += u64::from(passes(&records.value));
        let timestamp = start + (index as f64 / options.records as f64 * SPAN_MS as f64) as i64;
        let mut record = BaseRecord::to(topic).key(&records.key).payload(&records.value[..]).timestamp(timestamp);
        while let Err((error, refused)) = producer.send(record) {
            let KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) = error else {
                bail!("filling {topic}: {error}")
            };
            record = refused;
            producer.poll(Duration::from_millis(10));
        }
        if index % 1000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(Duration::from_secs(120))?;
    Ok(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_sizes_of_the_peers_and_half_of_them_pass() {
        let mut records = Records::new(200_000, 0.99);
        let mut passed = 0;
        for _ in 0..10_000 {
            records.draw();
            assert_eq!((records.key.len(), records.value.len()), (12, 100));
            passed += usize::from(passes(&records.value));
        }
        assert!((4_800..5_200).contains(&passed), "{passed} of 10000");
    }

    #[test]
    fn the_first_rank_has_its_share_of_zipfs_law() {
        let (zipf, mut random) = (Zipf::new(200_000, 0.99), StdRng::seed_from_u64(7));
        let first = (0..100_000).filter(|_| zipf.draw(&mut random) == 0).count();
        let share = zipf.cumulative[0];
        assert!((first as f64 / 100_000.0 - share).abs() < 0.005, "{first} of 100000, expected a share of {share}");
    }
}
