//! The test driver's face.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use millstream_operators::context::Dropped;
use millstream_operators::topology::Topology;
use millstream_state::model::Timestamp;
use millstream_state::serdes::{DefaultSerde, SerdeRef};

use super::core::Core;
use super::{
    RawEntry, RawTestRecord, TestBuffer, TestConfig, TestError, TestInputTopic, TestKeyValueStore, TestOutputTopic,
    TestSessionStore, TestVersionedStore, TestWindowStore,
};

/// Drives a topology without a broker (Kafka Streams' `TopologyTestDriver`).
///
/// ```
/// use millstream::prelude::*;
/// use millstream::testing::{TestConfig, TopologyTestDriver};
///
/// let builder = StreamsBuilder::new();
/// builder
///     .stream::<String, String>("lines")
///     .flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
///     .group_by(|_, word| word.clone())
///     .count(Materialized::named("counts"))
///     .to_stream()
///     .to("word-counts");
/// let driver = TopologyTestDriver::new(builder.build()?, TestConfig::default())?;
/// driver.input_topic("lines").pipe("a".to_owned(), "to be or not to be".to_owned())?;
///
/// let counts = driver.output_topic::<String, i64>("word-counts").read_key_values_to_list()?;
/// assert_eq!(counts.last(), Some(&("be".to_owned(), 2)));
/// assert_eq!(driver.key_value_store::<String, i64>("counts")?.get(&"to".to_owned())?, Some(2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TopologyTestDriver {
    core: Rc<RefCell<Core>>,
}

impl TopologyTestDriver {
    /// A driver over empty stores and topics.
    ///
    /// # Errors
    /// If the stores cannot be opened.
    pub fn new(topology: Topology, config: TestConfig) -> Result<Self, TestError> {
        Ok(Self { core: Rc::new(RefCell::new(Core::new(topology, &config)?)) })
    }

    /// A topic to hand records in to, with the serdes of the types.
    pub fn input_topic<K: DefaultSerde, V: DefaultSerde>(&self, topic: &str) -> TestInputTopic<K, V> {
        self.input_topic_with(topic, K::serde(), V::serde())
    }

    /// A topic to hand records in to, with these serdes.
    pub fn input_topic_with<K, V>(&self, topic: &str, key: SerdeRef<K>, value: SerdeRef<V>) -> TestInputTopic<K, V> {
        TestInputTopic::new(self.core.clone(), topic.into(), key, value)
    }

    /// A topic to read records from, with the serdes of the types.
    pub fn output_topic<K: DefaultSerde, V: DefaultSerde>(&self, topic: &str) -> TestOutputTopic<K, V> {
        self.output_topic_with(topic, K::serde(), V::serde())
    }

    /// A topic to read records from, with these serdes. Internal topics can be read too, by their full names.
    pub fn output_topic_with<K, V>(&self, topic: &str, key: SerdeRef<K>, value: SerdeRef<V>) -> TestOutputTopic<K, V> {
        TestOutputTopic::new(self.core.clone(), topic.into(), key, value)
    }

    /// Hands in a record as bytes and processes it to the end.
    ///
    /// # Errors
    /// If the topology does not read the topic, or fails on the record.
    pub fn pipe_raw(&self, topic: &str, record: RawTestRecord) -> Result<(), TestError> {
        self.core.borrow_mut().pipe(topic, None, record)
    }

    /// As [`TopologyTestDriver::pipe_raw`], to this partition of the topic instead of the one that the key says.
    ///
    /// # Errors
    /// As [`TopologyTestDriver::pipe_raw`].
    pub fn pipe_raw_to(&self, topic: &str, partition: i32, record: RawTestRecord) -> Result<(), TestError> {
        self.core.borrow_mut().pipe(topic, Some(partition), record)
    }

    /// Commits what all tasks have done, and processes and commits what comes of that, until nothing is left. Of use
    /// without [`TestConfig::commit_each_record`].
    ///
    /// # Errors
    /// If the topology fails.
    pub fn commit(&self) -> Result<(), TestError> {
        self.core.borrow_mut().commit()
    }

    /// Everything the topology has written to a topic so far, read or not.
    pub fn written(&self, topic: &str) -> Vec<RawTestRecord> {
        let core = self.core.borrow();
        let found = core.written().find(|(name, _)| &***name == topic);
        found.map(|(_, records)| records.iter().map(|(_, record)| record.clone()).collect()).unwrap_or_default()
    }

    /// Everything the topology has written to a partition of a topic so far, read or not.
    pub fn written_to(&self, topic: &str, partition: i32) -> Vec<RawTestRecord> {
        let core = self.core.borrow();
        let Some((_, records)) = core.written().find(|(name, _)| &***name == topic) else { return Vec::new() };
        records.iter().filter(|(at, _)| *at == partition).map(|(_, record)| record.clone()).collect()
    }

    /// The topics the topology has written to so far, changelogs and repartition topics included, with the number of
    /// their records.
    pub fn written_topics(&self) -> Vec<(Arc<str>, usize)> {
        self.core.borrow().written().map(|(topic, records)| (topic.clone(), records.len())).collect()
    }

    /// Moves the wall clock on, lets the topology act on it, and processes what comes of that.
    ///
    /// # Errors
    /// If the topology fails.
    pub fn advance_wall_clock(&self, by: Duration) -> Result<(), TestError> {
        self.core.borrow_mut().advance_wall_clock(by)
    }

    /// The wall-clock time now.
    pub fn wall_clock(&self) -> Timestamp {
        self.core.borrow().wall_clock()
    }

    /// Records dropped so far, by reason.
    pub fn dropped(&self) -> Dropped {
        self.core.borrow().dropped()
    }

    /// The text of the topology's description.
    pub fn describe(&self) -> String {
        self.core.borrow().topology().describe().to_owned()
    }

    /// The names of all stores.
    pub fn stores(&self) -> Vec<Arc<str>> {
        self.core.borrow().store_specs().map(|spec| spec.name.clone()).collect()
    }

    /// Everything a store holds, as bytes: key-value stores in the order of the keys, window stores with all windows
    /// that have not expired.
    ///
    /// # Errors
    /// If there is no such store, or it cannot be read.
    pub fn store_bytes(&self, store: &str) -> Result<Vec<RawEntry>, TestError> {
        let mut core = self.core.borrow_mut();
        core.with_store((store, 0), "open", |stores, id| {
            let entries = stores.all(id)?;
            entries.map(|entry| entry.map(|(key, value)| (key.into_vec(), value.into_vec()))).collect()
        })
    }

    /// The bytes by which the store keeps the value of a key: other ones than the key's where windows are laid out by
    /// time.
    ///
    /// # Errors
    /// If there is no such store.
    pub fn stored_key(&self, store: &str, key: &[u8]) -> Result<Vec<u8>, TestError> {
        let mut core = self.core.borrow_mut();
        core.with_store((store, 0), "open", |stores, id| stores.stored_key(id, key))
    }

    /// What waits in the buffer of a suppression.
    ///
    /// # Errors
    /// If there is no such store, or it is of another shape.
    pub fn buffer(&self, store: &str) -> Result<TestBuffer, TestError> {
        let mut core = self.core.borrow_mut();
        core.with_store((store, 0), "buffer", |stores, id| {
            Ok(TestBuffer {
                records: stores.buffer_len(id)?,
                bytes: stores.buffer_bytes(id)?,
                first_time: stores.buffer_first_time(id)?,
            })
        })
    }

    /// A versioned store, with the serdes of the types.
    ///
    /// # Errors
    /// If there is no such store, or it is of another shape.
    pub fn versioned_store<K, V>(&self, store: &str) -> Result<TestVersionedStore<K, V>, TestError>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        TestVersionedStore::new(self.core.clone(), store, K::serde(), V::serde())
    }

    /// A key-value store, plain or timestamped, with the serdes of the types.
    ///
    /// # Errors
    /// If there is no such store, or it is of another shape.
    pub fn key_value_store<K, V>(&self, store: &str) -> Result<TestKeyValueStore<K, V>, TestError>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.key_value_store_with(store, K::serde(), V::serde())
    }

    /// A key-value store, plain or timestamped, with these serdes.
    ///
    /// # Errors
    /// If there is no such store, or it is of another shape.
    pub fn key_value_store_with<K, V>(
        &self,
        store: &str,
        key: SerdeRef<K>,
        value: SerdeRef<V>,
    ) -> Result<TestKeyValueStore<K, V>, TestError> {
        TestKeyValueStore::new(self.core.clone(), store, key, value)
    }

    /// A session store with the serdes of the types.
    ///
    /// # Errors
    /// If there is no such store, or it is of another shape.
    pub fn session_store<K: DefaultSerde, V: DefaultSerde>(
        &self,
        store: &str,
    ) -> Result<TestSessionStore<K, V>, TestError> {
        TestSessionStore::new(self.core.clone(), store, K::serde(), V::serde())
    }

    /// A window store, plain or timestamped, with the serdes of the types.
    ///
    /// # Errors
    /// If there is no such store, or it is of another shape.
    pub fn window_store<K, V>(&self, store: &str) -> Result<TestWindowStore<K, V>, TestError>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.window_store_with(store, K::serde(), V::serde())
    }

    /// A window store, plain or timestamped, with these serdes.
    ///
    /// # Errors
    /// If there is no such store, or it is of another shape.
    pub fn window_store_with<K, V>(
        &self,
        store: &str,
        key: SerdeRef<K>,
        value: SerdeRef<V>,
    ) -> Result<TestWindowStore<K, V>, TestError> {
        TestWindowStore::new(self.core.clone(), store, key, value)
    }
}
