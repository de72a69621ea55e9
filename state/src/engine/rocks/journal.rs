//! The journal of a database: what was written to it and RocksDB has not been given yet.
//!
//! ```text
//!  journal-7:  block block block …        (block.rs)      places: where the newest row of each key is
//! ```
//! One block is one atomic write. Like RocksDB's own log it is synced only when the database is: a killed process loses nothing; a
//! machine that fails may lose the last blocks, and what they held is in the changelog. A block that is cut off or damaged ends the
//! journal: what is before it is what the database held at some moment before.
//!
//! A database has up to two: one that RocksDB is being given, and one that is written to. Each has the number after the one before.
//! The batch with the last rows of a journal sets the number of the next one in the meta family (`@journal`): earlier ones are not
//! read any more.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
#[cfg(target_os = "linux")]
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use super::block::{Block, Entries, Entry, HEADER, block_length, entry, entry_length, next_block};
use super::places::Places;
use super::rows::Key;
use crate::engine::{Change, FamilyId};
use crate::uncommitted::key_hash;

pub(super) const PREFIX: &str = "journal-";

/// What a look-up reads at once. Longer rows take a second read.
const LOOK: usize = 512;

/// A file of blocks, and where the newest row of each key is in it.
pub(super) struct Journal {
    directory: PathBuf,
    number: u64,
    /// Made with the first block.
    file: Option<File>,
    bytes: u64,
    /// It ends in half a block that could not be cut off: what came after it would not be read.
    broken: bool,
    places: HashMap<FamilyId, Places, FxBuildHasher>,
}

pub(super) fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{PREFIX}{number}"))
}

/// Opens a file, and asks that the time of each read is not noted: there are many. Linux does that for a file's owner.
fn open(options: &OpenOptions, path: &Path) -> std::io::Result<File> {
    #[cfg(target_os = "linux")]
    match options.clone().custom_flags(libc::O_NOATIME).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {}
        file => return file,
    }
    options.open(path)
}

fn damaged(at: u64) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, format!("the row at {at} is damaged"))
}

impl Journal {
    /// An empty one.
    pub(super) fn new(directory: &Path, number: u64) -> Self {
        let (directory, places) = (directory.to_owned(), HashMap::default());
        Self { directory, number, file: None, bytes: 0, broken: false, places }
    }

    /// The journal with this number, if there is one. It has to be [read](Journal::read) or its places are to be
    /// [taken over](Journal::take_over) next.
    pub(super) fn open(directory: &Path, number: u64) -> std::io::Result<Option<Self>> {
        match open(File::options().read(true).write(true), &path(directory, number)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            file => Ok(Some(Self { file: Some(file?), ..Self::new(directory, number) })),
        }
    }

    /// Gives what it holds, block by block, each with the place of its first change; answers whether all of it is whole. What is
    /// not is cut off.
    pub(super) fn read(&mut self, mut block: impl FnMut(&mut Self, u32, &mut Entries<'_>)) -> std::io::Result<bool> {
        let Some(file) = &self.file else { return Ok(true) };
        let length = file.metadata()?.len();
        let (mut reader, mut changes) = (BufReader::new(file.try_clone()?), Vec::new());
        reader.seek(SeekFrom::Start(0))?;
        while let Some(bytes) = next_block(&mut reader, length - self.bytes, &mut changes)? {
            let Ok(at) = u32::try_from(self.bytes + HEADER as u64) else { break };
            let mut entries = Entries::of(&changes);
            block(self, at, &mut entries);
            if !entries.is_over() {
                break;
            }
            self.bytes += bytes;
        }
        let whole = self.bytes == length;
        if !whole {
            tracing::warn!(file = %path(&self.directory, self.number).display(), at = self.bytes, bytes = length - self.bytes,
                "the end of the journal is cut off or damaged; what it held is taken from the changelogs");
        }
        if let Some(file) = &mut self.file {
            file.set_len(self.bytes)?;
            file.seek(SeekFrom::Start(self.bytes))?;
        }
        Ok(whole)
    }

    /// Takes over places that were kept of it when it was as long as it is now; answers whether it is.
    pub(super) fn take_over(
        &mut self,
        bytes: u64,
        places: impl IntoIterator<Item = (FamilyId, Places)>,
    ) -> std::io::Result<bool> {
        let Some(file) = &mut self.file else { return Ok(false) };
        if file.metadata()?.len() != bytes {
            return Ok(false);
        }
        file.seek(SeekFrom::Start(bytes))?;
        self.bytes = bytes;
        self.places.extend(places);
        Ok(true)
    }

    /// An empty one, the one after this.
    pub(super) fn next(&self) -> Self {
        Self::new(&self.directory, self.number + 1)
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How much memory the places take.
    pub(super) fn places_bytes(&self) -> usize {
        self.places.values().map(Places::bytes).sum()
    }

    pub(super) fn places(&self) -> impl Iterator<Item = (FamilyId, &Places)> {
        self.places.iter().map(|(id, places)| (*id, places))
    }

    /// How many keys of a family it has.
    pub(super) fn keys(&self, family: FamilyId) -> usize {
        self.places.get(&family).map_or(0, Places::len)
    }

    /// Adds a block and answers the place of its first change. If that fails the journal is as it was before.
    pub(super) fn append(&mut self, block: &mut Block) -> std::io::Result<u32> {
        if self.broken {
            return Err(std::io::Error::other("half a block of an earlier write could not be removed"));
        }
        let bytes = block.sealed();
        let at = u32::try_from(self.bytes + HEADER as u64).map_err(std::io::Error::other)?;
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let options = &mut File::options();
                options.create(true).truncate(true).read(true).write(true);
                none.insert(open(options, &path(&self.directory, self.number))?)
            }
        };
        if let Err(error) = file.write_all(bytes) {
            let back = file.set_len(self.bytes).and_then(|()| file.seek(SeekFrom::Start(self.bytes)));
            self.broken = back.is_err();
            return Err(error);
        }
        self.bytes += bytes.len() as u64;
        Ok(at)
    }

    /// Notes the place of a row that was appended. `known` is what is known of the place of the row before it of its key: that
    /// there is none (0), or where it is.
    pub(super) fn note(&mut self, key: Key<'_>, place: u32, known: Option<u32>) {
        let before = match known {
            // A row that cannot be read is left where it is: the newer one is found before it.
            None => self.locate(key, &mut Vec::new()).ok().flatten().map_or(0, |(place, _)| place),
            Some(place) => place,
        };
        let places = self.places.entry(key.family).or_default();
        match before {
            0 => places.add(key.hash, place),
            before => places.replace(key.hash, before, place),
        }
    }

    /// The place of the newest row of a key, and where its value is in `row`, or that it is a delete.
    pub(super) fn locate(
        &self,
        Key { family, hash, key }: Key<'_>,
        row: &mut Vec<u8>,
    ) -> std::io::Result<Option<(u32, Option<Range<usize>>)>> {
        let Some(places) = self.places.get(&family) else { return Ok(None) };
        let mut below = u32::MAX;
        while let Some(place) = places.newest(hash, below) {
            self.read_row(place, row)?;
            match entry(row) {
                Some((Entry::Put(of, value), length)) if of == key => {
                    return Ok(Some((place, Some(length - value.len()..length))));
                }
                Some((Entry::Delete(of), _)) if of == key => return Ok(Some((place, None))),
                Some((Entry::Put(..) | Entry::Delete(_), _)) => below = place,
                _ => return Err(damaged(u64::from(place))),
            }
        }
        Ok(None)
    }

    /// The bytes from a row on, all of the row among them.
    fn read_row(&self, place: u32, row: &mut Vec<u8>) -> std::io::Result<()> {
        let at = u64::from(place);
        let left = self.bytes.saturating_sub(at) as usize;
        self.read_at(at, left.min(LOOK), row)?;
        let length = entry_length(row).filter(|&length| length <= left).ok_or_else(|| damaged(at))?;
        if length > row.len() {
            self.read_at(at, length, row)?;
        }
        Ok(())
    }

    fn read_at(&self, at: u64, count: usize, bytes: &mut Vec<u8>) -> std::io::Result<()> {
        let file = self.file.as_ref().ok_or_else(|| damaged(at))?;
        bytes.resize(count, 0);
        file.read_exact_at(bytes, at)
    }

    /// Forgets the rows of a family.
    pub(super) fn forget(&mut self, family: FamilyId) {
        self.places.remove(&family);
    }

    /// Makes it survive the loss of the machine.
    pub(super) fn sync(&self) -> std::io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }

    /// Removes the file. If that fails it is removed when the database is opened again.
    pub(super) fn remove(self) {
        if self.file.is_some() {
            let _ = std::fs::remove_file(path(&self.directory, self.number));
        }
    }
}

/// How many bytes of a piece that begins there are headers and entries that are all there.
fn whole(piece: &[u8], at: At) -> usize {
    let (mut used, mut block_end) = (0, at.block_end - at.place);
    loop {
        let rest = &piece[used..];
        let length = if used as u64 == block_end {
            let Some(length) = block_length(rest) else { return used };
            block_end += length as u64;
            HEADER
        } else {
            match entry_length(rest) {
                Some(length) if length <= rest.len() => length,
                _ => return used,
            }
        };
        used += length;
    }
}

/// A place between two entries.
#[derive(Clone, Copy, Default)]
pub(super) struct At {
    place: u64,
    /// Where the block ends that it is in.
    block_end: u64,
    family: Option<FamilyId>,
}

/// Which part of a journal has been read on its way to RocksDB.
#[derive(Default)]
pub(super) struct Handing {
    at: At,
    piece: Vec<u8>,
}

impl Handing {
    pub(super) fn is_over(&self, journal: &Journal) -> bool {
        self.at.place >= journal.bytes
    }

    pub(super) fn at(&self) -> At {
        self.at
    }

    /// Goes back to where RocksDB has been given everything before.
    pub(super) fn back_to(&mut self, at: At) {
        self.at = at;
    }

    /// Reads about `bytes` on and answers the rows among them that are the newest of their keys. `find` knows families by name.
    pub(super) fn rows<'h>(
        &'h mut self,
        journal: &Journal,
        bytes: usize,
        find: impl Fn(&str) -> Option<FamilyId>,
    ) -> std::io::Result<Vec<Change<'h>>> {
        let Self { at, piece } = self;
        let left = (journal.bytes - at.place) as usize;
        let mut want = bytes.min(left);
        let used = loop {
            journal.read_at(at.place, want, piece)?;
            match whole(piece, *at) {
                0 if want == left => return Err(damaged(at.place)),
                0 => want = (want * 2).min(left),
                used => break used,
            }
        };
        let (mut rest, mut rows) = (&piece[..used], Vec::new());
        while !rest.is_empty() {
            if at.place == at.block_end {
                let length = block_length(rest).ok_or_else(|| damaged(at.place))?;
                *at = At { place: at.place + HEADER as u64, block_end: at.place + length as u64, family: None };
                rest = &rest[HEADER..];
                continue;
            }
            let (change, length) = entry(rest).ok_or_else(|| damaged(at.place))?;
            let newest = |family: FamilyId, key: &[u8]| {
                journal.places.get(&family).is_some_and(|places| places.has(key_hash(key), at.place as u32))
            };
            match (change, at.family) {
                (Entry::Family(name), _) => at.family = find(name),
                (Entry::Put(key, value), Some(family)) if newest(family, key) => {
                    rows.push(Change::Put(family, key, value));
                }
                (Entry::Delete(key), Some(family)) if newest(family, key) => rows.push(Change::Delete(family, key)),
                (Entry::Put(..) | Entry::Delete(_) | Entry::Dropped, _) => {}
            }
            at.place += length as u64;
            rest = &rest[length..];
        }
        Ok(rows)
    }
}
