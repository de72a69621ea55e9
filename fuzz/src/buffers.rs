//! What waits: in suppressions' buffers, in joins with a table, and without a partner in left and outer joins.

use arbitrary::Arbitrary;
use bytes::Bytes;
use millstream_state::model::{Headers, Offset, RecordContext, Timestamp};
use millstream_state::store::Buffered;
use millstream_state::{held_records, outer_join};

use crate::Must as _;

#[allow(dead_code, reason = "a file of another crate")]
#[path = "../../state/src/serdes/buffered.rs"]
mod buffered;

/// A record's headers, as parts.
pub(crate) type HeaderParts = Vec<(String, Option<Vec<u8>>)>;

#[derive(Arbitrary, Debug)]
struct Parts {
    buffer_time: i64,
    timestamp: i64,
    offset: i64,
    topic: String,
    partition: i32,
    headers: HeaderParts,
    prior: Option<Vec<u8>>,
    old: Option<Vec<u8>>,
    new: Option<Vec<u8>>,
    left: bool,
    list: Vec<Vec<u8>>,
}

/// Checks all formats of what waits.
pub fn check(bytes: &[u8]) {
    if let Some(parts) = crate::arbitrary::<Parts>(bytes) {
        suppressed_made(&parts);
        held_made(&parts);
        lists_made(&parts);
    }
    suppressed_read(bytes);
    held_read(bytes);
    lists_read(bytes);
}

/// Headers from their parts.
pub(crate) fn headers(parts: &HeaderParts) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in parts {
        headers.add(name.as_str(), value.clone().map(Bytes::from));
    }
    headers
}

fn record(parts: &Parts) -> RecordContext {
    RecordContext {
        topic: parts.topic.as_str().into(),
        partition: parts.partition,
        offset: Offset::new(parts.offset),
        timestamp: Timestamp::from_millis(parts.timestamp),
        headers: headers(&parts.headers),
    }
}

fn assert_same_record(left: &RecordContext, right: &RecordContext) {
    assert_eq!((&left.topic, left.partition), (&right.topic, right.partition));
    assert_eq!((left.offset, left.timestamp), (right.offset, right.timestamp));
    assert_eq!(left.headers, right.headers);
}

fn suppressed_made(parts: &Parts) {
    let value = |bytes: &Option<Vec<u8>>| bytes.clone().map(Bytes::from);
    let (prior, new) = (value(&parts.prior), value(&parts.new));
    // Often the same as before: that has a form of its own.
    let old = if parts.left { prior.clone() } else { value(&parts.old) };
    suppressed_again(parts.buffer_time, &Buffered { prior, old, new, record: record(parts) });
}

/// Writes and reads it; answers the bytes.
fn suppressed_again(time: i64, waits: &Buffered) -> Vec<u8> {
    let mut bytes = Vec::new();
    buffered::encode(time, waits, &mut bytes);
    let (read_time, read) = buffered::decode(&bytes, &buffered::headers()).must("what was written can be read");
    assert_eq!((read_time, &read.prior, &read.old, &read.new), (time, &waits.prior, &waits.old, &waits.new));
    assert_same_record(&read.record, &waits.record);
    bytes
}

fn suppressed_read(bytes: &[u8]) {
    assert!(buffered::decode(bytes, &Headers::new()).is_err(), "without a version nothing is read");
    if let Ok((time, waits)) = buffered::decode(bytes, &buffered::headers()) {
        let again = suppressed_again(time, &waits);
        // An old value that is the prior one can be written out, and headers counted below 0; both are read.
        assert!(again.len() <= bytes.len(), "{again:02x?}");
    }
}

fn held_made(parts: &Parts) {
    let (record, value) = (record(parts), parts.new.as_deref().unwrap_or_default());
    let mut bytes = Vec::new();
    held_records::push_record(&mut bytes, &record, value);
    let (read, read_value) = held_records::read_record(&bytes).must("what was written can be read");
    assert_same_record(&read, &record);
    assert_eq!(read_value, value);
    // The layout is that of a suppression's buffer.
    let (_, waits) = buffered::decode(&bytes, &buffered::headers()).must("the layouts are the same");
    assert_eq!((waits.prior, waits.old, waits.new.as_deref()), (None, None, Some(value)));
}

fn held_read(bytes: &[u8]) {
    if let Some((record, value)) = held_records::read_record(bytes) {
        let mut again = Vec::new();
        held_records::push_record(&mut again, &record, value);
        let (read, read_value) = held_records::read_record(&again).must("what was written can be read");
        assert_same_record(&read, &record);
        assert_eq!(read_value, value);
    }
}

fn lists_made(parts: &Parts) {
    let mut list = outer_join::empty_list();
    for element in &parts.list {
        let mut sided = Vec::new();
        outer_join::push_side(&mut sided, parts.left);
        sided.extend_from_slice(element);
        assert_eq!(outer_join::split_side(&sided), Some((parts.left, &element[..])));
        outer_join::push_element(&mut list, element);
    }
    assert_eq!(outer_join::count(&list), Some(parts.list.len() as u32));
    let wanted: Vec<&[u8]> = parts.list.iter().map(Vec::as_slice).collect();
    assert_eq!(outer_join::elements(&list), Some(wanted));
}

fn lists_read(bytes: &[u8]) {
    if let Some(elements) = outer_join::elements(bytes) {
        let mut again = outer_join::empty_list();
        elements.iter().for_each(|element| outer_join::push_element(&mut again, element));
        assert_eq!(again, bytes);
        assert_eq!(outer_join::count(bytes), Some(elements.len() as u32));
    }
    // A list that is none is not made one by adding to it.
    let mut longer = bytes.to_vec();
    outer_join::push_element(&mut longer, b"x");
    if outer_join::elements(bytes).is_none() {
        let _ = outer_join::elements(&longer);
    }
    let _ = outer_join::split_side(bytes);
}
