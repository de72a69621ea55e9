//! The places of a journal in a file, so that a database that was closed in order opens without reading its journal.
//!
//! ```text
//!  places-7:  CRC-32 of what follows (4) | length of the journal (8) | families          little-endian
//!  family:    name length (2) name | keys (4) | hash and place of each (8)
//! ```
//! It counts only if the journal is as long as it was: any write makes it worthless.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::journal::Journal;
use super::places::Places;
use crate::engine::FamilyId;

pub(super) const PREFIX: &str = "places-";

/// What was saved of a journal.
#[derive(Default)]
pub(super) struct Saved {
    /// How long the journal was.
    pub(super) bytes: u64,
    /// Families by name.
    pub(super) families: Vec<(String, Places)>,
}

fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{PREFIX}{number}"))
}

/// Saves the places of a journal, which has been synced.
pub(super) fn save<'n>(
    directory: &Path,
    journal: &Journal,
    name: impl Fn(FamilyId) -> Option<&'n str>,
) -> std::io::Result<()> {
    let mut bytes = journal.bytes().to_le_bytes().to_vec();
    for (id, places) in journal.places() {
        let Some(name) = name(id) else { continue };
        bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&(places.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&places.to_bytes());
    }
    let mut file = File::create(path(directory, journal.number()))?;
    file.write_all(&crc32fast::hash(&bytes).to_le_bytes())?;
    file.write_all(&bytes)?;
    file.sync_data()
}

/// Takes what was saved of the journal with this number: the file goes. `None` if there is none, or it is not whole.
pub(super) fn take(directory: &Path, number: u64) -> std::io::Result<Option<Saved>> {
    let path = path(directory, number);
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    std::fs::remove_file(path)?;
    Ok(decode(&bytes))
}

fn decode(bytes: &[u8]) -> Option<Saved> {
    let (sum, rest) = bytes.split_first_chunk::<4>()?;
    if crc32fast::hash(rest) != u32::from_le_bytes(*sum) {
        return None;
    }
    let (length, mut rest) = rest.split_first_chunk::<8>()?;
    let mut saved = Saved { bytes: u64::from_le_bytes(*length), families: Vec::new() };
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (name, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        let (keys, after) = after.split_first_chunk::<4>()?;
        let (places, after) = after.split_at_checked((u32::from_le_bytes(*keys) as usize).checked_mul(8)?)?;
        saved.families.push((std::str::from_utf8(name).ok()?.to_owned(), Places::of_bytes(places)));
        rest = after;
    }
    Some(saved)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever a file holds, its checksum right or wrong.
        #[test]
        fn any_bytes_are_places_or_none(bytes in proptest::collection::vec(prop_oneof![Just(0), Just(1), any::<u8>()], 0..80)) {
            let sum = crc32fast::hash(&bytes).to_le_bytes();
            for saved in [decode(&bytes), decode(&[&sum[..], &bytes].concat())].into_iter().flatten() {
                let keys: usize = saved.families.iter().map(|(_, places)| places.len()).sum();
                prop_assert!(keys * 8 <= bytes.len());
            }
        }
    }
}
