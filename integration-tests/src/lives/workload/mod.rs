//! What a simulated application computes, and what must come out: a model of a few lines that shares nothing with the
//! engine.

mod bank;
mod counters;
mod finals;
mod join;
mod lists;
mod orders;
mod pairs;
mod sessions;
mod windows;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use millstream::operators::topology::Topology;
use millstream::state::model::Timestamp;

use super::dice::Dice;

/// A value that is written as a delete.
pub const TOMBSTONE: &str = "\0";

/// One record that the outside world writes.
#[derive(Clone, Debug)]
pub struct Input {
    /// To which topic.
    pub topic: &'static str,
    /// The key.
    pub key: String,
    /// The value; [`TOMBSTONE`] is none.
    pub value: String,
    /// Its time.
    pub timestamp: Timestamp,
}

/// The successive values of each key; `None` is a delete.
pub type Steps = BTreeMap<Vec<u8>, Vec<Option<Vec<u8>>>>;

/// The values at the end, by key.
pub type Table = BTreeMap<Vec<u8>, Vec<u8>>;

/// What must come out.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Every update of every output topic.
    pub outputs: BTreeMap<&'static str, Steps>,
    /// What the stores hold at the end: keys as in the changelog, values without a timestamp before them.
    pub stores: BTreeMap<&'static str, Table>,
}

/// A panic in user code, on demand.
#[derive(Clone, Debug, Default)]
pub struct Fuse(Arc<AtomicI64>);

/// How the message of such a panic begins.
pub const PANIC: &str = "simulated panic in user code";

impl Fuse {
    /// Lets the code panic at so many records from now.
    pub fn light(&self, records: i64) {
        self.0.store(records, Ordering::Relaxed);
    }

    /// No panic any more.
    pub fn put_out(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// To be called for each record.
    ///
    /// # Panics
    /// When its time has come.
    pub fn burn(&self) {
        let left = self.0.load(Ordering::Relaxed);
        if left > 0 {
            self.0.store(left - 1, Ordering::Relaxed);
            assert!(left > 1, "{PANIC}");
        }
    }
}

/// An application under test.
pub trait Workload: Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;

    /// The topics it reads.
    fn inputs(&self) -> &'static [&'static str];

    /// The topics it writes.
    fn outputs(&self) -> &'static [&'static str];

    /// Its topology.
    fn topology(&self, fuse: &Fuse) -> Topology;

    /// The `index`th record to be written.
    fn input(&self, dice: &mut Dice, index: u64) -> Input;

    /// The records that are written after `count` others, the last of all.
    fn last(&self, _partitions: i32, _count: u64) -> Vec<Input> {
        Vec::new()
    }

    /// Whether the result is determined as well when records can be processed more than once; if not, all lives are exactly
    /// once.
    fn bears_repetition(&self) -> bool {
        true
    }

    /// What must come out of these inputs when each topic has so many partitions.
    fn expected(&self, inputs: &[Input], partitions: i32) -> Expected;

    /// What of a store's entry the model knows: by default all.
    fn seen(&self, _store: &str, key: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
        (key.to_vec(), value.to_vec())
    }

    /// Whether the last update of a key is the one that the model has last.
    fn last_counts(&self) -> bool {
        true
    }

    /// Whether the updates of a key are right, when each record counts once. `all` says that none may be missing;
    /// otherwise a record cache may have left out all but the last before a commit.
    fn steps_are_right(&self, found: &[Option<Vec<u8>>], wanted: &[Option<Vec<u8>>], all: bool) -> bool {
        if all { found == wanted } else { is_within(found, wanted) }
    }

    /// Whether a key can come out that the model does not have, when records may have counted more than once.
    fn can_be(&self, _inputs: &[Input], _key: &[u8]) -> bool {
        false
    }

    /// Whether a final value will do when records may have counted more than once, but none less.
    fn will_do(&self, found: Option<&[u8]>, wanted: Option<&[u8]>) -> bool;
}

/// Whether the items of one list are all in the other, in the same order.
pub(super) fn is_within<T: PartialEq>(part: &[T], whole: &[T]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|item| rest.any(|other| other == item))
}

/// All workloads.
pub fn all() -> Vec<Arc<dyn Workload>> {
    vec![
        Arc::new(bank::Bank),
        Arc::new(counters::Counters),
        Arc::new(lists::Lists),
        Arc::new(windows::Windows),
        Arc::new(join::Join),
        Arc::new(pairs::Pairs),
        Arc::new(orders::Orders),
        Arc::new(sessions::Sessions),
        Arc::new(finals::Finals),
    ]
}

/// The time of the `index`th record.
fn time(index: u64) -> Timestamp {
    Timestamp::from_millis(super::START.millis() + (index as i64) * 700)
}

/// Whether a big-endian count is at least another one.
fn at_least(found: Option<&[u8]>, wanted: Option<&[u8]>) -> bool {
    let count = |bytes: Option<&[u8]>| bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_be_bytes);
    count(found) >= count(wanted)
}
