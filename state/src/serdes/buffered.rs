//! What waits in a suppression's buffer, as it lies in the changelog (Kafka Streams' `BufferValue`, version 3).
//!
//! ```text
//!  record time (8) | offset (8) | topic (4 + n) | partition (4) | headers (4): name (4 + n), value (4 + n) …
//!  prior (4 + n) | old (4 + n) | new (4 + n) | buffer time (8)     length -1: null; -2, of old: equal to prior
//! ```

use bytes::Bytes;

use crate::model::{Headers, Offset, RecordContext, Timestamp};
use crate::store::Buffered;

const NULL: i32 = -1;
const AS_PRIOR: i32 = -2;
/// The header that tells the version.
const VERSION: &str = "v";

/// Why a changelog record cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Corrupt(pub(crate) &'static str);

/// The headers of a changelog record.
pub(crate) fn headers() -> Headers {
    let mut headers = Headers::new();
    headers.add(VERSION, Some(Bytes::from_static(&[3])));
    headers
}

/// Appends the value of a changelog record.
pub(crate) fn encode(time: i64, waits: &Buffered, out: &mut Vec<u8>) {
    let Buffered { prior, old, new, record } = waits;
    out.extend_from_slice(&record.timestamp.millis().to_be_bytes());
    out.extend_from_slice(&record.offset.number().to_be_bytes());
    push(out, Some(record.topic.as_bytes()));
    out.extend_from_slice(&record.partition.to_be_bytes());
    out.extend_from_slice(&(record.headers.len() as u32).to_be_bytes());
    for header in record.headers.iter() {
        push(out, Some(header.name.as_bytes()));
        push(out, header.value.as_deref());
    }
    push(out, prior.as_deref());
    if old.is_some() && old == prior {
        out.extend_from_slice(&AS_PRIOR.to_be_bytes());
    } else {
        push(out, old.as_deref());
    }
    push(out, new.as_deref());
    out.extend_from_slice(&time.to_be_bytes());
}

fn push(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
            out.extend_from_slice(bytes);
        }
        None => out.extend_from_slice(&NULL.to_be_bytes()),
    }
}

/// Reads the value of a changelog record: the buffer time, and what waits.
pub(crate) fn decode(value: &[u8], headers: &Headers) -> Result<(i64, Buffered), Corrupt> {
    // Kafka Streams 2.4 and 2.5 call this format 2; what is older cannot be told apart from it by its header alone.
    match headers.last(VERSION).and_then(|header| header.value.as_deref()) {
        Some([2 | 3]) => {}
        _ => return Err(Corrupt("is of a version before Kafka Streams 2.4; let that application's buffer run empty")),
    }
    let mut rest = value;
    let waits = read(&mut rest).ok_or(Corrupt("is too short for what it says it holds"))?;
    let time = i64::from_be_bytes(take(&mut rest).ok_or(Corrupt("ends before its buffer time"))?);
    if rest.is_empty() { Ok((time, waits)) } else { Err(Corrupt("goes on after its buffer time")) }
}

fn read(rest: &mut &[u8]) -> Option<Buffered> {
    let timestamp = Timestamp::from_millis(i64::from_be_bytes(take(rest)?));
    let offset = Offset::new(i64::from_be_bytes(take(rest)?));
    let topic = std::str::from_utf8(bytes(rest)??).ok()?.into();
    let partition = i32::from_be_bytes(take(rest)?);
    let mut headers = Headers::new();
    for _ in 0..i32::from_be_bytes(take(rest)?) {
        let name = std::str::from_utf8(bytes(rest)??).ok()?;
        headers.add(name, bytes(rest)?.map(Bytes::copy_from_slice));
    }
    let prior = bytes(rest)?.map(Bytes::copy_from_slice);
    let old = match peek(rest)? {
        AS_PRIOR => {
            take::<4>(rest)?;
            prior.clone()
        }
        _ => bytes(rest)?.map(Bytes::copy_from_slice),
    };
    let new = bytes(rest)?.map(Bytes::copy_from_slice);
    Some(Buffered { prior, old, new, record: RecordContext { topic, partition, offset, timestamp, headers } })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn peek(rest: &[u8]) -> Option<i32> {
    rest.first_chunk::<4>().map(|head| i32::from_be_bytes(*head))
}

/// Bytes with their length before them; `None` if they are not there, `Some(None)` for a null.
fn bytes<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
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

    fn optional() -> impl Strategy<Value = Option<Bytes>> {
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..6).prop_map(Bytes::from))
    }

    proptest! {
        #[test]
        fn what_waits_comes_back_from_its_changelog_record(
            time: i64, values in (optional(), optional(), optional()), named in proptest::collection::vec((".{0,3}", optional()), 0..3),
        ) {
            let (prior, old, new) = values;
            let mut record = RecordContext { topic: "t".into(), timestamp: Timestamp::from_millis(time), ..RecordContext::default() };
            named.iter().for_each(|(name, value)| record.headers.add(name.as_str(), value.clone()));
            let mut encoded = Vec::new();
            encode(time, &Buffered { prior: prior.clone(), old: old.clone(), new: new.clone(), record: record.clone() }, &mut encoded);
            let (read_time, read) = decode(&encoded, &headers()).unwrap();
            prop_assert_eq!((read_time, read.prior, read.old, read.new), (time, prior, old, new));
            prop_assert_eq!((read.record.timestamp, read.record.headers), (record.timestamp, record.headers));
        }

        #[test]
        fn bytes_that_are_no_changelog_record_are_refused_without_a_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes, &headers());
        }
    }

    #[test]
    fn a_record_without_a_version_is_refused() {
        assert!(decode(&[0; 64], &Headers::new()).is_err());
    }
}
