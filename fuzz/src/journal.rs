//! The journal of a database: blocks of changes, each whole or not there.

use arbitrary::Arbitrary;
use millstream_state::engine::{Change, FamilyId};

use crate::Must as _;

#[path = "../../state/src/engine/rocks/block.rs"]
mod block;

use block::{Block, Entries, Entry, HEADER, block_length, entry, entry_length, next_block};

#[derive(Arbitrary, Debug)]
enum Part {
    Family(u32, String),
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Drop,
    /// The next ones are in another block.
    End,
}

/// Checks what is written, what is read, and what is left of a file that is cut off.
pub fn check(bytes: &[u8]) {
    if let Some(parts) = crate::arbitrary::<(Vec<Part>, u16)>(bytes) {
        written(&parts.0, usize::from(parts.1));
    }
    changes(bytes);
    assert!(blocks(bytes).iter().map(Vec::len).sum::<usize>() <= bytes.len());
}

fn push(block: &mut Block, entry: &Entry<'_>) {
    let family = FamilyId(0);
    match entry {
        Entry::Family(name) => block.family(family, name),
        Entry::Put(key, value) => block.push(&Change::Put(family, key, value)),
        Entry::Delete(key) => block.push(&Change::Delete(family, key)),
        Entry::Dropped => block.push_drop(),
    }
}

/// What is read of any bytes is what they begin with, in the only way to write it.
fn changes(bytes: &[u8]) {
    let mut block = Block::default();
    block.begin();
    let mut entries = Entries::of(bytes);
    for (at, found) in entries.by_ref() {
        // A row is also read by itself, from its place on.
        let length = entry_length(&bytes[at..]).must("it has been read");
        assert_eq!(entry(&bytes[at..at + length]), Some((found, length)));
        assert_eq!(entry(&bytes[at..at + length - 1]), None);
        push(&mut block, &entry(&bytes[at..]).must("it has been read").0);
    }
    assert_eq!(entries.is_over(), block.len() - HEADER == bytes.len());
    let sealed = block.sealed().to_vec();
    assert!(bytes.starts_with(&sealed[8..]));
    assert_eq!(blocks(&sealed), [&sealed[8..]]);
}

fn written(parts: &[Part], cut: usize) {
    let (mut file, mut expected, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for parts in parts.split(|part| matches!(part, Part::End)) {
        let mut block = Block::default();
        block.begin();
        for part in parts {
            match part {
                Part::Family(id, name) => {
                    let short: String = name.chars().take(1000).collect();
                    block.family(FamilyId(*id), &short);
                    assert!(!block.turns_to(FamilyId(*id)));
                }
                Part::Put(key, value) => push(&mut block, &Entry::Put(key, value)),
                Part::Delete(key) => push(&mut block, &Entry::Delete(key)),
                Part::Drop => push(&mut block, &Entry::Dropped),
                Part::End => {}
            }
        }
        assert_eq!(block.entries().count(), parts.len());
        let sealed = block.sealed();
        assert_eq!(block_length(sealed), Some(sealed.len()));
        expected.push(sealed[8..].to_vec());
        file.extend_from_slice(sealed);
        ends.push(file.len());
    }
    assert_eq!(blocks(&file), expected);
    // Cut off or damaged, it gives the blocks before that place.
    let cut = cut % (file.len() + 1);
    let whole = ends.iter().filter(|end| **end <= cut).count();
    assert_eq!(blocks(&file[..cut]), expected[..whole]);
    if let Some(byte) = file.get_mut(cut) {
        *byte ^= 0x40;
        assert_eq!(blocks(&file), expected[..whole]);
    }
}

/// The blocks that a file begins with.
fn blocks(file: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut found, mut block) = (file, Vec::new(), Vec::new());
    let mut left = file.len() as u64;
    while let Some(length) = next_block(&mut rest, left, &mut block).must("bytes in memory can be read") {
        found.push(block.clone());
        left -= length;
    }
    found
}
