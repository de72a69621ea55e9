//! The input: the same settings give the same records in the same order in every partition.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Result, bail};
use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::meter;
use crate::order::WORDS;

const SEED: u64 = 1;

/// The records span an hour of record time, which ended about an hour ago.
const SPAN_MS: i64 = 3_600_000;

/// By how much a table's records are older, so that they are however much later they are written.
const OLDER_MS: i64 = 86_400_000;

/// From how many words texts are made.
const VOCABULARY: usize = 20_000;

/// Which keys the records have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keys {
    /// Some far more often than others: by Zipf's law with this exponent.
    Zipf(f64),
    /// Each once, then each once more, and so on.
    InTurn,
}

/// Which values the records have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// So many hexadecimal digits.
    Digits(usize),
    /// 16 words of five letters, by Zipf's law.
    Text,
}

/// What a topic is filled with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Input {
    /// How many records.
    pub records: u64,
    /// How many keys.
    pub keys: usize,
    /// How often each of them.
    pub draw: Keys,
    /// Their values.
    pub values: Values,
    /// Whether all are older than those of any other input: a table that is there before its stream.
    pub table: bool,
}

impl Input {
    /// As the peers' figures were taken: values of 100 digits.
    pub fn new(records: u64, keys: usize, draw: Keys) -> Self {
        Self { records, keys, draw, values: Values::Digits(100), table: false }
    }
}

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

/// Multiplied by a prime, so that the frequent keys, and those that follow each other, do not lie side by side.
fn scattered(rank: usize, keys: usize) -> u64 {
    rank as u64 * 1_000_003 % keys as u64
}

/// Draws records one after the other into buffers of its own.
struct Records {
    random: StdRng,
    input: Input,
    zipf: Option<Zipf>,
    words: Zipf,
    drawn: usize,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Records {
    fn new(input: Input) -> Self {
        let zipf = match input.draw {
            Keys::Zipf(exponent) => Some(Zipf::new(input.keys, exponent)),
            Keys::InTurn => None,
        };
        let (random, words) = (StdRng::seed_from_u64(SEED), Zipf::new(VOCABULARY, 1.0));
        Self { random, input, zipf, words, drawn: 0, key: Vec::new(), value: Vec::new() }
    }

    /// A key of 12 bytes, and a value.
    fn draw(&mut self) {
        let rank = match &self.zipf {
            Some(zipf) => zipf.draw(&mut self.random),
            None => self.drawn % self.input.keys,
        };
        self.drawn += 1;
        self.key.clear();
        // Writing to a vector cannot fail.
        let _ = write!(self.key, "key-{:08}", scattered(rank, self.input.keys));
        self.value.clear();
        match self.input.values {
            Values::Digits(length) => self.digits(length),
            Values::Text => self.text(),
        }
    }

    fn digits(&mut self, length: usize) {
        self.value.resize(length, 0);
        for digits in self.value.chunks_mut(16) {
            let mut bits = self.random.next_u64();
            for digit in digits {
                *digit = b"0123456789abcdef"[(bits & 15) as usize];
                bits >>= 4;
            }
        }
    }

    fn text(&mut self) {
        for index in 0..WORDS {
            if index > 0 {
                self.value.push(b' ');
            }
            let mut word = scattered(self.words.draw(&mut self.random), VOCABULARY);
            for _ in 0..5 {
                self.value.push(b'a' + (word % 26) as u8);
                word /= 26;
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
pub fn fill(bootstrap: &str, topic: &str, input: Input) -> Result<u64> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("enable.idempotence", "true").set("partitioner", "murmur2_random");
    config.set("linger.ms", "50").set("batch.size", "262144").set("batch.num.messages", "20000");
    let producer: BaseProducer = config.create()?;
    let mut records = Records::new(input);
    let (start, span) = match meter::wall_ms() - 2 * SPAN_MS {
        start if input.table => (start - OLDER_MS, 50_000),
        start => (start, SPAN_MS),
    };
    let mut passed = 0;
    for index in 0..input.records {
        records.draw();
        passed += u64::from(passes(&records.value));
        let timestamp = start + (index as f64 / input.records as f64 * span as f64) as i64;
        let mut record = BaseRecord::to(topic).key(&records.key).payload(&records.value).timestamp(timestamp);
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

/// Adds a record to each partition: what an instance that comes back waits for, in all of its tasks.
///
/// # Errors
/// If the broker does not take them.
pub fn one_each(bootstrap: &str, topic: &str, partitions: i32) -> Result<()> {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    for partition in 0..partitions {
        let record = BaseRecord::to(topic).partition(partition).key("key-00000001").payload("one more");
        producer.send(record).map_err(|(error, _)| error)?;
    }
    Ok(producer.flush(Duration::from_secs(30))?)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn records_have_the_sizes_of_the_peers_and_half_of_them_pass() {
        let mut records = Records::new(Input::new(10_000, 200_000, Keys::Zipf(0.99)));
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

    #[test]
    fn keys_in_turn_come_once_each_before_any_comes_twice() {
        let mut records = Records::new(Input::new(2_000, 1_000, Keys::InTurn));
        let mut drawn = || {
            records.draw();
            records.key.clone()
        };
        let (first, second): (HashSet<_>, HashSet<_>) =
            ((0..1_000).map(|_| drawn()).collect(), (0..1_000).map(|_| drawn()).collect());
        assert_eq!((first.len(), &first), (1_000, &second));
    }

    #[test]
    fn texts_have_sixteen_words_of_five_letters() {
        let mut records = Records::new(Input { values: Values::Text, ..Input::new(1, 10, Keys::InTurn) });
        records.draw();
        let text = String::from_utf8(records.value).unwrap_or_default();
        assert_eq!(text.split(' ').map(str::len).collect::<Vec<_>>(), vec![5; 16], "{text}");
    }
}
