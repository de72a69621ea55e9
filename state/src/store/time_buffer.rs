//! Values that wait for their time: the buffer of a suppression, in memory, with an undo log for the transaction.
//!
//! ```text
//!  index: key → buffer time      entries: (buffer time, key) → what waits      undo: key → what was there at the start
//!  touched keys --changelog--> key → record context | prior | old | new | buffer time     header v = 3
//! ```
//! A value that is replaced keeps its place: the buffer time is that of the first. The format of the changelog and the
//! count of bytes are those of Kafka Streams' `InMemoryTimeOrderedKeyValueChangeBuffer`.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use rustc_hash::FxBuildHasher;

use crate::error::StateError;
use crate::java_set::JavaHashSet;
use crate::model::{RawRecord, RecordContext};
use crate::serdes::buffered::{self, Corrupt};

/// What waits in a time-ordered buffer: a change of a key, as bytes, and the record that caused it.
#[derive(Clone, Debug)]
pub struct Buffered {
    /// The value before the first of the changes that this one stands for.
    pub prior: Option<Bytes>,
    /// The value before this change.
    pub old: Option<Bytes>,
    /// The value from this change on.
    pub new: Option<Bytes>,
    /// The record that caused the change, with the time and headers of the change.
    pub record: RecordContext,
}

impl Buffered {
    /// What the entry counts for in the buffer's bound.
    fn weight(&self, key: &[u8]) -> usize {
        let len = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let old = if self.prior == self.old { 0 } else { len(&self.old) };
        // The buffer time, then the record's timestamp, offset and partition. Names count by characters of UTF-16.
        let mut record = 8 + 8 + 4 + self.record.topic.encode_utf16().count();
        for header in self.record.headers.iter() {
            record += header.name.encode_utf16().count() + len(&header.value);
        }
        8 + key.len() + len(&self.prior) + old + len(&self.new) + record
    }
}

/// A key and what waited for it.
pub type Waited = (Box<[u8]>, Buffered);

/// What a key was at the beginning of the transaction.
type Before = Option<(i64, Buffered)>;

#[derive(Debug, Default)]
pub(super) struct TimeBuffer {
    index: HashMap<Box<[u8]>, i64, FxBuildHasher>,
    entries: BTreeMap<(i64, Box<[u8]>), Buffered>,
    weight: usize,
    undo: HashMap<Box<[u8]>, Before, FxBuildHasher>,
    /// Keys whose changelog records have not been written yet.
    touched: JavaHashSet,
}

impl TimeBuffer {
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// The smallest buffer time of all that waits.
    pub(super) fn first_time(&self) -> Option<i64> {
        self.entries.first_key_value().map(|((time, _), _)| *time)
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<(i64, &Buffered)> {
        let (key, time) = self.index.get_key_value(key)?;
        self.entries.get(&(*time, key.clone())).map(|found| (*time, found))
    }

    /// Puts a change in, or in the place of the one that waits for its key; that one's prior value stays.
    pub(super) fn put(&mut self, time: i64, key: &[u8], mut change: Buffered) {
        let mut place = time;
        if let Some((waiting, before)) = self.get(key) {
            place = waiting;
            change.prior = before.prior.clone();
        } else {
            change.prior = change.old.clone();
        }
        let before = self.set(key, Some((place, change)));
        self.remember(key, before);
    }

    /// Takes out what has waited longest by buffer time, then by key.
    pub(super) fn pop(&mut self) -> Option<Waited> {
        let (_, key) = self.entries.first_key_value()?.0.clone();
        let (time, change) = self.set(&key, None)?;
        self.remember(&key, Some((time, change.clone())));
        Some((key, change))
    }

    fn remember(&mut self, key: &[u8], before: Before) {
        self.touched.insert(key);
        if !self.undo.contains_key(key) {
            self.undo.insert(key.into(), before);
        }
    }

    /// Sets or removes what waits for a key, and answers what did until now.
    fn set(&mut self, key: &[u8], now: Before) -> Before {
        let before = self.index.remove(key).and_then(|time| {
            let (key, waited) = self.entries.remove_entry(&(time, key.into()))?;
            self.weight -= waited.weight(&key.1);
            Some((time, waited))
        });
        if let Some((time, change)) = now {
            self.weight += change.weight(key);
            self.index.insert(key.into(), time);
            self.entries.insert((time, key.into()), change);
        }
        before
    }

    /// The keys that have changed since the last call, in the order in which Kafka Streams writes their changelog
    /// records.
    pub(super) fn take_touched(&mut self) -> Vec<Box<[u8]>> {
        self.touched.take()
    }

    /// What was done since the last commit stays.
    pub(super) fn settle(&mut self) {
        self.undo.clear();
    }

    /// Forgets what was done since the last commit.
    pub(super) fn rollback(&mut self) {
        self.touched.take();
        for (key, before) in std::mem::take(&mut self.undo) {
            self.set(&key, before);
        }
    }

    /// Applies changelog records; answers how many there were.
    pub(super) fn restore(
        &mut self,
        store: &str,
        records: &mut dyn Iterator<Item = RawRecord<'_>>,
    ) -> Result<usize, StateError> {
        let mut count = 0;
        for record in records {
            count += 1;
            let Some(key) = record.key else { continue };
            let entry = record.value.map(|value| buffered::decode(value, record.headers)).transpose();
            let entry = entry.map_err(|Corrupt(what)| StateError::Format {
                store: store.to_owned(),
                reason: format!("its changelog record at offset {} {what}", record.offset),
            })?;
            self.set(key, entry);
        }
        Ok(count)
    }
}
