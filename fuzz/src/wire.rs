//! As much of Kafka's wire format as the fault proxy reads: frames, requests to be refused, replies to be rewritten.

use arbitrary::Arbitrary;

#[allow(dead_code, reason = "a file of another crate")]
#[path = "../../integration-tests/src/proxy/answer.rs"]
mod answer;
#[allow(dead_code, reason = "a file of another crate")]
#[path = "../../integration-tests/src/proxy/routes.rs"]
mod routes;
#[allow(dead_code, clippy::enum_variant_names, reason = "a file of another crate")]
#[path = "../../integration-tests/src/proxy/wire.rs"]
#[allow(clippy::module_inception, reason = "its files look for each other by these names")]
mod wire;

use wire::{Api, Header, Reader, Writer, framed, read_frame};

use crate::Must as _;

/// More than an answer can grow over what it answers: each of the fields that are repeated grows by less.
const GROWTH: usize = 32;

#[derive(Arbitrary, Debug)]
struct Parts {
    compact: bool,
    short: i16,
    int: i32,
    long: i64,
    text: String,
    count: u16,
}

/// Checks all that the proxy reads.
pub fn check(bytes: &[u8]) {
    if let Some(parts) = crate::arbitrary(bytes) {
        fields(&parts);
    }
    frames(bytes);
    requests(bytes);
    replies(bytes);
}

fn fields(parts: &Parts) {
    let text: String = parts.text.chars().take(1000).collect();
    let mut writer = Writer::new(parts.compact);
    writer.i16(parts.short).i32(parts.int).i64(parts.long).string(&text).null_string();
    writer.count(usize::from(parts.count)).tags();
    let mut reader = Reader::new(&writer.bytes, parts.compact);
    assert_eq!((reader.i16(), reader.i32(), reader.i64()), (Some(parts.short), Some(parts.int), Some(parts.long)));
    assert_eq!((reader.string(), reader.string()), (Some(Some(&*text)), Some(None)));
    assert_eq!((reader.count(), reader.tags()), (Some(usize::from(parts.count)), Some(())));
    assert!(reader.rest().is_empty());
}

fn frames(bytes: &[u8]) {
    let frame = read_frame(&mut &framed(bytes)[..]).must("a frame that was written can be read");
    assert_eq!(frame.as_deref(), Some(bytes));
    // A length that is not followed by so much must not take the memory for it.
    let mut stream = bytes;
    while let Ok(Some(frame)) = read_frame(&mut stream) {
        assert!(frame.len() < bytes.len());
    }
}

fn requests(bytes: &[u8]) {
    let Some(header) = Header::read(bytes) else { return };
    assert!(header.body <= bytes.len());
    if let Some(reply) = answer::to_request(&header, bytes, 15) {
        assert!(reply.len() <= (bytes.len() + 1) * GROWTH, "{} bytes for {}", reply.len(), bytes.len());
        assert_eq!(reply[..4], header.correlation.to_be_bytes());
    }
}

fn replies(bytes: &[u8]) {
    let Some((kind, reply)) = bytes.split_first() else { return };
    let (api, version) = (Api::of(i16::from(*kind >> 4)), i16::from(*kind & 15));
    for api in api.into_iter().chain([Api::ApiVersions, Api::FindCoordinator, Api::Fetch]) {
        let elsewhere = |host: &str, port: i32| (host.to_owned(), port.wrapping_add(1));
        if let Some(seen) = routes::rewrite(api, version, reply, &elsewhere) {
            // Nothing but ports and versions has changed, where lengths are written as short as can be.
            assert!(seen.len() <= reply.len(), "{} bytes for {}", seen.len(), reply.len());
            let back = |host: &str, port: i32| (host.to_owned(), port.wrapping_sub(1));
            let back = routes::rewrite(api, version, &seen, &back);
            assert!(back.is_some_and(|back| back.len() == seen.len()));
        }
        if let Some(seen) = answer::in_reply(api, version, reply, 15) {
            assert!(seen.len() <= (reply.len() + 1) * GROWTH, "{} bytes for {}", seen.len(), reply.len());
        }
    }
}
