//! Typed handles for the topics of a topology under test.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use millstream_state::model::Timestamp;
use millstream_state::serdes::SerdeRef;

use super::core::Core;
use super::{RawTestRecord, TestError, TestRecord};

/// A topic that records are handed in to.
pub struct TestInputTopic<K, V> {
    core: Rc<RefCell<Core>>,
    topic: Arc<str>,
    key: SerdeRef<K>,
    value: SerdeRef<V>,
    next: Timestamp,
    step: Duration,
}

impl<K, V> TestInputTopic<K, V> {
    pub(super) fn new(core: Rc<RefCell<Core>>, topic: Arc<str>, key: SerdeRef<K>, value: SerdeRef<V>) -> Self {
        let next = core.borrow().wall_clock();
        Self { core, topic, key, value, next, step: Duration::ZERO }
    }

    /// Records without a time of their own get `start`, then `start + step`, and so on.
    #[must_use]
    pub fn auto_advance(mut self, start: Timestamp, step: Duration) -> Self {
        self.next = start;
        self.step = step;
        self
    }

    /// Hands in a record with the topic's next time and processes it to the end.
    ///
    /// # Errors
    /// If the record cannot be encoded, or if the topology fails on it.
    pub fn pipe(&mut self, key: K, value: V) -> Result<(), TestError> {
        let timestamp = self.next;
        let step = i64::try_from(self.step.as_millis()).unwrap_or(i64::MAX);
        self.next = Timestamp::from_millis(timestamp.millis().saturating_add(step));
        self.pipe_at(key, value, timestamp)
    }

    /// Hands in a record of this time and processes it to the end.
    ///
    /// # Errors
    /// If the record cannot be encoded, or if the topology fails on it.
    pub fn pipe_at(&mut self, key: K, value: V, timestamp: Timestamp) -> Result<(), TestError> {
        self.pipe_record(TestRecord::new(key, value, timestamp))
    }

    /// Hands in a record and processes it to the end.
    ///
    /// # Errors
    /// If the record cannot be encoded, or if the topology fails on it.
    pub fn pipe_record(&mut self, record: TestRecord<K, V>) -> Result<(), TestError> {
        let raw = RawTestRecord {
            key: encode(&self.topic, "key", &self.key, &record.key)?,
            value: encode(&self.topic, "value", &self.value, &record.value)?,
            timestamp: Some(record.timestamp),
            headers: record.headers,
        };
        self.core.borrow_mut().pipe(&self.topic, None, raw)
    }

    /// Hands in several records, one after the other.
    ///
    /// # Errors
    /// The first error ends it.
    pub fn pipe_all(&mut self, records: impl IntoIterator<Item = (K, V)>) -> Result<(), TestError> {
        records.into_iter().try_for_each(|(key, value)| self.pipe(key, value))
    }
}

/// A topic that the topology writes. Handles of the same topic share what has been read.
pub struct TestOutputTopic<K, V> {
    core: Rc<RefCell<Core>>,
    topic: Arc<str>,
    key: SerdeRef<K>,
    value: SerdeRef<V>,
}

impl<K, V> TestOutputTopic<K, V> {
    pub(super) fn new(core: Rc<RefCell<Core>>, topic: Arc<str>, key: SerdeRef<K>, value: SerdeRef<V>) -> Self {
        Self { core, topic, key, value }
    }

    /// The next record as bytes; `None` if all have been read.
    pub fn read_raw(&self) -> Option<RawTestRecord> {
        self.core.borrow_mut().read(&self.topic)
    }

    /// The next record; `None` if all have been read.
    ///
    /// # Errors
    /// If it is not of the handle's types.
    pub fn read_record(&self) -> Result<Option<TestRecord<K, V>>, TestError> {
        let Some(raw) = self.read_raw() else { return Ok(None) };
        let error = |what, source| TestError::Serde { topic: self.topic.to_string(), what, source };
        Ok(Some(TestRecord {
            key: self.key.decode(raw.key.as_deref()).map_err(|source| error("key", source))?,
            value: self.value.decode(raw.value.as_deref()).map_err(|source| error("value", source))?,
            timestamp: raw.timestamp.unwrap_or(Timestamp::UNKNOWN),
            headers: raw.headers,
        }))
    }

    /// The next record's key and value; `None` if all have been read.
    ///
    /// # Errors
    /// If they are not of the handle's types.
    pub fn read_key_value(&self) -> Result<Option<(K, V)>, TestError> {
        Ok(self.read_record()?.map(|record| (record.key, record.value)))
    }

    /// All records not read yet.
    ///
    /// # Errors
    /// If one is not of the handle's types.
    pub fn read_records_to_list(&self) -> Result<Vec<TestRecord<K, V>>, TestError> {
        std::iter::from_fn(|| self.read_record().transpose()).collect()
    }

    /// Keys and values of all records not read yet.
    ///
    /// # Errors
    /// If one is not of the handle's types.
    pub fn read_key_values_to_list(&self) -> Result<Vec<(K, V)>, TestError> {
        std::iter::from_fn(|| self.read_key_value().transpose()).collect()
    }

    /// Values of all records not read yet.
    ///
    /// # Errors
    /// If one is not of the handle's types.
    pub fn read_values_to_list(&self) -> Result<Vec<V>, TestError> {
        Ok(self.read_key_values_to_list()?.into_iter().map(|(_, value)| value).collect())
    }

    /// How many records have not been read yet.
    pub fn unread(&self) -> usize {
        self.core.borrow().unread(&self.topic)
    }

    /// Whether all records have been read.
    pub fn is_empty(&self) -> bool {
        self.unread() == 0
    }
}

fn encode<T>(topic: &str, what: &'static str, serde: &SerdeRef<T>, item: &T) -> Result<Option<Vec<u8>>, TestError> {
    if serde.is_null(item) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    serde.encode(item, &mut bytes).map_err(|source| TestError::Serde { topic: topic.to_owned(), what, source })?;
    Ok(Some(bytes))
}
