//! The blocks of a journal as bytes.
//!
//! ```text
//!  block:    length (4) | CRC-32 (4) | changes        little-endian
//!  changes:  1 name length (2) name                   of the family that the next ones are of
//!            2 key length (4) value length (4) key value          put
//!            3 key length (4) key                                 delete
//!            4                                                    the family was dropped
//! ```

use std::io::Read;

use crate::engine::{Change, FamilyId};

const HEADER: usize = 8;

const FAMILY: u8 = 1;
const PUT: u8 = 2;
const DELETE: u8 = 3;
const DROP: u8 = 4;

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
                bytes.extend_from_slice(key);
                bytes.extend_from_slice(value);
            }
            Change::Delete(_, key) => {
                bytes.push(DELETE);
                push_length(bytes, key);
                bytes.extend_from_slice(key);
            }
        }
    }

    pub(super) fn push_drop(&mut self) {
        self.bytes.push(DROP);
    }

    /// What was pushed, in order.
    pub(super) fn entries(&self) -> Entries<'_> {
        Entries::of(&self.bytes[HEADER..])
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

/// The changes of a block, or of several.
#[derive(Debug)]
pub(super) struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    pub(super) fn of(changes: &'a [u8]) -> Self {
        Self { rest: changes }
    }

    fn length(&mut self) -> Option<usize> {
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        Some(u32::from_le_bytes(*length) as usize)
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }
}

/// Ends at what is no change.
impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let (kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        match *kind {
            FAMILY => {
                let (length, rest) = self.rest.split_first_chunk::<2>()?;
                self.rest = rest;
                let name = self.bytes(u16::from_le_bytes(*length) as usize)?;
                std::str::from_utf8(name).ok().map(Entry::Family)
            }
            PUT => {
                let (key, value) = (self.length()?, self.length()?);
                Some(Entry::Put(self.bytes(key)?, self.bytes(value)?))
            }
            DELETE => {
                let key = self.length()?;
                self.bytes(key).map(Entry::Delete)
            }
            DROP => Some(Entry::Dropped),
            _ => None,
        }
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
