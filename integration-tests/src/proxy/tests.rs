//! Replies and requests byte by byte.

use super::wire::{Header, Reader, Writer};
use super::*;

fn translated(host: &str, port: i32) -> (String, i32) {
    (format!("{host}.proxy"), port + 1)
}

#[test]
fn brokers_in_old_and_compact_metadata_get_the_proxys_address_and_the_rest_stays() {
    for version in [1, 4, 9, 12] {
        let build = |host: &str, port: i32| {
            let mut reply = Writer::new(version >= 9);
            reply.i32(77).tags();
            if version >= 3 {
                reply.i32(0);
            }
            reply.count(2);
            for node in 1..=2 {
                reply.i32(node).string(host).i32(port + node).null_string().tags();
            }
            reply.raw(b"whatever follows");
            reply.bytes
        };
        let rewritten = routes::rewrite(Api::Metadata, version, &build("kafka", 9092), &translated).unwrap();
        assert_eq!(rewritten, build("kafka.proxy", 9093), "version {version}");
    }
}

#[test]
fn a_coordinators_address_is_rewritten_unless_the_reply_is_an_error() {
    let build = |error: i16, host: &str, port: i32| {
        let mut reply = Writer::new(false);
        reply.i32(5).i32(0).i16(error).null_string().i32(1).string(host).i32(port);
        reply.bytes
    };
    let rewrite = |reply: &[u8]| routes::rewrite(Api::FindCoordinator, 2, reply, &translated).unwrap();
    assert_eq!(rewrite(&build(0, "a", 1)), build(0, "a.proxy", 2));
    assert_eq!(rewrite(&build(15, "", -1)), build(15, "", -1));
}

#[test]
fn versions_that_name_brokers_in_tags_are_not_offered() {
    let build = |last: i16| {
        let mut reply = Writer::new(false);
        reply.i32(5);
        reply.compact = true;
        reply.i16(0).count(2).i16(0).i16(3).i16(last).tags().i16(32).i16(1).i16(4).tags().i32(0).tags();
        reply.bytes
    };
    let rewritten = routes::rewrite(Api::ApiVersions, 3, &build(13), &translated).unwrap();
    assert_eq!(rewritten, build(9));
}

fn request(api: Api, version: i16, body: &Writer) -> (Header, Vec<u8>) {
    let mut frame = Writer::new(false);
    frame.i16(api.key()).i16(version).i32(42).string("client");
    frame.compact = body.compact;
    frame.tags().raw(&body.bytes);
    (Header::read(&frame.bytes).unwrap(), frame.bytes)
}

#[test]
fn a_header_is_read_with_and_without_tags() {
    for (version, compact) in [(2, false), (9, true)] {
        let mut body = Writer::new(compact);
        body.i32(7);
        let (header, frame) = request(Api::Produce, version, &body);
        assert_eq!((header.api, header.version, header.correlation), (Some(Api::Produce), version, 42));
        assert_eq!(&frame[header.body..], &body.bytes);
    }
}

#[test]
fn an_error_for_a_produce_request_names_each_of_its_partitions() {
    for version in [7, 9] {
        let mut body = Writer::new(version >= 9);
        body.null_string().i16(-1).i32(1000).count(1).string("t").count(2);
        for partition in 0..2 {
            body.i32(partition).count(3).raw(b"abc").tags();
        }
        body.tags().tags();
        let (header, frame) = request(Api::Produce, version, &body);
        let reply = answer::to_request(&header, &frame, 45).unwrap();
        let mut reader = Reader::new(&reply, version >= 9);
        assert_eq!(reader.i32(), Some(42));
        reader.tags().unwrap();
        assert_eq!((reader.count(), reader.string(), reader.count()), (Some(1), Some(Some("t")), Some(2)));
        assert_eq!((reader.i32(), reader.i16()), (Some(0), Some(45)));
    }
}

#[test]
fn a_denied_fetch_has_its_offsets_and_none_of_its_records() {
    for version in [4, 11, 15] {
        let compact = version >= 12;
        let build = |code: i16, records: &[u8]| {
            let mut reply = Writer::new(compact);
            reply.i32(9).tags().i32(0);
            if version >= 7 {
                reply.i16(0).i32(0);
            }
            reply.count(1);
            if version >= 13 {
                reply.raw(&[3; 16])
            } else {
                reply.string("t")
            };
            reply.count(1).i32(0).i16(code).i64(10).i64(8);
            if version >= 5 {
                reply.i64(0);
            }
            reply.count(0);
            if version >= 11 {
                reply.i32(-1);
            }
            reply.count(records.len()).raw(records).tags().tags().tags();
            reply.bytes
        };
        let denied = answer::in_reply(Api::Fetch, version, &build(0, b"records"), 29).unwrap();
        assert_eq!(denied, build(29, b""), "version {version}");
    }
}

#[test]
fn a_rule_strikes_the_nth_request_of_its_kind_and_is_then_spent() {
    let rules = Rules::new(1);
    rules.arm(Rule { api: Api::EndTxn, when: When::Nth(2), fault: Fault::LoseReply });
    let (end, _) = request(Api::EndTxn, 1, &Writer::new(false));
    let (fetch, _) = request(Api::Fetch, 4, &Writer::new(false));
    let decided: Vec<_> = [&end, &fetch, &end, &end].map(|header| rules.decide(header)).into();
    assert_eq!(decided, [None, None, Some(Fault::LoseReply), None]);
    assert_eq!((rules.total(), rules.seen(Api::EndTxn)), (1, 3));
}
