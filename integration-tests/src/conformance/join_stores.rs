//! Brings the listings of stores of joins into a form that can be compared.

use anyhow::{Result, anyhow};
use millstream::state::key_order::WINDOW_SUFFIX;
use millstream::state::{held_records, outer_join};

use super::compare::Difference;
use super::stores::Dump;
use super::typed::Type;
use super::vector::{Entry, Store};

/// The bytes of what comes behind key and time in a window store's key.
const NUMBER: usize = 4;

/// Whether the store is the one that outer sides share: a list per key.
pub(crate) fn is_shared(should: &Store) -> bool {
    should.kind == "key-value" && should.entries.iter().any(|entry| entry.side.is_some())
}

/// An element of a shared store's list as the vectors write it, in bytes.
pub(crate) fn element(entry: &Entry) -> Result<(Vec<u8>, Vec<u8>)> {
    let left = entry.side.as_deref() == Some("left");
    let bytes = |value| Ok::<_, anyhow::Error>(Type::of_stored(value).encode(value)?.unwrap_or_default());
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let time = entry.key_timestamp.ok_or_else(|| anyhow!("an entry with a side and no time"))?;
    outer_join::push_prefix(&mut key, millstream::state::model::Timestamp::from_millis(time), left);
    key.extend(bytes(&entry.key)?);
    outer_join::push_side(&mut value, left);
    value.extend(bytes(if left { &entry.left } else { &entry.right })?);
    Ok((key, value))
}

/// The elements of a shared store's lists.
pub(crate) fn elements(dump: &Dump) -> Result<Dump> {
    let mut elements = Vec::new();
    for (key, list) in dump {
        let list = outer_join::elements(list).ok_or_else(|| anyhow!("no list: {list:02x?}"))?;
        elements.extend(list.into_iter().map(|element| (key.clone(), element.to_vec())));
    }
    Ok(elements)
}

/// Window keys with the rank of a duplicate in place of its number. The reference counts a null put into a store with
/// duplicates in the changelog but not in the store, so that the two disagree on the numbers from then on; Millstream has
/// the changelog's in both, because what is replayed must replace what is there. `entries` is sorted by key.
pub(crate) fn ranked(mut entries: Dump) -> Dump {
    let (mut last, mut rank) = (Vec::new(), 0u32);
    for (key, _) in &mut entries {
        let Some((of, number)) = key.split_last_chunk_mut::<NUMBER>() else { continue };
        if *number == [0; NUMBER] {
            continue;
        }
        rank = if *of == *last { rank + 1 } else { 1 };
        last = of.to_vec();
        *number = rank.to_be_bytes();
    }
    entries
}

/// Window keys without the numbers that tell duplicates apart: the vectors' entries have none.
pub(crate) fn unnumbered(mut entries: Dump) -> Dump {
    for (key, _) in &mut entries {
        if let Some(number) = key.last_chunk_mut::<NUMBER>() {
            *number = [0; NUMBER];
        }
    }
    entries
}

/// Takes the timestamps off the values of a listing in which each is the window's start: the reference lists stores in
/// memory like that, and a store without timestamps is as good.
pub(crate) fn without_starts(should: Dump, is: &Dump) -> Dump {
    let start = |key: &[u8]| key.len().checked_sub(WINDOW_SUFFIX).map(|at| key[at..at + 8].to_vec());
    let bare = |(key, value): &(Vec<u8>, Vec<u8>)| {
        let rest = value.strip_prefix(start(key)?.as_slice())?;
        Some((key.clone(), rest.to_vec()))
    };
    let stamped = is.iter().any(|entry| bare(entry).is_some());
    match should.iter().map(bare).collect::<Option<Dump>>() {
        Some(bare) if !stamped => bare,
        _ => should,
    }
}

/// Compares what a join with a grace period holds back: how many records, what the reference counts them for, and when
/// the first is due. The reference keeps no smallest time but one from which nothing has been let go: it is compared as
/// such.
pub(crate) fn held(name: &str, should: &Store, is: &Dump) -> Result<Option<Difference>> {
    let mut size = 0;
    let mut first = None;
    for (key, bytes) in is {
        let held = held_records::split_key(key).ok_or_else(|| anyhow!("no key of a held record: {key:02x?}"))?;
        let (record, value) =
            held_records::read_record(bytes).ok_or_else(|| anyhow!("no held record: {bytes:02x?}"))?;
        let headers = record.headers.iter();
        let headers = headers.map(|header| header.name.len() + header.value.as_ref().map_or(0, |value| value.len()));
        size += key.len() + value.len() + 8 + 8 + record.topic.len() + 4 + headers.sum::<usize>();
        first = first.or(Some(held.time.millis()));
    }
    let due = should.min_timestamp.is_none_or(|least| first.is_some_and(|first| least <= first));
    let wanted = (should.num_records, should.buffer_size_bytes, should.min_timestamp.is_some(), true);
    let is = (Some(is.len()), Some(size), first.is_some(), due);
    let place = || format!("after the last step, buffer {name}: records, bytes, whether there is a first, and due");
    Ok((wanted != is).then(|| Difference::new(place(), format!("{wanted:?}"), format!("{is:?}"))))
}
