//! The blocks of a journal as bytes.
//!
//! ```text
//!  block:    length (4) | CRC-32 (4) | changes        little-endian
//!  changes:  1 name length (2) name                   of the family that the next ones are of
//!            4                                        the family was dropped
//!            5 key length (4) value length (4) check (4) key value          put
//!            6 key length (4) check (4) key                                 delete
//! ```
//! The check is the CRC-32 of key and value: a row is also read by itself. (Kinds 2 and 3 were rows without a check. What comes
//! after an unknown kind is not read, and the changelogs have it.)

use std::io::Read;

use crate::engine::{Change, FamilyId};

/// What a block begins with.
pub(super) const HEADER: usize = 8;

const FAMILY: u8 = 1;
const DROP: u8 = 4;
const PUT: u8 = 5;
const DELETE: u8 = 6;

/// What a block holds, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry<'a> {
    /// The next ones are of this family.
    Family(&'a str),
    Put(&'a [u8], &'a [u8]),
    Delete(&'a [u8]),
    /// The family has gone.
    Dropped,
}

/// The changes of one atomic write as bytes. [`Block::begin`] comes first.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// A header to be filled in, then the changes.
    bytes: Vec<u8>,
    family: Option<FamilyId>,
}

/// More memory than this is not kept for the next block.
const BLOCK_KEPT: usize = 1 << 20;

fn check(key: &[u8], value: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(key);
    sum.update(value);
    sum.finalize()
}

fn push_length(bytes: &mut Vec<u8>, of: &[u8]) {
    bytes.extend_from_slice(&(of.len() as u32).to_le_bytes());
}

impl Block {
    pub(super) fn begin(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(BLOCK_KEPT);
        self.bytes.extend_from_slice(&[0; HEADER]);
        self.family = None;
    }

    /// Whether the next change is of another family than the one before: [`Block::family`] must be called first.
    pub(super) fn turns_to(&self, family: FamilyId) -> bool {
        self.family != Some(family)
    }

    pub(super) fn family(&mut self, family: FamilyId, name: &str) {
        self.bytes.push(FAMILY);
        self.bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.family = Some(family);
    }

    pub(super) fn push(&mut self, change: &Change<'_>) {
        let bytes = &mut self.bytes;
        match change {
            Change::Put(_, key, value) => {
                bytes.push(PUT);
                push_length(bytes, key);
                push_length(bytes, value);
                bytes.extend_from_slice(&check(key, value).to_le_bytes());
                bytes.extend_from_slice(key);
                bytes.extend_from_slice(value);
            }
            Change::Delete(_, key) => {
                bytes.push(DELETE);
                push_length(bytes, key);
                bytes.extend_from_slice(&check(key, &[]).to_le_bytes());
                bytes.extend_from_slice(key);
            }
        }
    }

    pub(super) fn push_drop(&mut self) {
        self.bytes.push(DROP);
    }

    /// What was pushed, in order.
    pub(super) fn entries(&self) -> Entries<'_> {
        Entries { trusted: true, ..Entries::of(&self.bytes[HEADER..]) }
    }

    /// How many bytes it takes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes of the whole block.
    pub(super) fn sealed(&mut self) -> &[u8] {
        let changes = &self.bytes[HEADER..];
        let (length, sum) = (changes.len() as u32, crc32fast::hash(changes));
        self.bytes[..4].copy_from_slice(&length.to_le_bytes());
        self.bytes[4..HEADER].copy_from_slice(&sum.to_le_bytes());
        &self.bytes
    }
}

/// What bytes begin with, and how many it takes; `None` if that is not all there, or nothing that a block holds.
pub(super) fn entry(bytes: &[u8]) -> Option<(Entry<'_>, usize)> {
    parse(bytes, false)
}

/// As [`entry`]; checks are not looked at if the bytes are `trusted`.
fn parse(bytes: &[u8], trusted: bool) -> Option<(Entry<'_>, usize)> {
    let (kind, mut rest) = bytes.split_first()?;
    let mut number = || {
        let (number, after) = rest.split_first_chunk::<4>()?;
        rest = after;
        Some(u32::from_le_bytes(*number))
    };
    let entry = match *kind {
        FAMILY => {
            let (length, after) = rest.split_first_chunk::<2>()?;
            let (name, after) = after.split_at_checked(u16::from_le_bytes(*length) as usize)?;
            rest = after;
            Entry::Family(std::str::from_utf8(name).ok()?)
        }
        PUT => {
            let (key, value, sum) = (number()?, number()?, number()?);
            let (key, after) = rest.split_at_checked(key as usize)?;
            let (value, after) = after.split_at_checked(value as usize)?;
            rest = after;
            (trusted || check(key, value) == sum).then_some(Entry::Put(key, value))?
        }
        DELETE => {
            let (key, sum) = (number()?, number()?);
            let (key, after) = rest.split_at_checked(key as usize)?;
            rest = after;
            (trusted || check(key, &[]) == sum).then_some(Entry::Delete(key))?
        }
        DROP => Entry::Dropped,
        _ => return None,
    };
    Some((entry, bytes.len() - rest.len()))
}

/// How many bytes an entry takes that begins so; `None` if that cannot be told, or it is none.
pub(super) fn entry_length(bytes: &[u8]) -> Option<usize> {
    let (kind, rest) = bytes.split_first()?;
    let number = |at: usize| Some(u32::from_le_bytes(*rest.get(at..)?.first_chunk::<4>()?) as usize);
    match *kind {
        FAMILY => Some(3 + usize::from(u16::from_le_bytes(*rest.first_chunk::<2>()?))),
        DROP => Some(1),
        PUT => Some(13 + number(0)? + number(4)?),
        DELETE => Some(9 + number(0)?),
        _ => None,
    }
}

/// How many bytes a block takes that begins so; `None` if that cannot be told.
pub(super) fn block_length(bytes: &[u8]) -> Option<usize> {
    Some(HEADER + u32::from_le_bytes(*bytes.get(..HEADER)?.first_chunk::<4>()?) as usize)
}

/// The changes of a block, each with its place among them.
#[derive(Debug)]
pub(super) struct Entries<'a> {
    bytes: &'a [u8],
    at: usize,
    /// They were made in this process.
    trusted: bool,
}

impl<'a> Entries<'a> {
    pub(super) fn of(changes: &'a [u8]) -> Self {
        Self { bytes: changes, at: 0, trusted: false }
    }

    /// Whether nothing comes after what was given.
    pub(super) fn is_over(&self) -> bool {
        self.at == self.bytes.len()
    }
}

/// Ends at what is no change.
impl<'a> Iterator for Entries<'a> {
    type Item = (usize, Entry<'a>);

    fn next(&mut self) -> Option<(usize, Entry<'a>)> {
        let at = self.at;
        let (entry, length) = parse(&self.bytes[at..], self.trusted)?;
        self.at += length;
        Some((at, entry))
    }
}

/// Reads the next block's changes into `block` and answers how long the whole block is; `None` if what is left, `left` bytes,
/// does not begin with a whole one.
pub(super) fn next_block(file: &mut impl Read, left: u64, block: &mut Vec<u8>) -> std::io::Result<Option<u64>> {
    let mut header = [0; HEADER];
    if left < HEADER as u64 {
        return Ok(None);
    }
    file.read_exact(&mut header)?;
    let [a, b, c, d, sum @ ..] = header;
    let length = u32::from_le_bytes([a, b, c, d]);
    if u64::from(length) > left - HEADER as u64 {
        return Ok(None);
    }
    block.resize(length as usize, 0);
    file.read_exact(block)?;
    Ok((crc32fast::hash(block) == u32::from_le_bytes(sum)).then_some(HEADER as u64 + u64::from(length)))
}
