//! Records that a join with a table holds back until their grace period ends, as bytes: Kafka Streams' layout.
//!
//! ```text
//!  key:    00 | time (8) | key | number (4)               so that the oldest come first
//!  value:  the record's context | no value | no value | value | 0 (8)
//! ```
//! Store and changelog hold the same bytes; the changelog's records have no timestamp of their own.

use bytes::Bytes;

use crate::model::{Headers, Offset, RecordContext, Timestamp};

/// What every key begins with.
const PREFIX: u8 = 0;

/// A key of the buffer, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldKey<'a> {
    /// The record's time.
    pub time: Timestamp,
    /// Its key.
    pub key: &'a [u8],
    /// Tells records with equal key and time apart.
    pub number: u32,
}

/// Appends what comes before the key of a record; alone it is the least key of that time.
pub fn push_prefix(out: &mut Vec<u8>, time: Timestamp) {
    out.push(PREFIX);
    out.extend_from_slice(&time.millis().to_be_bytes());
}

/// Appends what comes behind the key of a record.
pub fn push_number(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_be_bytes());
}

/// Takes a key of the buffer apart; `None` if it is none.
pub fn split_key(bytes: &[u8]) -> Option<HeldKey<'_>> {
    let (time, rest) = bytes.strip_prefix(&[PREFIX])?.split_first_chunk::<8>()?;
    let (key, number) = rest.split_last_chunk::<4>()?;
    let time = Timestamp::from_millis(i64::from_be_bytes(*time));
    Some(HeldKey { time, key, number: u32::from_be_bytes(*number) })
}

/// The length of a value that is not there.
const NULL: i32 = -1;

/// Appends a record: its value and where it comes from.
pub fn push_record(out: &mut Vec<u8>, record: &RecordContext, value: &[u8]) {
    out.extend_from_slice(&record.timestamp.millis().to_be_bytes());
    out.extend_from_slice(&record.offset.number().to_be_bytes());
    push_bytes(out, record.topic.as_bytes());
    out.extend_from_slice(&record.partition.to_be_bytes());
    out.extend_from_slice(&(record.headers.len() as u32).to_be_bytes());
    for header in record.headers.iter() {
        push_bytes(out, header.name.as_bytes());
        match &header.value {
            Some(value) => push_bytes(out, value),
            None => out.extend_from_slice(&NULL.to_be_bytes()),
        }
    }
    // The layout is that of a suppression's buffer, which has a value before and a value until then as well.
    out.extend_from_slice(&NULL.to_be_bytes());
    out.extend_from_slice(&NULL.to_be_bytes());
    push_bytes(out, value);
    out.extend_from_slice(&0i64.to_be_bytes());
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Reads a record; `None` if the bytes are none.
pub fn read_record(bytes: &[u8]) -> Option<(RecordContext, &[u8])> {
    let mut rest = bytes;
    let timestamp = Timestamp::from_millis(i64::from_be_bytes(take(&mut rest)?));
    let offset = Offset::new(i64::from_be_bytes(take(&mut rest)?));
    let topic = std::str::from_utf8(take_bytes(&mut rest)??).ok()?.into();
    let partition = i32::from_be_bytes(take(&mut rest)?);
    let mut headers = Headers::new();
    for _ in 0..i32::from_be_bytes(take(&mut rest)?) {
        let name = std::str::from_utf8(take_bytes(&mut rest)??).ok()?;
        headers.add(name, take_bytes(&mut rest)?.map(Bytes::copy_from_slice));
    }
    let (before, until_then) = (take_bytes(&mut rest)?, take_bytes(&mut rest)?);
    let value = take_bytes(&mut rest)??;
    let record = RecordContext { topic, partition, offset, timestamp, headers };
    (before.is_none() && until_then.is_none()).then_some((record, value))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

/// Bytes with their length before them; `None` if they are not there, `Some(None)` for a null.
fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let len = i32::from_be_bytes(take(rest)?);
    if len == NULL {
        return Some(None);
    }
    let (head, tail) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    *rest = tail;
    Some(Some(head))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_comes_apart_into_its_parts(time: i64, key: Vec<u8>, number: u32) {
            let time = Timestamp::from_millis(time);
            let mut bytes = Vec::new();
            push_prefix(&mut bytes, time);
            bytes.extend_from_slice(&key);
            push_number(&mut bytes, number);
            prop_assert_eq!(split_key(&bytes), Some(HeldKey { time, key: &key, number }));
        }

        #[test]
        fn a_record_comes_back(
            time: i64, offset: i64, value: Vec<u8>, topic in "[a-z]{0,8}",
            named in proptest::collection::vec((".{0,3}", proptest::option::of(any::<Vec<u8>>())), 0..3),
        ) {
            let (timestamp, offset) = (Timestamp::from_millis(time), Offset::new(offset));
            let topic: std::sync::Arc<str> = topic.as_str().into();
            let mut headers = Headers::new();
            named.into_iter().for_each(|(name, value)| headers.add(name.as_str(), value.map(Bytes::from)));
            let record = RecordContext { topic: topic.clone(), partition: 3, offset, timestamp, headers: headers.clone() };
            let mut bytes = Vec::new();
            push_record(&mut bytes, &record, &value);
            let (read, read_value) = read_record(&bytes).unwrap();
            prop_assert_eq!((read.timestamp, read.offset, read.partition), (timestamp, offset, 3));
            prop_assert_eq!((read.topic, read.headers, read_value), (topic, headers, &value[..]));
        }

        #[test]
        fn bytes_that_are_no_record_are_refused_without_harm(bytes: Vec<u8>) {
            let _ = read_record(&bytes);
            let _ = split_key(&bytes);
        }
    }
}
