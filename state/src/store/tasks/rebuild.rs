//! A key-value store that is rebuilt from nothing: its engine is given many rows at once, in order.

use super::super::meta;
use super::restore::{stored, write_mark};
use super::{Body, Database, Store};
use crate::commit::ChangelogMark;
use crate::engine::FilledRow;
use crate::error::StateError;
use crate::model::RawRecord;

/// The length of the value of a delete: no value is that long.
const DELETED: u32 = u32::MAX;

struct Row {
    at: usize,
    key: u32,
    /// Or [`DELETED`].
    value: u32,
}

/// Rows in the order in which they came, a key as often as it came.
#[derive(Default)]
pub(super) struct Run {
    arena: Vec<u8>,
    rows: Vec<Row>,
    /// So many bytes all keys begin with.
    common: usize,
    /// How many bytes the engine is given at once.
    pub(super) enough: usize,
}

impl Run {
    fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.common = match self.rows.first() {
            Some(first) => {
                let first = &self.key(first)[..self.common];
                first.iter().zip(key).take_while(|(a, b)| a == b).count()
            }
            None => key.len(),
        };
        let at = self.arena.len();
        self.arena.extend_from_slice(key);
        self.arena.extend_from_slice(value.unwrap_or_default());
        let value = value.map_or(DELETED, |value| value.len() as u32);
        self.rows.push(Row { at, key: key.len() as u32, value });
    }

    fn key(&self, row: &Row) -> &[u8] {
        &self.arena[row.at..row.at + row.key as usize]
    }

    fn value(&self, row: &Row) -> Option<&[u8]> {
        let at = row.at + row.key as usize;
        (row.value != DELETED).then(|| &self.arena[at..at + row.value as usize])
    }

    /// How much memory they take, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.arena.len() + self.rows.len() * size_of::<Row>()
    }

    /// The last row of each key, in the order of the keys.
    fn in_order(&self) -> impl Iterator<Item = FilledRow<'_>> {
        // Eight bytes, from where they differ, decide most comparisons without a look at the keys.
        let head = |row: &Row| {
            let (rest, mut head) = (&self.key(row)[self.common..], [0; 8]);
            let count = rest.len().min(8);
            head[..count].copy_from_slice(&rest[..count]);
            u64::from_be_bytes(head)
        };
        let mut order: Vec<(u64, u32)> = self.rows.iter().map(head).zip(0..).collect();
        let key = |index: u32| self.key(&self.rows[index as usize]);
        order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| key(a.1).cmp(key(b.1)).then(a.1.cmp(&b.1))));
        let mut order = order.into_iter().map(|(_, index)| &self.rows[index as usize]).peekable();
        std::iter::from_fn(move || {
            loop {
                let row = order.next()?;
                let key = self.key(row);
                if order.peek().is_none_or(|next| self.key(next) != key) {
                    return Some((key, self.value(row)));
                }
            }
        })
    }

    fn clear(&mut self) {
        self.arena.clear();
        self.rows.clear();
    }
}

/// Goes on with records, and answers how many there were; none end it. The mark follows when the engine has been given the rows.
pub(super) fn rebuild(
    store: &mut Store,
    database: &mut Database,
    mut run: Run,
    records: &mut dyn Iterator<Item = RawRecord<'_>>,
    mark: ChangelogMark,
) -> Result<usize, StateError> {
    let Body::KeyValue { family, .. } = store.body else { return Ok(0) };
    let (mut count, mut value) = (0, Vec::new());
    for record in records {
        count += 1;
        // A source topic that serves as changelog may hold records without a key: the table skips them, so do we.
        if let Some(key) = record.key {
            run.push(key, stored(store, &record, &mut value));
        }
    }
    let full = count == 0;
    // It stays with the store until the engine has it: whoever tries again after an error must not lose what came before.
    let run = store.rebuilt.insert(run);
    if !full && run.bytes() < run.enough {
        return Ok(count);
    }
    if !run.rows.is_empty() {
        let filled = database.engine.fill(family, &mut run.in_order());
        filled.map_err(|source| meta::engine_error(&store.name, source))?;
        run.clear();
    }
    if full {
        database.engine.filled(family).map_err(|source| meta::engine_error(&store.name, source))?;
        store.rebuilt = None;
    }
    write_mark(store, database, mark)?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_come_in_the_order_of_their_keys_and_the_last_of_each(
            prefix in proptest::collection::vec(0..3u8, 0..12),
            rows in proptest::collection::vec(
                (proptest::collection::vec(0..3u8, 0..11), proptest::option::of(any::<u8>())), 0..100,
            ),
        ) {
            let (mut run, mut model) = (Run::default(), BTreeMap::new());
            for (rest, value) in rows {
                let key = [&prefix[..], &rest].concat();
                let value = value.map(|value| vec![value; usize::from(value) % 3]);
                run.push(&key, value.as_deref());
                model.insert(key, value);
            }
            let rows: Vec<_> = run.in_order().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect();
            prop_assert_eq!(rows, model.into_iter().collect::<Vec<_>>());
        }
    }
}
