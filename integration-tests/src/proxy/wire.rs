//! As much of Kafka's wire format as the proxy needs: request headers, and fields in their old and their compact form.

use std::io::{self, Read};

/// A frame longer than this is not Kafka's.
const LONGEST_FRAME: usize = 128 << 20;

/// Request kinds that faults can be chosen for; others pass untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "named as in Kafka's protocol")]
pub enum Api {
    Produce,
    Fetch,
    ListOffsets,
    Metadata,
    OffsetCommit,
    OffsetFetch,
    FindCoordinator,
    JoinGroup,
    Heartbeat,
    LeaveGroup,
    SyncGroup,
    ApiVersions,
    InitProducerId,
    AddPartitionsToTxn,
    AddOffsetsToTxn,
    EndTxn,
    TxnOffsetCommit,
}

impl Api {
    const ALL: [(Self, i16); 17] = [
        (Self::Produce, 0),
        (Self::Fetch, 1),
        (Self::ListOffsets, 2),
        (Self::Metadata, 3),
        (Self::OffsetCommit, 8),
        (Self::OffsetFetch, 9),
        (Self::FindCoordinator, 10),
        (Self::JoinGroup, 11),
        (Self::Heartbeat, 12),
        (Self::LeaveGroup, 13),
        (Self::SyncGroup, 14),
        (Self::ApiVersions, 18),
        (Self::InitProducerId, 22),
        (Self::AddPartitionsToTxn, 24),
        (Self::AddOffsetsToTxn, 25),
        (Self::EndTxn, 26),
        (Self::TxnOffsetCommit, 28),
    ];

    pub(super) fn of(key: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, number)| *number == key).map(|(api, _)| api)
    }

    pub(super) fn key(self) -> i16 {
        Self::ALL.into_iter().find(|(api, _)| *api == self).map_or(-1, |(_, number)| number)
    }

    /// The first version with compact fields and tags; also that of the longer headers.
    fn first_compact(self) -> i16 {
        match self {
            Self::Produce | Self::Metadata => 9,
            Self::Fetch => 12,
            Self::ListOffsets | Self::OffsetFetch | Self::JoinGroup => 6,
            Self::OffsetCommit => 8,
            Self::FindCoordinator | Self::ApiVersions | Self::AddPartitionsToTxn => 3,
            Self::AddOffsetsToTxn | Self::EndTxn | Self::TxnOffsetCommit => 3,
            Self::Heartbeat | Self::LeaveGroup | Self::SyncGroup => 4,
            Self::InitProducerId => 2,
        }
    }

    pub(super) fn is_compact(self, version: i16) -> bool {
        version >= self.first_compact()
    }

    /// Whether tags follow the correlation id of a reply. Replies that tell the versions never have them.
    pub(super) fn has_reply_tags(self, version: i16) -> bool {
        self != Self::ApiVersions && self.is_compact(version)
    }
}

/// A request's header, and where its body begins.
#[derive(Clone, Debug)]
pub(super) struct Header {
    /// `None` for kinds that this proxy does not know.
    pub(super) api: Option<Api>,
    pub(super) version: i16,
    pub(super) correlation: i32,
    pub(super) body: usize,
}

impl Header {
    pub(super) fn read(frame: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(frame, false);
        let api = Api::of(reader.i16()?);
        let (version, correlation) = (reader.i16()?, reader.i32()?);
        // The client's id, in the old form in all versions.
        reader.string()?;
        let mut body = reader;
        body.compact = api.is_some_and(|api| api.is_compact(version));
        body.tags()?;
        Some(Self { api, version, correlation, body: body.at })
    }
}

/// Reads fields; `None` where the bytes end too early.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) compact: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], compact: bool) -> Self {
        Self { bytes, at: 0, compact }
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    fn varint(&mut self) -> Option<usize> {
        let mut value = 0_usize;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A length of a compact field is one more than it says; `None` inside is null.
    fn compact_length(&mut self) -> Option<Option<usize>> {
        Some(self.varint()?.checked_sub(1))
    }

    /// A string or null.
    pub(super) fn string(&mut self) -> Option<Option<&'a str>> {
        let length = if self.compact { self.compact_length()? } else { usize::try_from(self.i16()?).ok() };
        let Some(length) = length else { return Some(None) };
        std::str::from_utf8(self.take(length)?).ok().map(Some)
    }

    /// Bytes, records or null.
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.count()?;
        self.take(length)
    }

    /// The number of elements in an array; 0 for null.
    pub(super) fn count(&mut self) -> Option<usize> {
        let count = if self.compact { self.compact_length()? } else { usize::try_from(self.i32()?).ok() };
        Some(count.unwrap_or(0))
    }

    /// Skips tagged fields, where the form has them.
    pub(super) fn tags(&mut self) -> Option<()> {
        if self.compact {
            for _ in 0..self.varint()? {
                self.varint()?;
                let length = self.varint()?;
                self.take(length)?;
            }
        }
        Some(())
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at.min(self.bytes.len())..]
    }
}

/// Writes fields.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
    pub(super) compact: bool,
}

impl Writer {
    pub(super) fn new(compact: bool) -> Self {
        Self { bytes: Vec::new(), compact }
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub(super) fn i16(&mut self, value: i16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(super) fn i32(&mut self, value: i32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(super) fn i64(&mut self, value: i64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    fn varint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    pub(super) fn string(&mut self, text: &str) -> &mut Self {
        if self.compact {
            self.varint(text.len() + 1);
        } else {
            self.i16(i16::try_from(text.len()).unwrap_or(i16::MAX));
        }
        self.raw(text.as_bytes())
    }

    pub(super) fn null_string(&mut self) -> &mut Self {
        if self.compact { self.raw(&[0]) } else { self.i16(-1) }
    }

    pub(super) fn count(&mut self, count: usize) -> &mut Self {
        if self.compact {
            self.varint(count + 1);
            self
        } else {
            self.i32(i32::try_from(count).unwrap_or(i32::MAX))
        }
    }

    /// No tagged fields, where the form has room for them.
    pub(super) fn tags(&mut self) -> &mut Self {
        if self.compact { self.raw(&[0]) } else { self }
    }
}

/// Reads one frame without its length; `None` at the end of the stream.
pub(super) fn read_frame(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > LONGEST_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame)?;
    Ok(Some(frame))
}

/// The frame with its length in front.
pub(super) fn framed(frame: &[u8]) -> Vec<u8> {
    let length = i32::try_from(frame.len()).unwrap_or(i32::MAX);
    [&length.to_be_bytes(), frame].concat()
}
