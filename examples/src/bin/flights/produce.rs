//! Writes the flights into the topic, each exactly once: also when it is interrupted, or two processes do it at once.
//!
//! ```text
//!   init (fences an older loader) → count what is committed → skip that many per partition → batches in transactions
//! ```
//! The flights have one order, and with it each partition; so what is in a partition is always a first part of what
//! belongs there, and its number of committed records tells where to go on.

use std::sync::Arc;

use anyhow::{Context, bail};
use millstream::broker::{Broker, BrokerError, ErrorClass, OutRecord, Producer, ProducerSettings};
use millstream::state::model::Headers;
use millstream_examples::calls::{answer, notifying, progress};
use millstream_examples::outputs;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, sleep_until};

use crate::data::Flight;

/// A transaction ends after this many flights, or after this long.
const BATCH: usize = 10_000;
const INTERVAL: Duration = Duration::from_millis(200);

/// How often loading is started again after an error that may pass.
const ATTEMPTS: u32 = 20;

/// What became of loading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loaded {
    /// All flights are in the topic; so many of them were there before.
    All {
        /// How many were there before.
        before: u64,
    },
    /// Another process has begun to load and goes on from here.
    TakenOver,
}

/// Where to load to, and how fast.
#[derive(Clone, Debug)]
pub(crate) struct Loader {
    pub(crate) application: String,
    pub(crate) topic: Arc<str>,
    pub(crate) partitions: i32,
    pub(crate) rate: Option<u32>,
}

impl Loader {
    /// Loads all flights that are not in the topic yet.
    pub(crate) async fn load(&self, broker: &dyn Broker, flights: &[Flight]) -> anyhow::Result<Loaded> {
        for attempt in 1..=ATTEMPTS {
            let error = match self.attempt(broker, flights).await {
                Ok(before) => return Ok(Loaded::All { before }),
                Err(error) => error,
            };
            match error.downcast_ref::<BrokerError>().map(|error| error.class) {
                Some(ErrorClass::ProducerFenced) => return Ok(Loaded::TakenOver),
                Some(ErrorClass::Retriable | ErrorClass::Abortable | ErrorClass::Unknown) if attempt < ATTEMPTS => {
                    tracing::warn!(%error, attempt, "loading is interrupted and goes on with what is committed");
                    tokio::time::sleep(INTERVAL).await;
                }
                _ => return Err(error.context(format!("loading flights into topic {}", self.topic))),
            }
        }
        bail!("loading flights into topic {} was interrupted {ATTEMPTS} times", self.topic)
    }

    async fn attempt(&self, broker: &dyn Broker, flights: &[Flight]) -> anyhow::Result<u64> {
        let (wake, notify) = notifying();
        let id = format!("{}-loader", self.application);
        let settings = ProducerSettings {
            client_id: id.clone(),
            transactional_id: Some(id),
            transaction_timeout: Duration::from_secs(10),
        };
        let mut producer = broker.producer(settings, wake)?;
        answer(producer.init()).await?;
        let mut skip = self.committed(broker).await?;
        let before = skip.iter().sum();
        producer.begin()?;
        let mut batch = Batch { producer, notify, records: 0, since: Instant::now() };
        let start = Instant::now();
        let mut sent = 0_u32;
        for flight in flights {
            let key = flight.key();
            let partition = millstream::partitioner::partition_of(key.as_bytes(), self.partitions);
            let left = skip.get_mut(usize::try_from(partition)?).context("a partition beyond the last")?;
            if *left > 0 {
                *left -= 1;
                continue;
            }
            if let Some(rate) = self.rate {
                let due = start + Duration::from_secs(1) * sent / rate;
                batch.wait_until(due).await?;
            }
            batch.send(&self.topic, partition, &key, flight).await?;
            sent += 1;
        }
        batch.finish().await?;
        Ok(before)
    }

    /// Waits until another process has written all flights.
    pub(crate) async fn loaded_by_others(&self, broker: &dyn Broker, flights: usize) -> anyhow::Result<()> {
        while self.committed(broker).await?.iter().sum::<u64>() < flights as u64 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }

    /// How many flights are committed in each partition.
    async fn committed(&self, broker: &dyn Broker) -> anyhow::Result<Vec<u64>> {
        let mut counts = vec![0; usize::try_from(self.partitions)?];
        outputs::read(broker, &self.topic, |partition, _| {
            if let Some(count) = usize::try_from(partition).ok().and_then(|index| counts.get_mut(index)) {
                *count += 1;
            }
        })
        .await?;
        Ok(counts)
    }
}

/// A producer and its open transaction.
struct Batch {
    producer: Box<dyn Producer>,
    notify: Arc<Notify>,
    records: usize,
    since: Instant,
}

impl Batch {
    async fn send(&mut self, topic: &Arc<str>, partition: i32, key: &str, flight: &Flight) -> anyhow::Result<()> {
        let value = serde_json::to_vec(flight)?;
        let record = OutRecord {
            topic,
            partition,
            timestamp: Some(flight.timestamp()?),
            key: Some(key.as_bytes()),
            value: Some(&value),
            headers: &Headers::new(),
        };
        while !self.producer.produce(record)? {
            progress(&self.notify).await;
        }
        self.records += 1;
        if self.records >= BATCH || self.since.elapsed() >= INTERVAL {
            self.commit().await?;
            self.producer.begin()?;
        }
        Ok(())
    }

    /// Waits for the moment; what is sent so far is committed first if there is time, so that readers see it.
    async fn wait_until(&mut self, due: Instant) -> anyhow::Result<()> {
        let now = Instant::now();
        if due <= now {
            return Ok(());
        }
        if self.records > 0 && due > self.since + INTERVAL {
            self.commit().await?;
            self.producer.begin()?;
        }
        sleep_until(due).await;
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), BrokerError> {
        answer(self.producer.flush()).await?;
        // A commit may be asked for again; what else is unknown is settled by the next loader's `init`.
        match answer(self.producer.commit()).await {
            Err(error) if error.class == ErrorClass::Unknown => answer(self.producer.commit()).await?,
            answer => answer?,
        }
        self.records = 0;
        self.since = Instant::now();
        Ok(())
    }

    async fn finish(mut self) -> Result<(), BrokerError> {
        if self.records > 0 { self.commit().await } else { answer(self.producer.abort()).await }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use millstream::broker::embedded::EmbeddedBroker;
    use millstream::clock::SystemClock;
    use millstream_examples::topics;

    use super::*;
    use crate::data::load;

    const FLIGHTS: usize = 30_000;

    async fn broker_and_loader() -> (EmbeddedBroker, Loader) {
        let broker = EmbeddedBroker::new(Arc::new(SystemClock::default()));
        let topic = topics::topic("year.flights", 6, &[("retention.ms", "-1")]);
        topics::create(&*broker.admin(), vec![topic.clone()]).await.unwrap();
        (broker, Loader { application: "year".to_owned(), topic: topic.name, partitions: 6, rate: None })
    }

    fn some_flights() -> Vec<Flight> {
        let mut flights = load().unwrap();
        flights.truncate(FLIGHTS);
        flights
    }

    /// How often each flight is in the topic, as a read_committed reader sees it.
    async fn counts(broker: &EmbeddedBroker, topic: &Arc<str>) -> BTreeMap<Vec<u8>, usize> {
        let mut counts = BTreeMap::new();
        let count = |_: i32, record: &millstream::state::model::RawRecord<'_>| {
            *counts.entry(record.value.unwrap().to_vec()).or_default() += 1;
        };
        outputs::read(broker, topic, count).await.unwrap();
        counts
    }

    fn expected(flights: &[Flight]) -> BTreeMap<Vec<u8>, usize> {
        let mut counts = BTreeMap::new();
        for flight in flights {
            *counts.entry(serde_json::to_vec(flight).unwrap()).or_default() += 1;
        }
        counts
    }

    #[tokio::test]
    async fn loading_again_adds_nothing() {
        let (broker, loader) = broker_and_loader().await;
        let flights = some_flights();
        assert_eq!(loader.load(&broker, &flights).await.unwrap(), Loaded::All { before: 0 });
        assert_eq!(loader.load(&broker, &flights).await.unwrap(), Loaded::All { before: FLIGHTS as u64 });
        assert_eq!(counts(&broker, &loader.topic).await, expected(&flights));
    }

    #[tokio::test]
    async fn an_interrupted_loader_is_continued_where_it_was() {
        let (broker, loader) = broker_and_loader().await;
        let flights = some_flights();
        let slow = Loader { rate: Some(20_000), ..loader.clone() };
        tokio::select! {
            _ = slow.load(&broker, &flights) => panic!("the rate leaves time to interrupt it"),
            () = tokio::time::sleep(Duration::from_millis(700)) => {}
        }
        let Loaded::All { before } = loader.load(&broker, &flights).await.unwrap() else { panic!("nobody else loads") };
        assert!(before > 0 && before < FLIGHTS as u64, "{before}");
        assert_eq!(counts(&broker, &loader.topic).await, expected(&flights));
    }

    #[tokio::test]
    async fn a_second_loader_takes_over_from_the_first() {
        let (broker, loader) = broker_and_loader().await;
        let flights = some_flights();
        let slow = Loader { rate: Some(20_000), ..loader.clone() };
        let second = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            loader.load(&broker, &flights).await.unwrap()
        };
        let (first, second) = tokio::join!(slow.load(&broker, &flights), second);
        assert_eq!(first.unwrap(), Loaded::TakenOver);
        assert!(matches!(second, Loaded::All { before: 1.. }));
        assert_eq!(counts(&broker, &loader.topic).await, expected(&flights));
    }
}
