//! Between a store's value and the record in its changelog.
//!
//! ```text
//!  timestamped store:  value = timestamp (8) | v     record = (key, v) with that timestamp
//!  plain store:        value = v                     record = (key, v) with the time of the record that caused it
//!  with headers:       value = header part | timestamp (8) | v     record = (key, v) with that timestamp and the headers
//!  header part:        its length (varint) | nothing, or: count (varint) | name, value with their lengths (varints) …
//! ```
//! A null header value has the length -1; a varint is zigzag-coded, low bits first. A null deletes in all; keys are the same bytes on both sides.

use bytes::Bytes;

use crate::model::{Headers, Timestamp};

/// The bytes before the value in a timestamped store.
pub const TIMESTAMP_BYTES: usize = 8;

/// Appends a timestamped store's value.
pub fn push_timestamped(out: &mut Vec<u8>, timestamp: Timestamp, value: &[u8]) {
    out.reserve(TIMESTAMP_BYTES + value.len());
    out.extend_from_slice(&timestamp.millis().to_be_bytes());
    out.extend_from_slice(value);
}

/// Takes a timestamped store's value apart; `None` if it is too short to be one.
pub fn split_timestamped(bytes: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (timestamp, value) = bytes.split_first_chunk::<TIMESTAMP_BYTES>()?;
    Some((Timestamp::from_millis(i64::from_be_bytes(*timestamp)), value))
}

/// Appends the header part of a header-aware store's value.
pub fn push_headers(out: &mut Vec<u8>, headers: &Headers) {
    if headers.is_empty() {
        push_varint(out, 0);
        return;
    }
    let mut part = Vec::new();
    push_varint(&mut part, headers.len() as i32);
    for header in headers.iter() {
        push_varint(&mut part, header.name.len() as i32);
        part.extend_from_slice(header.name.as_bytes());
        match &header.value {
            Some(value) => {
                push_varint(&mut part, value.len() as i32);
                part.extend_from_slice(value);
            }
            None => push_varint(&mut part, -1),
        }
    }
    push_varint(out, part.len() as i32);
    out.extend_from_slice(&part);
}

/// The header part of a header-aware store's value, and what follows it; `None` if it is not one.
pub fn split_headers(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = bytes;
    let len = usize::try_from(take_varint(&mut rest)?).ok()?;
    rest.split_at_checked(len)
}

/// Reads a header part.
pub fn read_headers(part: &[u8]) -> Option<Headers> {
    let mut headers = Headers::new();
    if part.is_empty() {
        return Some(headers);
    }
    let mut rest = part;
    for _ in 0..take_varint(&mut rest)? {
        let name = take(&mut rest)??;
        let value = take(&mut rest)?;
        headers.add(std::str::from_utf8(name).ok()?, value.map(Bytes::copy_from_slice));
    }
    rest.is_empty().then_some(headers)
}

/// Bytes after their length; the inner `None` is a null.
fn take<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let len = take_varint(rest)?;
    if len < 0 {
        return Some(None);
    }
    let (head, tail) = rest.split_at_checked(len as usize)?;
    *rest = tail;
    Some(Some(head))
}

fn push_varint(out: &mut Vec<u8>, number: i32) {
    let mut left = ((number << 1) ^ (number >> 31)) as u32;
    while left >= 0x80 {
        out.push((left as u8 & 0x7f) | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

fn take_varint(rest: &mut &[u8]) -> Option<i32> {
    let mut number = 0u32;
    for shift in (0..35).step_by(7) {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        number |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((number >> 1) as i32 ^ -((number & 1) as i32));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_timestamped_value_comes_apart_into_its_parts(time: i64, value: Vec<u8>) {
            let mut bytes = Vec::new();
            push_timestamped(&mut bytes, Timestamp::from_millis(time), &value);
            prop_assert_eq!(split_timestamped(&bytes), Some((Timestamp::from_millis(time), &value[..])));
        }
    }

    #[test]
    fn a_value_that_is_too_short_is_refused() {
        assert_eq!(split_timestamped(&[0; 7]), None);
    }

    proptest! {
        #[test]
        fn headers_come_back_as_they_were_written(list: Vec<(String, Option<Vec<u8>>)>, tail: Vec<u8>) {
            let mut headers = Headers::new();
            for (name, value) in list {
                headers.add(name, value.map(Bytes::from));
            }
            let mut bytes = Vec::new();
            push_headers(&mut bytes, &headers);
            bytes.extend_from_slice(&tail);
            let (part, rest) = split_headers(&bytes).unwrap();
            prop_assert_eq!(rest, &tail[..]);
            prop_assert_eq!(read_headers(part), Some(headers));
        }

        #[test]
        fn bytes_that_are_no_headers_are_refused_and_not_trusted(bytes: Vec<u8>) {
            if let Some((part, _)) = split_headers(&bytes) {
                let _ = read_headers(part);
            }
        }
    }
}
