//! Keys: of window and session stores in both layouts, of waiting and held records, windowed keys in topics, task names,
//! and where a key's partition is.

use std::ops::Bound;

use arbitrary::Arbitrary;
use millstream_operators::foreign_key;
use millstream_state::key_order::{
    WindowKey, from_time_first_session_key, from_time_first_window_key, index_key, prefix_end, session_key,
    split_session_key, split_window_key, time_first_session_key, time_first_window_key, window_key,
};
use millstream_state::model::{Timestamp, Window, Windowed};
use millstream_state::serdes::{byte_vec, session_windowed, time_windowed};
use millstream_state::{held_records, outer_join};

use crate::Must as _;
use crate::{canonical, encoded, reread, round_trip};

#[path = "../../runtime/src/partitioner.rs"]
mod partitioner;
#[path = "../../runtime/src/task/id.rs"]
mod task_id;

#[derive(Arbitrary, Debug)]
struct Parts {
    start: i64,
    end: i64,
    number: u32,
    left: bool,
    size: Option<i64>,
    key: Vec<u8>,
    other: Vec<u8>,
}

/// Checks all formats of keys.
pub fn check(bytes: &[u8]) {
    if let Some(parts) = crate::arbitrary(bytes) {
        windows_made(&parts);
        buffers_made(&parts);
        topics_made(&parts);
    }
    windows_read(bytes);
    buffers_read(bytes);
    topics_read(bytes);
    prefixes(bytes);
    partitions(bytes);
    task_ids(bytes);
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn windows_made(parts: &Parts) {
    let (key, start) = (&parts.key[..], at(parts.start));
    let window = window_key(key, start, parts.number);
    assert_eq!(split_window_key(&window), Some(WindowKey { key, start, sequence: parts.number }));
    let session = Window { start, end: at(parts.end) };
    assert_eq!(split_session_key(&session_key(key, session)), Some((key, session)));
    // The order of keys is the order of times, for the times that can be stored.
    let (first, later) = (parts.start.max(0), parts.end.max(0));
    let order = window_key(key, at(first), 0).cmp(&window_key(key, at(later), 0));
    assert_eq!(order, first.cmp(&later));
    let by_time = |time| time_first_window_key(&window_key(&parts.other, at(time), 0));
    assert!(first == later || by_time(first).cmp(&by_time(later)) == first.cmp(&later));
}

fn windows_read(bytes: &[u8]) {
    if let Some(parts) = split_window_key(bytes) {
        assert_eq!(window_key(parts.key, parts.start, parts.sequence), bytes);
    }
    if let Some((key, session)) = split_session_key(bytes) {
        assert_eq!(session_key(key, session), bytes);
    }
    let back = time_first_window_key(bytes).map(|key| from_time_first_window_key(&key));
    assert!(back.is_none_or(|back| back.as_deref() == Some(bytes)));
    let back = time_first_session_key(bytes).map(|key| from_time_first_session_key(&key));
    assert!(back.is_none_or(|back| back.as_deref() == Some(bytes)));
    let there = from_time_first_window_key(bytes).map(|key| time_first_window_key(&key));
    assert!(there.is_none_or(|there| there.as_deref() == Some(bytes)));
    let there = from_time_first_session_key(bytes).map(|key| time_first_session_key(&key));
    assert!(there.is_none_or(|there| there.as_deref() == Some(bytes)));
    // An index entry is never taken for a value's key.
    let index = index_key(bytes);
    assert_eq!((from_time_first_window_key(&index), from_time_first_session_key(&index)), (None, None));
}

fn buffers_made(parts: &Parts) {
    let time = at(parts.start);
    let mut held = Vec::new();
    held_records::push_prefix(&mut held, time);
    held.extend_from_slice(&parts.key);
    held_records::push_number(&mut held, parts.number);
    let wanted = held_records::HeldKey { time, key: &parts.key, number: parts.number };
    assert_eq!(held_records::split_key(&held), Some(wanted));

    let mut waiting = Vec::new();
    outer_join::push_prefix(&mut waiting, time, parts.left);
    waiting.extend_from_slice(&parts.key);
    let wanted = outer_join::WaitingKey { time, left: parts.left, key: &parts.key };
    assert_eq!(outer_join::split_key(&waiting), Some(wanted));
}

fn buffers_read(bytes: &[u8]) {
    if let Some(held) = held_records::split_key(bytes) {
        let mut again = Vec::new();
        held_records::push_prefix(&mut again, held.time);
        again.extend_from_slice(held.key);
        held_records::push_number(&mut again, held.number);
        assert_eq!(again, bytes);
    }
    if let Some(waiting) = outer_join::split_key(bytes) {
        let mut again = Vec::new();
        outer_join::push_prefix(&mut again, waiting.time, waiting.left);
        again.extend_from_slice(waiting.key);
        // A side that is neither counts as right.
        assert!(bytes[8] > 1 || again == bytes);
    }
}

fn topics_made(parts: &Parts) {
    let key = parts.key.clone();
    let end = parts.size.map_or(i64::MAX, |size| parts.start.saturating_add(size));
    let window = Window { start: at(parts.start), end: at(end) };
    round_trip(&*time_windowed(byte_vec(), parts.size), &Windowed { key: key.clone(), window });
    let window = Window { start: at(parts.start), end: at(parts.end) };
    round_trip(&*session_windowed(byte_vec()), &Windowed { key, window });

    let serde = byte_vec();
    let prefix = foreign_key::store_prefix((&parts.key, &*serde)).must("bytes have an encoding");
    let whole = foreign_key::store_key((&parts.key, &*serde), (&parts.other, &*serde)).must("bytes have an encoding");
    assert_eq!(whole, [&prefix[..], &parts.other].concat());
    assert_eq!(prefix[..4], (parts.key.len() as u32).to_be_bytes());
}

fn topics_read(bytes: &[u8]) {
    canonical(&*time_windowed(byte_vec(), None), bytes);
    canonical(&*time_windowed(byte_vec(), Some(i64::MAX)), bytes);
    canonical(&*session_windowed(byte_vec()), bytes);
    canonical(&*session_windowed(time_windowed(byte_vec(), Some(1))), bytes);
    // All windows of a key have the same partition.
    let serde = session_windowed(byte_vec());
    if let Some(windowed) = reread(&*serde, bytes) {
        let whole = encoded(&*serde, &windowed);
        assert_eq!(whole[..whole.len() - serde.unhashed_suffix()], windowed.key);
    }
}

fn prefixes(bytes: &[u8]) {
    let (prefix, rest) = bytes.split_at(bytes.len() / 2);
    match prefix_end(prefix) {
        Bound::Excluded(end) => assert!(bytes < &end[..] && prefix < &end[..] && !end.starts_with(prefix)),
        Bound::Included(_) => panic!("the end of a prefix has not the prefix"),
        Bound::Unbounded => assert!(prefix.iter().all(|&byte| byte == u8::MAX)),
    }
    // What is greater than all that begin so is not below the end.
    if let Bound::Excluded(end) = prefix_end(prefix) {
        assert!(rest < prefix || rest.starts_with(prefix) || rest >= &end[..]);
    }
}

fn partitions(bytes: &[u8]) {
    let hash = partitioner::murmur2(bytes);
    for partitions in [i32::MIN, -1, 0, 1, 2, 3, 50, i32::MAX] {
        let partition = partitioner::partition_of(bytes, partitions);
        assert!((0..partitions.max(1)).contains(&partition), "{partition} of {partitions} for the hash {hash}");
    }
    let _ = foreign_key::hash(bytes);
}

fn task_ids(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(task) = text.parse::<task_id::TaskId>() {
        assert_eq!(task.to_string().parse(), Ok(task));
    }
}
