//! Replies that no broker gave: an error code in the form that each kind of request wants it.

use super::wire::{Api, Header, Reader, Writer};

/// The reply with this error code to a request; `None` for kinds that cannot be answered so.
pub(super) fn to_request(header: &Header, request: &[u8], code: i16) -> Option<Vec<u8>> {
    let (api, version) = (header.api?, header.version);
    let compact = api.is_compact(version);
    let body = Reader::new(request.get(header.body..)?, compact);
    let mut reply = Writer::new(api.has_reply_tags(version));
    reply.i32(header.correlation).tags();
    reply.compact = compact;
    match api {
        Api::Produce => produce(version, body, &mut reply, code)?,
        Api::EndTxn | Api::AddOffsetsToTxn => drop(reply.i32(0).i16(code)),
        Api::AddPartitionsToTxn => add_partitions(body, &mut reply, code)?,
        Api::TxnOffsetCommit => txn_offsets(version, body, &mut reply, code)?,
        Api::InitProducerId => drop(reply.i32(0).i16(code).i64(-1).i16(-1)),
        Api::FindCoordinator => {
            if version >= 1 {
                reply.i32(0);
            }
            reply.i16(code);
            if version >= 1 {
                reply.null_string();
            }
            reply.i32(-1).string("").i32(-1);
        }
        Api::Heartbeat | Api::LeaveGroup => drop(throttled(version >= 1, &mut reply).i16(code)),
        Api::SyncGroup => drop(throttled(version >= 1, &mut reply).i16(code).count(0)),
        Api::JoinGroup => {
            throttled(version >= 2, &mut reply).i16(code).i32(-1);
            // protocol, leader, this member, members
            reply.string("").string("").string("").count(0);
        }
        Api::OffsetFetch => drop(throttled(version >= 3, &mut reply).count(0).i16(code)),
        Api::Fetch | Api::ListOffsets | Api::Metadata | Api::OffsetCommit | Api::ApiVersions => return None,
    }
    reply.tags();
    Some(reply.bytes)
}

fn throttled(since: bool, reply: &mut Writer) -> &mut Writer {
    if since { reply.i32(0) } else { reply }
}

fn produce(version: i16, mut body: Reader<'_>, reply: &mut Writer, code: i16) -> Option<()> {
    body.string()?;
    body.i16()?;
    body.i32()?;
    let topics = body.count()?;
    reply.count(topics);
    for _ in 0..topics {
        reply.string(body.string()??);
        let partitions = body.count()?;
        reply.count(partitions);
        for _ in 0..partitions {
            reply.i32(body.i32()?);
            body.bytes()?;
            body.tags()?;
            // base offset, time of append
            reply.i16(code).i64(-1).i64(-1);
            if version >= 5 {
                reply.i64(-1);
            }
            if version >= 8 {
                reply.count(0).null_string();
            }
            reply.tags();
        }
        body.tags()?;
        reply.tags();
    }
    reply.i32(0);
    Some(())
}

fn add_partitions(mut body: Reader<'_>, reply: &mut Writer, code: i16) -> Option<()> {
    body.string()?;
    body.i64()?;
    body.i16()?;
    reply.i32(0);
    let topics = body.count()?;
    reply.count(topics);
    for _ in 0..topics {
        reply.string(body.string()??);
        let partitions = body.count()?;
        reply.count(partitions);
        for _ in 0..partitions {
            reply.i32(body.i32()?).i16(code).tags();
        }
        body.tags()?;
        reply.tags();
    }
    Some(())
}

fn txn_offsets(version: i16, mut body: Reader<'_>, reply: &mut Writer, code: i16) -> Option<()> {
    body.string()?;
    body.string()?;
    body.i64()?;
    body.i16()?;
    if version >= 3 {
        body.i32()?;
        body.string()?;
        body.string()?;
    }
    reply.i32(0);
    let topics = body.count()?;
    reply.count(topics);
    for _ in 0..topics {
        reply.string(body.string()??);
        let partitions = body.count()?;
        reply.count(partitions);
        for _ in 0..partitions {
            reply.i32(body.i32()?).i16(code).tags();
            body.i64()?;
            if version >= 2 {
                body.i32()?;
            }
            body.string()?;
            body.tags()?;
        }
        body.tags()?;
        reply.tags();
    }
    Some(())
}

/// A broker's reply with an error code in it: to a fetch instead of each partition's records, to a question for metadata
/// instead of each topic's partitions. `None` for other kinds.
pub(super) fn in_reply(api: Api, version: i16, reply: &[u8], code: i16) -> Option<Vec<u8>> {
    match api {
        Api::Fetch => fetch(version, reply, code),
        Api::Metadata => metadata(version, reply, code),
        _ => None,
    }
}

fn metadata(version: i16, reply: &[u8], code: i16) -> Option<Vec<u8>> {
    let compact = Api::Metadata.is_compact(version);
    let mut reader = Reader::new(reply, compact);
    reader.i32()?;
    reader.tags()?;
    if version >= 3 {
        reader.i32()?;
    }
    for _ in 0..reader.count()? {
        reader.i32()?;
        reader.string()?;
        reader.i32()?;
        if version >= 1 {
            reader.string()?;
        }
        reader.tags()?;
    }
    if version >= 2 {
        reader.string()?;
    }
    if version >= 1 {
        reader.i32()?;
    }
    let mut writer = Writer::new(compact);
    writer.raw(reply.get(..reader.at)?);
    let topics = reader.count()?;
    writer.count(topics);
    for _ in 0..topics {
        reader.i16()?;
        writer.i16(code);
        let begin = reader.at;
        reader.string()?;
        if version >= 10 {
            reader.take(16)?;
        }
        if version >= 1 {
            reader.take(1)?;
        }
        writer.raw(reply.get(begin..reader.at)?).count(0);
        skip_partitions(version, &mut reader)?;
        if version >= 8 {
            writer.i32(reader.i32()?);
        }
        reader.tags()?;
        writer.tags();
    }
    writer.raw(reader.rest());
    Some(writer.bytes)
}

fn skip_partitions(version: i16, reader: &mut Reader<'_>) -> Option<()> {
    for _ in 0..reader.count()? {
        reader.i16()?;
        // number, leader
        reader.i64()?;
        if version >= 7 {
            reader.i32()?;
        }
        // replicas, those in sync, those offline
        for _ in 0..if version >= 5 { 3 } else { 2 } {
            for _ in 0..reader.count()? {
                reader.i32()?;
            }
        }
        reader.tags()?;
    }
    Some(())
}

fn fetch(version: i16, reply: &[u8], code: i16) -> Option<Vec<u8>> {
    let compact = Api::Fetch.is_compact(version);
    let mut reader = Reader::new(reply, compact);
    let mut writer = Writer::new(compact);
    writer.i32(reader.i32()?).tags();
    reader.tags()?;
    writer.i32(reader.i32()?);
    if version >= 7 {
        writer.i16(reader.i16()?).i32(reader.i32()?);
    }
    let topics = reader.count()?;
    writer.count(topics);
    for _ in 0..topics {
        if version >= 13 {
            writer.raw(reader.take(16)?);
        } else {
            writer.string(reader.string()??);
        }
        let partitions = reader.count()?;
        writer.count(partitions);
        for _ in 0..partitions {
            denied_partition(version, &mut reader, &mut writer, code)?;
        }
        reader.tags()?;
        writer.tags();
    }
    writer.tags();
    Some(writer.bytes)
}

fn denied_partition(version: i16, reader: &mut Reader<'_>, writer: &mut Writer, code: i16) -> Option<()> {
    writer.i32(reader.i32()?);
    reader.i16()?;
    writer.i16(code);
    // high watermark, last stable offset
    writer.i64(reader.i64()?).i64(reader.i64()?);
    if version >= 5 {
        writer.i64(reader.i64()?);
    }
    // Transactions that were aborted among the records that are left out.
    for _ in 0..reader.count()? {
        reader.i64()?;
        reader.i64()?;
        reader.tags()?;
    }
    writer.count(0);
    if version >= 11 {
        writer.i32(reader.i32()?);
    }
    reader.bytes()?;
    writer.count(0);
    reader.tags()?;
    writer.tags();
    Some(())
}
