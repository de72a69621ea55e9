//! The journal of a database: what was written to it and RocksDB has not been given yet.
//!
//! ```text
//!  journal-7:  block block block …        (block.rs)
//! ```
//! One block is one atomic write. Like RocksDB's own log it is never synced: a killed process loses nothing; a machine that
//! fails may lose the last blocks, and what they held is in the changelog. A block that is cut off or damaged ends the journal:
//! what is before it is what the database held at some moment before.
//!
//! When RocksDB takes over what the journal holds, the same batch sets the number of the next journal (`@journal` in the meta
//! family): a journal is read only if it is the one that RocksDB expects.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::block::{Block, Entries, next_block};

const PREFIX: &str = "journal-";

/// The file that blocks are added to.
#[derive(Debug)]
pub(super) struct Journal {
    directory: PathBuf,
    number: u64,
    /// Made with the first block.
    file: Option<File>,
    bytes: u64,
    /// It ends in half a block that could not be cut off: what came after it would not be read.
    broken: bool,
}

fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{PREFIX}{number}"))
}

impl Journal {
    /// Opens the journal with this number and gives what it holds, block by block; others are of no use and removed.
    pub(super) fn open(directory: &Path, number: u64, mut replay: impl FnMut(Entries<'_>)) -> std::io::Result<Self> {
        let own = path(directory, number);
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(PREFIX) && entry.path() != own {
                std::fs::remove_file(entry.path())?;
            }
        }
        let mut journal = Self { directory: directory.to_owned(), number, file: None, bytes: 0, broken: false };
        let mut file = match File::options().read(true).write(true).open(&own) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(journal),
            file => file?,
        };
        let length = file.metadata()?.len();
        let (mut reader, mut block) = (BufReader::new(&file), Vec::new());
        while let Some(bytes) = next_block(&mut reader, length - journal.bytes, &mut block)? {
            replay(Entries::of(&block));
            journal.bytes += bytes;
        }
        if journal.bytes < length {
            tracing::warn!(file = %own.display(), at = journal.bytes, bytes = length - journal.bytes,
                "the end of the journal is cut off or damaged; what it held is taken from the changelogs");
            file.set_len(journal.bytes)?;
        }
        file.seek(SeekFrom::Start(journal.bytes))?;
        journal.file = Some(file);
        Ok(journal)
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a block. If that fails the journal is as it was before.
    pub(super) fn append(&mut self, block: &mut Block) -> std::io::Result<()> {
        if self.broken {
            return Err(std::io::Error::other("half a block of an earlier write could not be removed"));
        }
        let bytes = block.sealed();
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let options = &mut File::options();
                options.create(true).truncate(true).write(true);
                none.insert(options.open(path(&self.directory, self.number))?)
            }
        };
        if let Err(error) = file.write_all(bytes) {
            let back = file.set_len(self.bytes).and_then(|()| file.seek(SeekFrom::Start(self.bytes)));
            self.broken = back.is_err();
            return Err(error);
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Begins the next journal: RocksDB has what this one holds, and knows the next one's number.
    pub(super) fn next(&mut self) {
        self.number += 1;
        (self.bytes, self.broken) = (0, false);
        if self.file.take().is_some() {
            // It is removed when the database is opened again, if not now.
            let _ = std::fs::remove_file(path(&self.directory, self.number - 1));
        }
    }
}
