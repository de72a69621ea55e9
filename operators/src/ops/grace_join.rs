//! A stream's records joined with a table that keeps versions, once it has had time to catch up.
//!
//! ```text
//!  record → later than the grace? join at once : hold it back
//!         → all held records that the grace has passed, oldest first → join as of their own time
//! ```

use std::ops::Bound;
use std::sync::Arc;

use millstream_state::engine::{Direction, Entry};
use millstream_state::error::{SerdeError, StateError};
use millstream_state::held_records;
use millstream_state::model::{Headers, RecordContext, RecordMeta, Timestamp};
use millstream_state::serdes::SerdeRef;
use millstream_state::store::{Changelog, StoreId, StoreSpec};

use super::stored;
use super::stream_table_join::{Admitted, StreamTableJoin};
use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Process, Record};
use crate::topology::chain::ChainBuilder;

/// How many held records are taken out in one go.
const BATCH: usize = 256;

/// Changelog records carry no headers, as Kafka Streams'.
static NO_HEADERS: Headers = Headers::new();

/// What holding records back takes; shared by the chains of all tasks.
pub(crate) struct HoldSettings<K, V> {
    /// The join's name.
    pub(crate) node: Arc<str>,
    /// The store's name.
    pub(crate) store: Arc<str>,
    /// How long a record is held back, in milliseconds of stream time.
    pub(crate) grace: i64,
    pub(crate) key: SerdeRef<K>,
    pub(crate) value: SerdeRef<V>,
}

/// The records that are held back.
pub(crate) struct Held<K, V> {
    settings: Arc<HoldSettings<K, V>>,
    id: StoreId,
    logged: bool,
    /// Where the largest time of a held record is kept.
    time_slot: usize,
    /// Where the number of the last held record is kept.
    number_slot: usize,
    recovered: bool,
    key: Vec<u8>,
    bytes: Vec<u8>,
}

impl<K, V> Held<K, V> {
    /// Holds records in the store that the settings name.
    pub(crate) fn new(settings: Arc<HoldSettings<K, V>>, chain: &mut ChainBuilder<'_>) -> Self {
        let (id, StoreSpec { changelog, .. }) = chain.store(&settings.store);
        let logged = matches!(changelog, Changelog::Topic(_));
        let time_slot = chain.time_slot(&settings.node);
        let number_slot = chain.time_slot(&format!("{}.held", settings.node).into());
        let (key, bytes) = (Vec::new(), Vec::new());
        Self { settings, id, logged, time_slot, number_slot, recovered: false, key, bytes }
    }

    fn fail(&self) -> impl FnOnce(StateError) -> ProcessError {
        stored::failed(&self.settings.node)
    }

    fn malformed(&self, what: &'static str, bytes: &[u8]) -> StateError {
        let source = SerdeError::new("a held record", format!("found {} bytes", bytes.len()));
        StateError::Serde { store: self.settings.store.to_string(), what, source }
    }

    fn refuse(&self, what: &'static str) -> impl FnOnce(SerdeError) -> ProcessError {
        let store = self.settings.store.to_string();
        let fail = self.fail();
        move |source| fail(StateError::Serde { store, what, source })
    }

    /// Up to when records are joined.
    fn due(&self, cx: &Context) -> i64 {
        cx.operator_times[self.time_slot].millis().saturating_sub(self.settings.grace)
    }

    /// Reads from the store what the committed offsets do not say, as after a change of hands from Kafka Streams.
    fn recover(&mut self, cx: &mut Context) -> Result<(), StateError> {
        if std::mem::replace(&mut self.recovered, true) || cx.operator_times[self.number_slot] != Timestamp::UNKNOWN {
            return Ok(());
        }
        let (mut time, mut number) = (cx.operator_times[self.time_slot], Timestamp::UNKNOWN);
        let all = (Bound::Unbounded, Bound::Unbounded);
        for entry in cx.state.stores.scan(self.id, all, Direction::Forward)? {
            let (key, _) = entry?;
            let held = held_records::split_key(&key).ok_or_else(|| self.malformed("key", &key))?;
            time = time.max(held.time);
            number = number.max(Timestamp::from_millis(held.number.into()));
        }
        cx.operator_times[self.time_slot] = time;
        cx.operator_times[self.number_slot] = number;
        Ok(())
    }

    /// Holds a record back.
    fn hold(&mut self, cx: &mut Context, record: &Record<'_, K, V>) -> Result<(), ProcessError> {
        let last = cx.operator_times[self.number_slot].millis().max(0);
        let number = (last + 1) & 0x7fff_ffff;
        cx.operator_times[self.number_slot] = Timestamp::from_millis(number);
        self.key.clear();
        held_records::push_prefix(&mut self.key, record.timestamp);
        self.settings.key.encode(record.key, &mut self.key).map_err(self.refuse("key"))?;
        held_records::push_number(&mut self.key, number as u32);
        let mut value = std::mem::take(&mut self.bytes);
        value.clear();
        self.settings.value.encode(record.value, &mut value).map_err(self.refuse("value"))?;
        let context =
            RecordContext { timestamp: record.timestamp, headers: record.headers.clone(), ..cx.state.record.clone() };
        let mut bytes = Vec::with_capacity(value.len() + 64);
        held_records::push_record(&mut bytes, &context, &value);
        self.bytes = value;
        cx.state.stores.put(self.id, &self.key, Some(&bytes)).map_err(self.fail())?;
        self.log(cx, &self.key, Some(&bytes));
        let observed = &mut cx.operator_times[self.time_slot];
        *observed = (*observed).max(record.timestamp);
        Ok(())
    }

    fn remove(&self, cx: &mut Context, key: &[u8]) -> Result<(), StateError> {
        cx.state.stores.put(self.id, key, None)?;
        self.log(cx, key, None);
        Ok(())
    }

    fn log(&self, cx: &mut Context, key: &[u8], value: Option<&[u8]>) {
        if self.logged {
            let meta = RecordMeta { target: self.id.0, partition: None, timestamp: None };
            cx.state.changes.append(meta, &NO_HEADERS, Some(key), value);
        }
    }

    /// The oldest of the records that the grace has passed.
    fn passed(&self, cx: &mut Context) -> Result<Vec<Entry>, StateError> {
        let mut end = Vec::new();
        held_records::push_prefix(&mut end, Timestamp::from_millis(self.due(cx).saturating_add(1).max(0)));
        let range = (Bound::Unbounded, Bound::Excluded(&end[..]));
        cx.state.stores.scan(self.id, range, Direction::Forward)?.take(BATCH).collect()
    }

    fn read(&self, (key, bytes): &Entry) -> Result<(K, V, RecordContext), ProcessError> {
        let held = held_records::split_key(key).ok_or_else(|| self.fail()(self.malformed("key", key)))?;
        let record = held_records::read_record(bytes).ok_or_else(|| self.fail()(self.malformed("value", bytes)))?;
        let key = self.settings.key.decode(Some(held.key)).map_err(self.refuse("key"))?;
        let value = self.settings.value.decode(Some(record.1)).map_err(self.refuse("value"))?;
        Ok((key, value, record.0))
    }
}

/// The node of [`KStream::join_table_with`](crate::dsl::KStream::join_table_with) and `left_join_table_with` with a
/// grace period.
pub(crate) struct GraceJoin<K, V, W, R, J> {
    join: StreamTableJoin<K, V, W, R, J>,
    held: Held<K, V>,
}

impl<K, V, W, R, J> GraceJoin<K, V, W, R, J>
where
    J: Fn(&K, &V, Option<&W>) -> Option<R>,
{
    /// Holds records back in `held` before they are joined.
    pub(crate) fn new(join: StreamTableJoin<K, V, W, R, J>, held: Held<K, V>) -> Self {
        Self { join, held }
    }

    /// Joins what the grace has passed. The nodes below see each held record as the current one.
    fn release(&mut self, cx: &mut Context) -> Result<(), ProcessError> {
        loop {
            let passed = self.held.passed(cx).map_err(self.held.fail())?;
            if passed.is_empty() {
                return Ok(());
            }
            for entry in &passed {
                let (key, value, context) = self.held.read(entry)?;
                let (timestamp, headers) = (context.timestamp, context.headers.clone());
                let current = std::mem::replace(&mut cx.state.record, context);
                let joined = self.join.join(cx, Record { key: &key, value: &value, timestamp, headers: &headers });
                cx.state.record = current;
                joined?;
                self.held.remove(cx, &entry.0).map_err(self.held.fail())?;
            }
        }
    }
}

impl<K, V, W, R, J> Process<K, V> for GraceJoin<K, V, W, R, J>
where
    J: Fn(&K, &V, Option<&W>) -> Option<R>,
{
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        match self.join.admit(cx, &record) {
            Admitted::Dropped => return Ok(()),
            Admitted::Unkeyed => return Err(ProcessError::NullKey { node: self.held.settings.node.clone() }),
            Admitted::Keyed => {}
        }
        self.held.recover(cx).map_err(self.held.fail())?;
        if self.held.due(cx) > record.timestamp.millis() {
            return self.join.join(cx, record);
        }
        self.held.hold(cx, &record)?;
        self.release(cx)
    }
}
