//! Compares the stores on every disk with their changelogs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::Unbounded;

use millstream::state::engine::{Direction, Storage};
use millstream::state::model::{Position, Timestamp};
use millstream::state::store::{StoreId, StoreKind, StoreSpec, TaskStores};
use millstream::task::TaskId;

use super::APP;
use super::checker::{NO_END, read, replay, show, time_of};
use super::life::Life;
use super::workload::Table;

/// A task's store on every disk, with the rest of its changelog replayed over it, must be what the changelog gives; and
/// a disk must hold it all, unless the stop came while the task was being restored. The one with the highest mark need not
/// be it: a mark can be too low by what was aborted, and another disk may be in the middle of a restoration.
pub(super) fn check(life: &Life, specs: &[StoreSpec], store: StoreId, task: TaskId) -> Result<(), String> {
    let spec = &specs[store.0 as usize];
    let mut whole = replay(life, spec, task.partition, Position::START..NO_END, Table::new());
    let forgotten = Forgotten::of(spec, &whole);
    forgotten.drop_from(&mut whole);
    let mut furthest: Option<(Position, Table, String)> = None;
    let mut complete = false;
    for machine in &life.machines {
        let there = machine.storage.tasks().map_err(|error| error.to_string())?;
        if !there.contains(&task.to_string()) {
            continue;
        }
        let engine = machine.storage.open(&task.to_string()).map_err(|error| error.to_string())?;
        let mut stores = TaskStores::open(specs, engine).map_err(|error| error.to_string())?;
        let Some(mark) = stores.mark(store) else { continue };
        let mut dump = dump(&mut stores, spec, store)?;
        forgotten.drop_from(&mut dump);
        let mut replayed = replay(life, spec, task.partition, mark.position..NO_END, dump.clone());
        forgotten.drop_from(&mut replayed);
        same(
            &format!("store {} of task {task} on {} at {}", spec.name, machine.name, mark.position),
            &replayed,
            &whole,
        )?;
        if dump == whole {
            complete = true;
        }
        if furthest.as_ref().is_none_or(|(position, ..)| mark.position > *position) {
            furthest = Some((mark.position, dump, machine.name.clone()));
        }
    }
    let cut_short = is_cut_short(life, task);
    match furthest {
        _ if complete => Ok(()),
        Some((mark, dump, name)) if cut_short => {
            let what = format!("store {} of task {task} on {name}, which was being restored, at {mark}", spec.name);
            life.trace.note(|| what.clone());
            behind_by_its_mark(life, (spec, &forgotten), task.partition, mark, &dump)
                .map_err(|key| format!("{what}, {key}"))
        }
        Some((_, dump, name)) => {
            same(&format!("store {} of task {task} on {name}, as it is", spec.name), &dump, &whole)
        }
        None if whole.is_empty() || cut_short => Ok(()),
        None => Err(format!("nobody has task {task}")),
    }
}

/// What a store forgets: in the store it may be there still or be gone, and nobody sees it; the changelog keeps it.
struct Forgotten {
    kind: StoreKind,
    /// The latest time that is forgotten.
    until: Option<i64>,
}

impl Forgotten {
    /// By the highest time that is in the changelog.
    fn of(spec: &StoreSpec, changelog: &Table) -> Self {
        let kind = spec.kind;
        let highest = changelog.keys().filter_map(|key| time_of(kind, key)).max();
        let until = highest.zip(kind.retention()).map(|(highest, retention)| highest - retention);
        Self { kind, until }
    }

    fn is_kept(&self, key: &[u8]) -> bool {
        self.until.is_none_or(|until| time_of(self.kind, key).is_none_or(|time| time > until))
    }

    fn drop_from(&self, table: &mut Table) {
        table.retain(|key, _| self.is_kept(key));
    }
}

/// Whether the clean stop came while the task was being restored, for one of the reasons for which a task that processes
/// is restored again: a disk refused a write, or without transactions something was rolled back.
fn is_cut_short(life: &Life, task: TaskId) -> bool {
    let counts = life.trace.counts();
    let reopened = ["full disk", "disk write error"].iter().any(|kind| counts.contains_key(kind));
    let may_be = reopened || !life.scenario.exactly_once;
    may_be && life.machines.iter().any(|machine| machine.unrestored.contains(&task))
}

/// Every key of a store that is not complete has the value that the changelog gave it at the store's mark. Or a later one:
/// a mark counts what was committed and not what was aborted, so it can be too low by the offsets that hold no committed
/// record, and a replay that begins too low has yet to pass what is there. Of a key whose older records compaction has
/// taken nothing is known here; that the replay of the rest gives the right store has been compared already.
fn behind_by_its_mark(
    life: &Life,
    (spec, forgotten): (&StoreSpec, &Forgotten),
    partition: i32,
    mark: Position,
    dump: &Table,
) -> Result<(), String> {
    let log = read(life, &format!("{APP}-{}-changelog", spec.name), partition);
    let records: Vec<(Position, &[u8])> = log
        .iter()
        .map(|record| (Position::new(record.offset.number()), record.key.as_deref().unwrap_or_default()))
        .collect();
    let is_near = |index: &usize| {
        let next = records[*index].0.advance(1);
        let without_record = next.number() - (*index as i64 + 1);
        next > mark && (!life.scenario.exactly_once || next.number() - mark.number() <= without_record)
    };
    let later = (0..records.len()).filter(is_near).map(|index| records[index].0.advance(1));
    let tables: Vec<Table> = std::iter::once(mark)
        .chain(later)
        .map(|end| replay(life, spec, partition, Position::START..end, Table::new()))
        .collect();
    let is_compacted = life.trace.counts().contains_key("compaction");
    let keys: BTreeSet<&[u8]> = dump.keys().map(Vec::as_slice).chain(records.iter().map(|(_, key)| *key)).collect();
    for key in keys.into_iter().filter(|key| forgotten.is_kept(key)) {
        let is_known = !is_compacted || records.iter().any(|(at, other)| *other == key && *at < mark);
        if is_known && !tables.iter().any(|table| table.get(key) == dump.get(key)) {
            let (found, wanted) = (show(dump.get(key).map(Vec::as_slice)), show(tables[0].get(key).map(Vec::as_slice)));
            return Err(format!("key {}: found {found}, the changelog gave {wanted}", key.escape_ascii()));
        }
    }
    Ok(())
}

fn same(what: &str, found: &Table, wanted: &Table) -> Result<(), String> {
    let keys: BTreeSet<&Vec<u8>> = found.keys().chain(wanted.keys()).collect();
    for key in keys {
        let (found, wanted) = (found.get(key).map(Vec::as_slice), wanted.get(key).map(Vec::as_slice));
        if found != wanted {
            let key = key.escape_ascii();
            return Err(format!("{what}, key {key}: found {}, the changelog gives {}", show(found), show(wanted)));
        }
    }
    Ok(())
}

fn dump(stores: &mut TaskStores, spec: &StoreSpec, store: StoreId) -> Result<Table, String> {
    let forward = Direction::Forward;
    let (first, last) = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));
    let scan = match spec.kind {
        StoreKind::Window(_) | StoreKind::TimestampedWindow(_) => {
            stores.window_fetch_all(store, (first, last), forward)
        }
        StoreKind::Session(_) => stores.session_find_keys(store, (None, None), (first, last), forward),
        _ => stores.scan(store, (Unbounded, Unbounded), forward),
    };
    let scan = scan.map_err(|error| error.to_string())?;
    let entries: Result<BTreeMap<_, _>, _> =
        scan.map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec()))).collect();
    entries.map_err(|error| error.to_string())
}
