//! Values in stores, with timestamps and headers, and what is committed beside an offset; with [`crate::buffers`].

use arbitrary::Arbitrary;
use millstream_state::changelog::{push_headers, push_timestamped, read_headers, split_headers, split_timestamped};
use millstream_state::model::Timestamp;

use crate::Must as _;
use crate::buffers::{self, HeaderParts, headers};

#[allow(dead_code, reason = "a file of another crate")]
#[path = "../../runtime/src/task/metadata.rs"]
mod metadata;

use metadata::OffsetMetadata;

#[derive(Arbitrary, Debug)]
struct Parts {
    time: i64,
    headers: HeaderParts,
    times: Vec<(String, i64)>,
    commit: Option<i64>,
    value: Vec<u8>,
}

/// Checks all formats of values.
pub fn check(bytes: &[u8]) {
    if let Some(parts) = crate::arbitrary(bytes) {
        stored_made(&parts);
        metadata_made(&parts);
    }
    stored_read(bytes);
    metadata_read(bytes);
    buffers::check(bytes);
}

fn stored_made(parts: &Parts) {
    let (time, sent) = (Timestamp::from_millis(parts.time), headers(&parts.headers));
    let mut bytes = Vec::new();
    push_headers(&mut bytes, &sent);
    push_timestamped(&mut bytes, time, &parts.value);
    let (part, rest) = split_headers(&bytes).must("what was written can be taken apart");
    assert_eq!(read_headers(part), Some(sent));
    assert_eq!(split_timestamped(rest), Some((time, &parts.value[..])));
}

fn stored_read(bytes: &[u8]) {
    if let Some((time, value)) = split_timestamped(bytes) {
        let mut again = Vec::new();
        push_timestamped(&mut again, time, value);
        assert_eq!(again, bytes);
    }
    if let Some((part, rest)) = split_headers(bytes) {
        assert!(bytes.ends_with(rest) && part.len() + rest.len() < bytes.len());
        assert_headers_come_back(part);
    }
    assert_headers_come_back(bytes);
}

fn assert_headers_come_back(part: &[u8]) {
    let Some(read) = read_headers(part) else { return };
    let mut again = Vec::new();
    push_headers(&mut again, &read);
    let (again, rest) = split_headers(&again).must("what was written can be taken apart");
    assert!(rest.is_empty() && again.len() <= part.len(), "{again:02x?} is longer than what was read");
    assert_eq!(read_headers(again), Some(read));
}

fn metadata_made(parts: &Parts) {
    let mut sent = OffsetMetadata {
        partition_time: Timestamp::from_millis(parts.time),
        operator_times: parts.times.iter().map(|(name, time)| (name.clone(), Timestamp::from_millis(*time))).collect(),
        commit: parts.commit,
    };
    // No operator has the name that the commit's number has.
    sent.operator_times.retain(|(name, _)| name != "millstream.commit");
    assert_eq!(OffsetMetadata::decode(&sent.encode()), sent);
}

fn metadata_read(bytes: &[u8]) {
    use base64::Engine as _;
    let inner = base64::engine::general_purpose::STANDARD.encode(bytes);
    for text in [&*inner, &*String::from_utf8_lossy(bytes)] {
        let read = OffsetMetadata::decode(text);
        assert_eq!(OffsetMetadata::decode(&read.encode()), read, "read from {text:?}");
    }
}
