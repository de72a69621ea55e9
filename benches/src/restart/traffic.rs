//! The input: one record per key, then records at a rate, and single records to look for in the output.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Result, bail};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::watch::Stopwatch;

const TIMEOUT: Duration = Duration::from_secs(120);

pub(super) struct Traffic {
    producer: BaseProducer,
    topic: String,
    keys: u64,
    sent: Cell<u64>,
    probes: Cell<u64>,
}

impl Traffic {
    pub(super) fn new(bootstrap: &str, topic: &str, keys: u64) -> Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("linger.ms", "5")
            .set("compression.type", "lz4")
            .set("queue.buffering.max.messages", "200000")
            .create()?;
        Ok(Self { producer, topic: topic.to_owned(), keys, sent: Cell::new(0), probes: Cell::new(0) })
    }

    /// One record for each key.
    pub(super) fn load(&self) -> Result<()> {
        for _ in 0..self.keys {
            self.next()?;
        }
        Ok(self.producer.flush(TIMEOUT)?)
    }

    /// Records for keys that are known, so many per second, for so long.
    pub(super) fn at_rate(&self, rate: u64, time: Duration) -> Result<()> {
        let began = Stopwatch::start();
        let mut sent = 0;
        while began.elapsed() < time {
            let due = (began.elapsed().as_secs_f64() * rate as f64) as u64;
            while sent < due {
                self.next()?;
                sent += 1;
            }
            self.producer.poll(Duration::from_millis(1));
        }
        Ok(())
    }

    /// A record with a key that no other has; the key is answered once the broker has it.
    pub(super) fn probe(&self) -> Result<String> {
        let number = self.probes.get();
        self.probes.set(number + 1);
        let key = format!("probe-{number}");
        self.send(&key)?;
        self.producer.flush(TIMEOUT)?;
        Ok(key)
    }

    fn next(&self) -> Result<()> {
        let number = self.sent.get();
        self.sent.set(number + 1);
        // Multiplied by a prime, so that neighbours in time are none in the store.
        self.send(&format!("key-{:08}", number.wrapping_mul(1_000_003) % self.keys))
    }

    fn send(&self, key: &str) -> Result<()> {
        let mut record = BaseRecord::to(&self.topic).key(key).payload("x");
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => record = refused,
                Err((error, _)) => bail!("producing to {}: {error}", self.topic),
            }
            self.producer.poll(Duration::from_millis(10));
        }
    }
}
