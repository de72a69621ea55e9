//! What typed stores have in common: values by encoded key, through the record cache, over [`TaskStores`].
//!
//! [`TaskStores`]: super::TaskStores

use super::cache::{Cache, Slot, State};
use super::segments::SegmentShape;
use super::stamped::Lent;
use super::{CacheBudget, Changelog, Persistence, Placed, Stamped, StoreId, StoreKind, StoreSpec, Version};
use crate::changelog::{push_headers, push_timestamped, split_headers, split_timestamped};
use crate::context::StateContext;
use crate::error::{SerdeError, StateError};
use crate::model::{Headers, RecordContext, RecordMeta, Timestamp};
use crate::serdes::SerdeRef;
use crate::uncommitted::Written;

/// Changelog records carry no headers, as Kafka Streams'.
static NO_HEADERS: Headers = Headers::new();

/// An update without a cache, between the put and the hand-out.
struct Pending<V> {
    new: Option<V>,
    time: Timestamp,
}

/// The key that was taken last.
#[derive(Clone, Copy)]
struct Taken {
    slot: Option<u32>,
}

/// A flush in progress.
#[derive(Clone, Copy)]
struct Round {
    /// The update number at its beginning: later updates wait for the next flush.
    until: u64,
}

/// An update that was written below.
pub(super) struct Update<V> {
    pub(super) new: Option<V>,
    pub(super) old: Option<V>,
    pub(super) timestamp: Timestamp,
    pub(super) record: RecordContext,
    pub(super) latest: bool,
    pub(super) lent: Option<Lent>,
}

pub(super) struct Typed<V> {
    id: StoreId,
    name: std::sync::Arc<str>,
    serde: SerdeRef<V>,
    timestamped: bool,
    /// Values have headers before their timestamps.
    headers: bool,
    /// Deletes are logged with the headers of the current record.
    headed_deletes: bool,
    /// The headers of the current record are kept and logged with its value.
    keeps_headers: bool,
    /// Values are read with the time from which they are valid before them, as those of a timestamped store.
    versioned: bool,
    /// Whether it is a store of windows or sessions.
    segmented: bool,
    in_memory: bool,
    logged: bool,
    cache: Option<Cache<V>>,
    /// The encoded key of the current operation; a caller writes it before.
    pub(super) key: Vec<u8>,
    value: Vec<u8>,
    /// A value read without a cache.
    slot: Option<V>,
    pending: Option<Pending<V>>,
    taken: Option<Taken>,
    round: Option<Round>,
    /// The dirty entry that is to leave the cache: it is flushed before the others.
    evicted: Option<u32>,
    /// What an encoded value takes on average: the weight of those not encoded yet.
    mean: usize,
}

/// Reads values of a store without borrowing it, for scans that the store outlives or not.
pub(super) struct Decoder<V> {
    name: std::sync::Arc<str>,
    serde: SerdeRef<V>,
    timestamped: bool,
    headers: bool,
}

impl<V> Decoder<V> {
    pub(super) fn serde_error(&self, what: &'static str, source: SerdeError) -> StateError {
        StateError::Serde { store: self.name.to_string(), what, source }
    }

    pub(super) fn decode(&self, bytes: &[u8]) -> Result<Stamped<V>, StateError> {
        let (timestamp, bytes) = split(&self.name, (self.timestamped, self.headers), bytes)?;
        let value = self.serde.decode(Some(bytes)).map_err(|source| self.serde_error("value", source))?;
        Ok(Stamped { value, timestamp })
    }
}

const STAMPED: &str = "a timestamp (8 bytes) and a value";
const HEADED: &str = "headers, a timestamp (8 bytes) and a value";

/// A stored value taken apart into its time and the value's own bytes.
fn split<'b>(
    store: &str,
    (timestamped, headers): (bool, bool),
    bytes: &'b [u8],
) -> Result<(Timestamp, &'b [u8]), StateError> {
    if !timestamped {
        return Ok((Timestamp::UNKNOWN, bytes));
    }
    let rest = if headers { split_headers(bytes).map(|(_, rest)| rest) } else { Some(bytes) };
    rest.and_then(split_timestamped).ok_or_else(|| {
        let found = format!("found {} bytes", bytes.len());
        let source = SerdeError::new(if headers { HEADED } else { STAMPED }, found);
        StateError::Serde { store: store.to_owned(), what: "value", source }
    })
}

/// What comes before a stored value's own bytes.
fn push_stamp(out: &mut Vec<u8>, (timestamped, headers): (bool, Option<&Headers>), time: Timestamp) {
    if let Some(headers) = headers {
        push_headers(out, headers);
    }
    if timestamped {
        out.extend_from_slice(&time.millis().to_be_bytes());
    }
}

impl<V> Typed<V> {
    pub(super) fn new(id: StoreId, spec: &StoreSpec, serde: SerdeRef<V>, budget: &CacheBudget) -> Self {
        let versioned = matches!(spec.kind, StoreKind::VersionedKeyValue(_));
        Self {
            id,
            name: spec.name.clone(),
            serde,
            timestamped: spec.kind.is_timestamped(),
            headers: spec.has_headers(),
            headed_deletes: spec.headers && !versioned && spec.persistence == Persistence::Durable,
            keeps_headers: false,
            versioned,
            segmented: SegmentShape::of(spec.kind).is_some() && !versioned,
            in_memory: spec.persistence == Persistence::InMemory,
            logged: matches!(spec.changelog, Changelog::Topic(_)),
            cache: (spec.cached && !versioned && budget.limit() > 0).then(|| Cache::new(budget.clone())),
            key: Vec::new(),
            value: Vec::new(),
            slot: None,
            pending: None,
            taken: None,
            round: None,
            evicted: None,
            mean: 16,
        }
    }

    pub(super) fn id(&self) -> StoreId {
        self.id
    }

    pub(super) fn is_cached(&self) -> bool {
        self.cache.is_some()
    }

    pub(super) fn serde_error(&self, what: &'static str, source: SerdeError) -> StateError {
        StateError::Serde { store: self.name.to_string(), what, source }
    }

    /// Begins an operation: the caller then writes its key into `self.key`.
    pub(super) fn begin(&mut self) {
        self.taken = None;
        self.key.clear();
    }

    /// Reads the value of `self.key` below the cache into `self.value`.
    fn fetch(&mut self, cx: &StateContext) -> Result<bool, StateError> {
        self.value.clear();
        if self.versioned {
            let found = cx.stores.versioned_get(self.id, &self.key)?;
            return Ok(self.found(found));
        }
        if self.segmented {
            cx.stores.window_get(self.id, &self.key, &mut self.value)
        } else {
            cx.stores.get(self.id, &self.key, &mut self.value)
        }
    }

    /// Takes a version over as if it had been read from a timestamped store.
    fn found(&mut self, version: Option<Version<Vec<u8>>>) -> bool {
        self.value.clear();
        if let Some(version) = &version {
            push_timestamped(&mut self.value, version.valid_from, &version.value);
        }
        version.is_some()
    }

    /// The value of `self.key` that was valid at a time; a store without versions gives the one it has.
    pub(super) fn read_as_of(
        &mut self,
        cx: &mut StateContext,
        as_of: Timestamp,
    ) -> Result<Option<Stamped<&V>>, StateError> {
        if !self.versioned {
            return self.read(cx);
        }
        let found = cx.stores.versioned_get_as_of(self.id, &self.key, as_of)?;
        if !self.found(found) {
            return Ok(None);
        }
        let mut slot = self.slot.take();
        let timestamp = self.decode(&self.value, &mut slot)?;
        self.slot = slot;
        Ok(self.slot.as_ref().map(|value| Stamped { value, timestamp }))
    }

    fn decode(&self, bytes: &[u8], slot: &mut Option<V>) -> Result<Timestamp, StateError> {
        let (timestamp, bytes) = self.split(bytes)?;
        self.serde.decode_into(Some(bytes), slot).map_err(|source| self.serde_error("value", source))?;
        Ok(timestamp)
    }

    fn split<'b>(&self, bytes: &'b [u8]) -> Result<(Timestamp, &'b [u8]), StateError> {
        split(&self.name, (self.timestamped, self.headers), bytes)
    }

    /// What reads values of this store without borrowing it.
    pub(super) fn decoder(&self) -> Decoder<V> {
        let (timestamped, headers) = (self.timestamped, self.headers);
        Decoder { name: self.name.clone(), serde: self.serde.clone(), timestamped, headers }
    }

    pub(super) fn decode_entry(&self, bytes: &[u8]) -> Result<Stamped<V>, StateError> {
        let (timestamp, bytes) = self.split(bytes)?;
        let value = self.serde.decode(Some(bytes)).map_err(|source| self.serde_error("value", source))?;
        Ok(Stamped { value, timestamp })
    }

    /// The entry of `self.key` in the cache. As in Kafka Streams, a window that has expired below is found while it is there.
    fn cached(&self) -> Option<u32> {
        self.cache.as_ref()?.find(&self.key)
    }

    /// The value of `self.key`. What is read is not put into the cache, which would cost more than reading it again: the
    /// engine keeps the rows that are in use.
    pub(super) fn read(&mut self, cx: &StateContext) -> Result<Option<Stamped<&V>>, StateError> {
        self.read_if(cx, |state| state != State::Lent)
    }

    /// The value of `self.key` without an update that waits to be handed out.
    pub(super) fn read_handed_on(&mut self, cx: &StateContext) -> Result<Option<Stamped<&V>>, StateError> {
        self.read_if(cx, |state| state == State::Clean)
    }

    /// The value of `self.key`: an entry of the cache counts if `counts` says so of its state, else what is below.
    fn read_if(
        &mut self,
        cx: &StateContext,
        counts: impl Fn(State) -> bool,
    ) -> Result<Option<Stamped<&V>>, StateError> {
        if let (Some(index), Some(cache)) = (self.cached(), &mut self.cache)
            && counts(cache.slot(index).state)
        {
            cache.touch(index);
            return Ok(self.entry(index));
        }
        if !self.fetch(cx)? {
            return Ok(None);
        }
        let mut slot = self.slot.take();
        let timestamp = self.decode(&self.value, &mut slot)?;
        self.slot = slot;
        Ok(self.slot.as_ref().map(|value| Stamped { value, timestamp }))
    }

    fn entry(&self, index: u32) -> Option<Stamped<&V>> {
        let slot = self.cache.as_ref()?.slot(index);
        slot.value.as_ref().map(|value| Stamped { value, timestamp: slot.timestamp })
    }

    /// Moves the value of `self.key` out.
    pub(super) fn take(&mut self, cx: &StateContext) -> Result<Option<Stamped<V>>, StateError> {
        let slot = self.cached();
        self.taken = Some(Taken { slot });
        if let (Some(index), Some(cache)) = (slot, &mut self.cache) {
            let slot = cache.slot_mut(index);
            if slot.state != State::Lent {
                let timestamp = slot.timestamp;
                let value = slot.value.take();
                if slot.state == State::Clean {
                    // Should nobody put it back, below still has it.
                    slot.state = State::Lent;
                }
                return Ok(value.map(|value| Stamped { value, timestamp }));
            }
        }
        if !self.fetch(cx)? {
            return Ok(None);
        }
        self.decode_entry(&self.value).map(Some)
    }

    fn normal(&self, new: Option<V>) -> Option<V> {
        new.filter(|value| !self.serde.is_null(value))
    }

    /// Sets the value of the key that was taken last.
    pub(super) fn put_taken(
        &mut self,
        cx: &mut StateContext,
        new: Option<V>,
        time: Timestamp,
    ) -> Result<(), StateError> {
        let Some(Taken { slot }) = self.taken.take() else {
            return Err(StateError::Format {
                store: self.name.to_string(),
                reason: "put_taken without a take right before it".into(),
            });
        };
        let new = self.normal(new);
        match &mut self.cache {
            Some(cache) => {
                let index = slot.unwrap_or_else(|| cache.insert(&self.key, self.mean));
                cache.update(index, new, time, &cx.record);
            }
            None => self.pending = Some(Pending { new, time }),
        }
        Ok(())
    }

    /// Sets the value of `self.key`, as an update to be handed out.
    pub(super) fn update(&mut self, cx: &mut StateContext, new: Option<V>, time: Timestamp) -> Result<(), StateError> {
        let slot = self.cache.as_ref().and_then(|cache| cache.find(&self.key));
        self.taken = Some(Taken { slot });
        self.put_taken(cx, new, time)
    }

    /// Sets the value of `self.key` from a time on, in a versioned store; answers what became of it.
    pub(super) fn put_version(
        &mut self,
        cx: &mut StateContext,
        new: Option<V>,
        time: Timestamp,
    ) -> Result<Placed, StateError> {
        let new = self.normal(new);
        self.write(cx, new.as_ref(), time, time)
    }

    /// Sets the value of `self.key` with nobody to tell.
    pub(super) fn put(&mut self, cx: &mut StateContext, new: Option<Stamped<V>>) -> Result<(), StateError> {
        let time = new.as_ref().map_or(Timestamp::UNKNOWN, |new| new.timestamp);
        let new = new.map(|new| new.value);
        if self.cache.is_some() {
            self.update(cx, new, time)?;
            if self.must_flush() {
                self.write_back(cx)?;
            }
            return Ok(());
        }
        let new = self.normal(new);
        let record_time = cx.record.timestamp;
        self.write(cx, new.as_ref(), time, record_time).map(drop)
    }

    /// Writes the value of `self.key` below the cache and to the changelog.
    fn write(
        &mut self,
        cx: &mut StateContext,
        new: Option<&V>,
        time: Timestamp,
        record_time: Timestamp,
    ) -> Result<Placed, StateError> {
        self.value.clear();
        let mut prefix = 0;
        if let Some(new) = new {
            let headers = self.headers.then(|| self.kept(&cx.record.headers));
            push_stamp(&mut self.value, (self.timestamped, headers), time);
            prefix = self.value.len();
            let encoded = self.serde.encode(new, &mut self.value);
            encoded.map_err(|source| self.serde_error("value", source))?;
            self.mean = (self.mean * 7 + self.value.len()) / 8;
        }
        let bytes = new.map(|_| &self.value[..]);
        let mut placed = Placed::Latest;
        if self.versioned {
            // What is too old is not kept, but Kafka Streams logs it all the same.
            placed = cx.stores.versioned_put(self.id, &self.key, bytes.map(|bytes| &bytes[prefix..]), time)?;
        } else if self.segmented {
            // A window that has expired is not kept, but Kafka Streams logs it all the same.
            cx.stores.window_put(self.id, &self.key, bytes)?;
        } else {
            cx.stores.put(self.id, &self.key, bytes)?;
        }
        let own = self.versioned || (self.timestamped && new.is_some());
        let timestamp = if own { time } else { record_time };
        self.log(cx, timestamp, bytes.map(|bytes| &bytes[prefix..]));
        Ok(placed)
    }

    /// Adds a value under `self.key` to a plain window store without a cache; a `None` is only logged. The changelog record
    /// has the headers.
    pub(super) fn append(
        &mut self,
        cx: &mut StateContext,
        value: Option<&V>,
        headers: &Headers,
    ) -> Result<(), StateError> {
        self.value.clear();
        if let Some(value) = value {
            let encoded = self.serde.encode(value, &mut self.value);
            encoded.map_err(|source| self.serde_error("value", source))?;
            // A window that has expired is not kept, but Kafka Streams logs it all the same.
            cx.stores.window_put(self.id, &self.key, Some(&self.value))?;
        } else if self.in_memory {
            // There is nothing to delete, but Kafka Streams' stores in memory, unlike those on disk, see the time.
            cx.stores.window_put(self.id, &self.key, None)?;
        }
        if self.logged {
            let meta = RecordMeta { target: self.id.0, partition: None, timestamp: Some(cx.record.timestamp) };
            cx.changes.append(meta, headers, Some(&self.key), value.map(|_| &self.value[..]));
        }
        Ok(())
    }

    /// Writes a record with `self.key` to the changelog, if there is one.
    fn log(&self, cx: &mut StateContext, timestamp: Timestamp, value: Option<&[u8]>) {
        if self.logged {
            let meta = RecordMeta { target: self.id.0, partition: None, timestamp: Some(timestamp) };
            let headed = self.headed_deletes && value.is_none();
            let headers = if headed { &cx.record.headers } else { self.kept(&cx.record.headers) };
            cx.changes.append(meta, headers, Some(&self.key), value);
        }
    }

    /// What is kept of the headers of a record: nothing in the stores of most operators, as in Kafka Streams.
    fn kept<'h>(&self, headers: &'h Headers) -> &'h Headers {
        if self.keeps_headers { headers } else { &NO_HEADERS }
    }

    /// From now on the headers of the current record are kept, where values have headers, and logged.
    pub(super) fn keep_headers(&mut self) {
        self.keeps_headers = true;
    }

    /// Whether updates are to be handed out now.
    pub(super) fn must_flush(&mut self) -> bool {
        let Some(cache) = &mut self.cache else { return self.pending.is_some() };
        self.evicted = cache.trim();
        self.evicted.is_some()
    }

    /// Writes the next update below; `self.key` is then its key. `need_old` asks for the old value; `skip_empty` drops
    /// what changes nothing.
    pub(super) fn take_dirty(
        &mut self,
        cx: &mut StateContext,
        need_old: bool,
        skip_empty: bool,
    ) -> Result<Option<Update<V>>, StateError> {
        self.taken = None;
        if self.cache.is_none() {
            return self.take_pending(cx, need_old);
        }
        while let Some(index) = self.next_dirty() {
            let Some(cache) = &mut self.cache else { break };
            cache.clean(index);
            let slot = cache.slot_mut(index);
            self.key.clear();
            self.key.extend_from_slice(&slot.key);
            let (new, time, update) = (slot.value.take(), slot.timestamp, slot.update);
            let mut record = slot.record.take().unwrap_or_else(|| cx.record.clone());
            if new.is_none() {
                cache.remove(index);
            }
            let (found, old) = self.old_value(cx, need_old, need_old || (new.is_none() && skip_empty))?;
            if skip_empty && new.is_none() && !found {
                continue;
            }
            let record_time = record.timestamp;
            // The changelog is to see the record that caused the update, as the nodes below will.
            std::mem::swap(&mut cx.record, &mut record);
            let written = self.write(cx, new.as_ref(), time, record_time);
            std::mem::swap(&mut cx.record, &mut record);
            written?;
            let lent = new.is_some().then_some(Lent { slot: index, update });
            if let (Some(cache), Some(_)) = (&mut self.cache, lent) {
                cache.weigh(index, self.value.len());
            }
            let timestamp = if self.timestamped && new.is_some() { time } else { record.timestamp };
            return Ok(Some(Update { new, old, timestamp, record, latest: true, lent }));
        }
        self.round = None;
        if let Some(cache) = &mut self.cache {
            cache.trim();
        }
        Ok(None)
    }

    /// The next entry of this round.
    fn next_dirty(&mut self) -> Option<u32> {
        let cache = self.cache.as_ref()?;
        let round = self.round.get_or_insert(Round { until: cache.clock() });
        let due = |index: &u32| {
            let slot = cache.slot(*index);
            slot.state == State::Dirty && slot.update <= round.until
        };
        let evicted = self.evicted.take().filter(due);
        evicted.or_else(|| cache.first_dirty().filter(due))
    }

    fn take_pending(&mut self, cx: &mut StateContext, need_old: bool) -> Result<Option<Update<V>>, StateError> {
        let Some(Pending { new, time }) = self.pending.take() else { return Ok(None) };
        let (_, old) = self.old_value(cx, need_old, need_old)?;
        let record = cx.record.clone();
        let latest = match self.write(cx, new.as_ref(), time, record.timestamp)? {
            Placed::Latest => true,
            Placed::Until(_) => false,
            Placed::TooOld => return Ok(None),
        };
        Ok(Some(Update { new, old, timestamp: time, record, latest, lent: None }))
    }

    fn old_value(&mut self, cx: &StateContext, decode: bool, look: bool) -> Result<(bool, Option<V>), StateError> {
        if !look || !self.fetch(cx)? {
            return Ok((false, None));
        }
        let old = if decode { Some(self.decode_entry(&self.value)?.value) } else { None };
        Ok((true, old))
    }

    pub(super) fn put_back(&mut self, lent: Option<Lent>, value: Option<V>) {
        match (&mut self.cache, lent) {
            (Some(cache), Some(lent)) => cache.put_back(lent, value),
            // Without a cache its memory serves the next read.
            _ => self.slot = value.or(self.slot.take()),
        }
    }

    /// Writes all dirty entries below, with nobody to tell.
    pub(super) fn write_back(&mut self, cx: &mut StateContext) -> Result<(), StateError> {
        while let Some(update) = self.take_dirty(cx, false, false)? {
            self.put_back(update.lent, update.new);
        }
        Ok(())
    }

    /// Makes [`Typed::overlay_between`] cost what it finds.
    pub(super) fn sort_cache(&mut self) {
        if let Some(cache) = &mut self.cache {
            cache.sort();
        }
    }

    /// The dirty entries that `wanted` accepts by key, encoded and in the order of their keys.
    pub(super) fn overlay(&self, wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<Written>, StateError> {
        self.encoded(self.cache.iter().flat_map(Cache::dirty).filter(|slot| wanted(&slot.key)))
    }

    /// The dirty entries between two keys (both included) that `wanted` accepts, encoded and in the order of their
    /// keys. As in Kafka Streams, what has expired below is still found while the cache has it, if the cache is sorted.
    pub(super) fn overlay_between(
        &self,
        cx: &StateContext,
        first: &[u8],
        last: &[u8],
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<Written>, StateError> {
        let found = self.cache.iter().flat_map(|cache| cache.between(first, last)).filter(|slot| wanted(&slot.key));
        let expired = |slot: &Slot<V>| {
            slot.state == State::Clean && cx.stores.window_is_live(self.id, &slot.key).is_ok_and(|live| !live)
        };
        self.encoded(found.filter(|slot| slot.state == State::Dirty || expired(slot)))
    }

    fn encoded<'a>(&self, dirty: impl Iterator<Item = &'a Slot<V>>) -> Result<Vec<Written>, StateError>
    where
        V: 'a,
    {
        let mut entries = Vec::new();
        for slot in dirty {
            let value = match &slot.value {
                None => None,
                Some(value) => {
                    let mut bytes = Vec::new();
                    let headers = slot.record.as_ref().map_or(&NO_HEADERS, |record| self.kept(&record.headers));
                    push_stamp(&mut bytes, (self.timestamped, self.headers.then_some(headers)), slot.timestamp);
                    let encoded = self.serde.encode(value, &mut bytes);
                    encoded.map_err(|source| self.serde_error("value", source))?;
                    Some(bytes.into_boxed_slice())
                }
            };
            entries.push((slot.key.clone(), value));
        }
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(entries)
    }
}
