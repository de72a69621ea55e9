//! Producers and readers as the checks use them.

use std::time::Duration;

use millstream::broker::{
    Batch, BrokerError, Fetcher, Isolation, OutRecord, PartitionQueue, Producer, ProducerSettings,
};
use millstream::state::model::{Headers, Position, RawRecord, Timestamp, TopicPartition};

use super::scene::{Outcome, Scene};

/// A record, owned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Where it is.
    pub offset: i64,
    /// Its time.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Headers,
}

impl Record {
    fn own(record: RawRecord<'_>) -> Self {
        Self {
            offset: record.offset.number(),
            timestamp: record.timestamp.millis(),
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.clone(),
        }
    }

    /// The value as text; null is `-`.
    pub fn text(&self) -> String {
        self.value.as_deref().map_or("-".to_owned(), |value| String::from_utf8_lossy(value).into_owned())
    }
}

/// The values of records as text.
pub(super) fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(Record::text).collect()
}

/// Adds a batch's records.
pub(super) fn take(batch: &dyn Batch, records: &mut Vec<Record>) {
    records.extend((0..batch.len()).map(|index| Record::own(batch.get(index))));
}

/// A producer in a scene.
pub struct TestProducer<'a> {
    scene: &'a Scene<'a>,
    /// The producer itself.
    pub inner: Box<dyn Producer>,
}

impl<'a> TestProducer<'a> {
    /// Takes a record as soon as there is room for it.
    ///
    /// # Errors
    /// If the producer refuses it.
    pub fn send(&mut self, record: OutRecord<'_>) -> Result<(), BrokerError> {
        let (inner, mut refused) = (&mut self.inner, None);
        let taken = self.scene.until("room in the send queue", || match inner.produce(record) {
            Ok(taken) => Ok(taken.then_some(())),
            Err(error) => {
                refused = Some(error);
                Ok(Some(()))
            }
        });
        match (refused, taken) {
            (Some(refused), _) => Err(refused),
            (None, Ok(())) => Ok(()),
            (None, Err(late)) => Err(BrokerError::unknown("produce", late.to_string())),
        }
    }

    /// Sends texts as values under the key `k`, without waiting for acknowledgements.
    ///
    /// # Errors
    /// If one is refused.
    pub fn texts(&mut self, partition: &TopicPartition, values: &[&str]) -> Result<(), BrokerError> {
        let timestamp = Some(Timestamp::from_millis(self.scene.now()));
        for value in values {
            let (topic, headers) = (&partition.topic, &Headers::new());
            let (key, value) = (Some(&b"k"[..]), Some(value.as_bytes()));
            self.send(OutRecord { topic, partition: partition.partition, timestamp, key, value, headers })?;
        }
        Ok(())
    }

    /// Waits until all that was sent is acknowledged.
    ///
    /// # Errors
    /// If something was not.
    pub fn flush(&mut self) -> Outcome {
        self.scene.done("flush", self.inner.flush())
    }

    /// Sends texts and waits for their acknowledgement.
    ///
    /// # Errors
    /// If it does not come.
    pub fn sent(&mut self, partition: &TopicPartition, values: &[&str]) -> Outcome {
        self.texts(partition, values)?;
        self.flush()
    }

    /// Commits.
    ///
    /// # Errors
    /// If the commit fails.
    pub fn commit(&mut self) -> Outcome {
        self.scene.done("commit", self.inner.commit())
    }

    /// Aborts.
    ///
    /// # Errors
    /// If the abort fails.
    pub fn abort(&mut self) -> Outcome {
        self.scene.done("abort", self.inner.abort())
    }

    /// One whole transaction with these texts.
    ///
    /// # Errors
    /// If a step fails.
    pub fn committed(&mut self, partition: &TopicPartition, values: &[&str]) -> Outcome {
        self.inner.begin()?;
        self.sent(partition, values)?;
        self.commit()
    }

    /// One whole transaction with these texts, aborted after they have reached the log.
    ///
    /// # Errors
    /// If a step fails.
    pub fn aborted(&mut self, partition: &TopicPartition, values: &[&str]) -> Outcome {
        self.inner.begin()?;
        self.sent(partition, values)?;
        self.abort()
    }
}

/// A queue of one partition, with the fetcher it came from.
pub struct TestReader<'a> {
    scene: &'a Scene<'a>,
    partition: TopicPartition,
    isolation: Isolation,
    // Before the fetcher, which must outlive it.
    /// The queue itself.
    pub queue: Box<dyn PartitionQueue>,
    _fetcher: Box<dyn Fetcher>,
}

impl TestReader<'_> {
    /// Reads up to the present end at the reader's isolation level.
    ///
    /// # Errors
    /// If the queue fails or the end is not reached.
    pub fn to_end(&mut self) -> anyhow::Result<Vec<Record>> {
        let end = self.scene.end(&self.partition, self.isolation)?;
        self.to(end)
    }

    /// Reads up to an offset. After a transaction only this is certain: a broker answers a commit before it has written
    /// the markers, so that the end may still be the one before.
    ///
    /// # Errors
    /// As [`Self::to_end`].
    pub fn to(&mut self, end: i64) -> anyhow::Result<Vec<Record>> {
        let mut records = Vec::new();
        self.scene.until(&format!("{} to be read up to {end}", self.partition), || {
            while let Some(batch) = self.queue.drain(100)? {
                take(&*batch, &mut records);
            }
            Ok((self.queue.position().number() >= end).then_some(()))
        })?;
        Ok(records)
    }

    /// The values up to an offset, as text.
    ///
    /// # Errors
    /// As [`Self::to_end`].
    pub fn texts_to(&mut self, end: i64) -> anyhow::Result<Vec<String>> {
        Ok(texts(&self.to(end)?))
    }

    /// The values up to the present end, as text.
    ///
    /// # Errors
    /// As [`Self::to_end`].
    pub fn texts_to_end(&mut self) -> anyhow::Result<Vec<String>> {
        Ok(texts(&self.to_end()?))
    }
}

impl<'a> Scene<'a> {
    /// A producer without transactions.
    ///
    /// # Errors
    /// If the broker refuses.
    pub fn producer(&'a self) -> anyhow::Result<TestProducer<'a>> {
        self.make_producer(None)
    }

    /// A producer with this transactional id, initialised.
    ///
    /// # Errors
    /// If the broker refuses.
    pub fn transactional(&'a self, id: &str) -> anyhow::Result<TestProducer<'a>> {
        let mut producer = self.make_producer(Some(self.name(id)))?;
        self.done("initialise a transactional id", producer.inner.init())?;
        Ok(producer)
    }

    fn make_producer(&'a self, transactional_id: Option<String>) -> anyhow::Result<TestProducer<'a>> {
        let settings = ProducerSettings {
            client_id: self.name("producer"),
            transactional_id,
            transaction_timeout: Duration::from_secs(60),
        };
        Ok(TestProducer { scene: self, inner: self.broker.producer(settings, self.wake())? })
    }

    /// A reader of a partition from its start.
    ///
    /// # Errors
    /// If the broker refuses.
    pub fn reader(&'a self, partition: &TopicPartition, isolation: Isolation) -> anyhow::Result<TestReader<'a>> {
        self.reader_at(partition, isolation, 0)
    }

    /// A reader of a partition from an offset.
    ///
    /// # Errors
    /// If the broker refuses.
    pub fn reader_at(
        &'a self,
        partition: &TopicPartition,
        isolation: Isolation,
        from: i64,
    ) -> anyhow::Result<TestReader<'a>> {
        let mut fetcher = self.broker.fetcher(isolation, self.wake())?;
        let queue = fetcher.assign(partition, Position::new(from))?;
        Ok(TestReader { scene: self, partition: partition.clone(), isolation, queue, _fetcher: fetcher })
    }
}
