//! Whole stores of each kind: restored from changelogs that hold any bytes at any times, and opened on databases that
//! hold any notes and entries. All that may come of it are errors.

use arbitrary::Arbitrary;
use millstream_state::commit::{ChangelogMark, Committed};
use millstream_state::engine::{Change, Direction, Engine, META_FAMILY, MemoryEngine};
use millstream_state::error::{EngineError, StateError};
use millstream_state::model::{Offset, Position, RawRecord, Timestamp, TopicId};
use millstream_state::store::{
    Changelog, Persistence, SegmentOrder, SessionShape, StoreId, StoreKind, StoreSpec, TaskStores, VersionedShape,
    WindowShape,
};

use crate::Must as _;
use crate::buffers::{HeaderParts, headers};

/// More records or entries than this show nothing new.
const MOST: usize = 24;

#[derive(Arbitrary, Debug)]
struct Life {
    kind: u8,
    durable: bool,
    with_headers: bool,
    retention: u16,
    records: Vec<Logged>,
    notes: Vec<(Note, Vec<u8>)>,
    entries: Vec<(i8, Vec<u8>, Vec<u8>)>,
    asked: Asked,
}

#[derive(Arbitrary, Debug)]
struct Logged {
    timestamp: i64,
    key: Option<Vec<u8>>,
    times: Option<(i64, i64)>,
    value: Option<Vec<u8>>,
    headers: HeaderParts,
    put: bool,
}

#[derive(Arbitrary, Debug)]
enum Note {
    Mark,
    Times,
    Shape,
    Format,
}

#[derive(Arbitrary, Debug)]
struct Asked {
    key: Vec<u8>,
    from: i64,
    to: i64,
    hold: Option<i64>,
    backward: bool,
}

const STORE: StoreId = StoreId(0);

/// Checks stores of all kinds.
pub fn check(bytes: &[u8]) {
    let Some(mut life) = crate::arbitrary::<Life>(bytes) else { return };
    life.records.truncate(MOST);
    life.entries.truncate(MOST);
    let (logged, found) = (life.logged(), life.found());
    assert!(!matches!(logged, Err(StateError::Unusable)), "an error before this one was lost");
    assert!(!matches!(found, Err(StateError::Unusable)), "an error before this one was lost");
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

impl Life {
    fn spec(&self) -> StoreSpec {
        let retention = i64::from(self.retention);
        let order =
            [SegmentOrder::ByKey, SegmentOrder::ByTime { indexed: false }, SegmentOrder::ByTime { indexed: true }]
                [usize::from(self.kind / 8 % 3)];
        let segment_interval = i64::from(self.retention / 3).max(1);
        let window = WindowShape { order, segment_interval, ..WindowShape::new(10, retention) };
        let kind = match self.kind % 8 {
            0 => StoreKind::KeyValue,
            1 => StoreKind::TimestampedKeyValue,
            2 => StoreKind::Window(window),
            3 => StoreKind::TimestampedWindow(window),
            4 => StoreKind::Window(WindowShape { retain_duplicates: true, order: SegmentOrder::ByKey, ..window }),
            5 => StoreKind::Session(SessionShape { order, segment_interval, ..SessionShape::new(retention) }),
            6 => StoreKind::TimeOrderedBuffer,
            _ => StoreKind::VersionedKeyValue(VersionedShape { history_retention: retention, segment_interval }),
        };
        let persistence = if self.durable { Persistence::Durable } else { Persistence::InMemory };
        StoreSpec {
            name: "s".into(),
            kind,
            persistence,
            changelog: Changelog::Topic(Default::default()),
            cached: false,
            headers: self.with_headers,
        }
    }

    /// Restores a store from a changelog and reads it.
    fn logged(&self) -> Result<(), StateError> {
        let mut stores = TaskStores::open(&[self.spec()], Box::new(MemoryEngine::new()))?;
        let mark = ChangelogMark { topic: TopicId(1), position: Position::new(7), applied_at: at(self.asked.from) };
        let parts: Vec<_> =
            self.records.iter().map(|record| (record, record.key(), headers(&record.headers))).collect();
        let mut records =
            (0..).zip(&parts).filter(|(_, (record, ..))| !record.put).map(|(offset, (record, key, headers))| {
                RawRecord {
                    offset: Offset::new(offset),
                    timestamp: at(record.timestamp),
                    key: key.as_deref(),
                    value: record.value.as_deref(),
                    headers,
                }
            });
        let wanted = records.clone().count();
        let restored = stores.restore(STORE, &mut records, mark)?;
        assert_eq!((restored, stores.mark(STORE)), (wanted, Some(mark)));
        for (record, key, _) in parts.iter().filter(|(record, ..)| record.put) {
            let (Some(key), value) = (key, record.value.as_deref()) else { continue };
            self.put(&mut stores, key, value, at(record.timestamp))?;
        }
        self.read(&mut stores)?;
        stores.apply(&Committed::testify(1), &[(STORE, mark)])?;
        self.read(&mut stores)
    }

    fn put(
        &self,
        stores: &mut TaskStores,
        key: &[u8],
        value: Option<&[u8]>,
        time: Timestamp,
    ) -> Result<(), StateError> {
        match self.kind % 8 {
            0 | 1 => stores.put(STORE, key, value),
            // A key that is too short is refused with an error, which ends nothing.
            2..=5 => stores.window_put(STORE, key, value).map(drop).or_else(refused),
            6 => Ok(()),
            _ => stores.versioned_put(STORE, key, value, time).map(drop),
        }
    }

    /// Opens a database that holds notes and entries that nobody wrote, and reads it.
    fn found(&self) -> Result<(), StateError> {
        let mut spec = self.spec();
        spec.persistence = Persistence::Durable;
        // Opened once, so that the notes that are there are those of such a store.
        let storage = millstream_state::engine::MemoryStorage::default();
        let open = || millstream_state::engine::Storage::open(&storage, "task").must("memory can be opened");
        drop(TaskStores::open(std::slice::from_ref(&spec), open())?);
        let mut engine = open();
        self.write(&mut *engine).must("memory can be written");
        drop(engine);
        let mut stores = TaskStores::open(std::slice::from_ref(&spec), open())?;
        self.read(&mut stores)
    }

    fn write(&self, engine: &mut dyn Engine) -> Result<(), EngineError> {
        let meta = engine.open_family(META_FAMILY)?;
        for (note, value) in &self.notes {
            let key: &[u8] = match note {
                Note::Mark => b"m/s",
                Note::Times => b"t/s",
                Note::Shape => b"k/s",
                Note::Format => b"format",
            };
            engine.write(&mut std::iter::once(Change::Put(meta, key, value)))?;
        }
        for (segment, key, value) in &self.entries {
            let name = if self.kind % 8 < 2 { "s".to_owned() } else { format!("s.{segment}") };
            let family = engine.open_family(&name)?;
            engine.write(&mut std::iter::once(Change::Put(family, key, value)))?;
        }
        Ok(())
    }

    /// Reads in every way there is.
    fn read(&self, stores: &mut TaskStores) -> Result<(), StateError> {
        let Asked { key, from, to, hold, backward } = &self.asked;
        let (times, direction) =
            ((at(*from), at(*to)), if *backward { Direction::Backward } else { Direction::Forward });
        let mut out = Vec::new();
        drain(stores.all(STORE))?;
        match self.kind % 8 {
            0 | 1 => {
                stores.get(STORE, key, &mut out)?;
                drain(stores.scan_prefix(STORE, key, direction))?;
            }
            2..=5 => {
                if let Some(hold) = hold {
                    stores.hold(STORE, at(*hold)).or_else(refused)?;
                }
                stores.window_get(STORE, key, &mut out).map(drop).or_else(refused)?;
                stores.window_is_live(STORE, key).map(drop).or_else(refused)?;
                stores.stored_key(STORE, key)?;
                drain(stores.fetch_held(STORE, times, Some(key)))?;
                drain(stores.fetch_held(STORE, times, None))?;
                self.read_spans(stores, times, direction)?;
            }
            6 => {
                let (count, first) = (stores.buffer_len(STORE)?, stores.buffer_first_time(STORE)?);
                assert_eq!(count == 0, first.is_none());
                for _ in 0..count {
                    assert!(stores.buffer_pop(STORE)?.is_some());
                }
                assert_eq!((stores.buffer_pop(STORE)?.is_none(), stores.buffer_bytes(STORE)?), (true, 0));
                stores.rollback();
                assert_eq!((stores.buffer_len(STORE)?, stores.buffer_first_time(STORE)?), (count, first));
            }
            _ => {
                stores.versioned_observed(STORE)?;
                stores.versioned_get(STORE, key).map(drop).or_else(refused)?;
                stores.versioned_get_as_of(STORE, key, times.0).map(drop).or_else(refused)?;
                stores.versioned_get_as_of(STORE, key, times.1).map(drop).or_else(refused)?;
            }
        }
        Ok(())
    }

    fn read_spans(
        &self,
        stores: &mut TaskStores,
        times: (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<(), StateError> {
        let key = &self.asked.key[..];
        if self.kind % 8 == 5 {
            drain(stores.session_find(STORE, key, times, direction))?;
            drain(stores.session_find_keys(STORE, (Some(key), None), times, direction))
        } else {
            drain(stores.window_fetch(STORE, key, times, direction))?;
            drain(stores.window_fetch_keys(STORE, (Some(key), None), times, direction))?;
            drain(stores.window_fetch_keys(STORE, (None, Some(key)), times, direction))?;
            drain(stores.window_fetch_all(STORE, times, direction))
        }
    }
}

impl Logged {
    /// A key, that looks like one of a window or session often enough.
    fn key(&self) -> Option<Vec<u8>> {
        let mut key = self.key.clone()?;
        if let Some((end, start)) = self.times {
            key.extend_from_slice(&end.to_be_bytes());
            key.extend_from_slice(&start.to_be_bytes());
        }
        Some(key)
    }
}

/// That the bytes are refused is an answer; that the store is not usable any more is none.
fn refused(error: StateError) -> Result<(), StateError> {
    match error {
        StateError::Format { .. } => Ok(()),
        other => Err(other),
    }
}

type Scanned<'a> = Result<millstream_state::store::StoreScan<'a>, StateError>;

fn drain(scan: Scanned<'_>) -> Result<(), StateError> {
    for entry in scan? {
        if let Err(error) = entry {
            refused(error)?;
        }
    }
    Ok(())
}
