//! Keeps clients on the proxy: addresses of brokers in replies become addresses of the proxy.
//!
//! Newer replies to Produce and Fetch name brokers in tagged fields as well; clients are told that the broker does not
//! speak those versions.

use super::wire::{Api, Reader, Writer};

/// The last versions that this proxy understands.
const LAST_VERSIONS: [(Api, i16); 8] = [
    (Api::Produce, 9),
    (Api::Fetch, 15),
    (Api::Metadata, 12),
    (Api::FindCoordinator, 3),
    (Api::OffsetFetch, 7),
    (Api::InitProducerId, 4),
    (Api::EndTxn, 3),
    (Api::TxnOffsetCommit, 3),
];

/// The proxy's host and port for a broker's.
pub(super) type Translate<'a> = &'a dyn Fn(&str, i32) -> (String, i32);

/// The reply (correlation id and all) as the client is to see it; `None` if it may stay as it is, or is not understood.
pub(super) fn rewrite(api: Api, version: i16, reply: &[u8], translate: Translate<'_>) -> Option<Vec<u8>> {
    let compact = api.is_compact(version);
    let mut reader = Reader::new(reply, api.has_reply_tags(version));
    reader.i32()?;
    reader.tags()?;
    reader.compact = compact;
    let mut writer = Writer::new(compact);
    writer.raw(&reply[..reader.at]);
    match api {
        Api::Metadata => metadata(version, &mut reader, &mut writer, translate)?,
        Api::FindCoordinator => coordinator(version, &mut reader, &mut writer, translate)?,
        Api::ApiVersions => return versions(version, reply, reader),
        _ => return None,
    }
    writer.raw(reader.rest());
    Some(writer.bytes)
}

fn metadata(version: i16, reader: &mut Reader<'_>, writer: &mut Writer, translate: Translate<'_>) -> Option<()> {
    if version >= 3 {
        writer.i32(reader.i32()?);
    }
    let brokers = reader.count()?;
    writer.count(brokers);
    for _ in 0..brokers {
        writer.i32(reader.i32()?);
        let host = reader.string()??;
        let (host, port) = translate(host, reader.i32()?);
        writer.string(&host).i32(port);
        if version >= 1 {
            match reader.string()? {
                Some(rack) => writer.string(rack),
                None => writer.null_string(),
            };
        }
        reader.tags()?;
        writer.tags();
    }
    Some(())
}

fn coordinator(version: i16, reader: &mut Reader<'_>, writer: &mut Writer, translate: Translate<'_>) -> Option<()> {
    if version >= 1 {
        writer.i32(reader.i32()?);
    }
    let error = reader.i16()?;
    writer.i16(error);
    if version >= 1 {
        match reader.string()? {
            Some(message) => writer.string(message),
            None => writer.null_string(),
        };
    }
    writer.i32(reader.i32()?);
    let host = reader.string()??;
    let port = reader.i32()?;
    let (host, port) = if error == 0 { translate(host, port) } else { (host.to_owned(), port) };
    writer.string(&host).i32(port);
    Some(())
}

/// Lowers the last versions in place.
fn versions(version: i16, reply: &[u8], mut reader: Reader<'_>) -> Option<Vec<u8>> {
    let mut lowered = reply.to_vec();
    // An error says that this version of the question itself is not spoken; its reply has the oldest form.
    if reader.i16()? != 0 || version < 0 {
        return None;
    }
    for _ in 0..reader.count()? {
        let key = reader.i16()?;
        reader.i16()?;
        let at = reader.at;
        let last = reader.i16()?;
        reader.tags()?;
        if let Some((_, ours)) = LAST_VERSIONS.iter().find(|(api, _)| api.key() == key)
            && last > *ours
        {
            lowered[at..at + 2].copy_from_slice(&ours.to_be_bytes());
        }
    }
    Some(lowered)
}
