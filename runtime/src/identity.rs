//! An instance's identity: kept in its state directory under a lock of the operating system.
//!
//! ```text
//!  <base>/<application>/slot-0/ .lock      held while the process lives
//!                               identity   JSON: name, workers
//!                               tasks/0_3/ one database per task
//! ```
//! The name makes the static member and the transactional ids. A process that died and comes back has its tasks in
//! milliseconds; one that lost its disk is somebody new.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::StateDir;

/// The state directory could not be taken.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Another process has it.
    #[error(
        "state directory {} is locked by another process; stop that one, or give each process a directory of its own",
        path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// It cannot be read or written.
    #[error("state directory {}: {action} failed: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The identity file is not what Millstream writes.
    #[error("{} does not hold an identity ({reason}); remove the directory to start as a new instance", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    /// The highest number of workers ever used: so many transactional ids may have been left open.
    workers: usize,
}

/// Who this instance is. Holds the lock on its directory until dropped.
#[derive(Debug)]
pub struct Identity {
    /// Its name: part of the static member's id and of the transactional ids.
    pub name: String,
    /// The highest number of workers that this identity has ever used.
    pub workers_ever: usize,
    directory: PathBuf,
    // Closing the file frees the lock, also when the process is killed.
    _lock: File,
}

/// How many slots are tried before giving up.
const MAX_SLOTS: usize = 1_000;

impl Identity {
    /// Takes the state directory of an application and reads, or makes, the identity in it.
    ///
    /// # Errors
    /// If the directory is another process's, or cannot be written.
    pub fn take(state_dir: &StateDir, application_id: &str, workers: usize) -> Result<Self, IdentityError> {
        match state_dir {
            StateDir::Exactly(directory) => Self::open(&directory.join(application_id), workers),
            StateDir::Slot(base) => {
                let base = base.join(application_id);
                for slot in 0..MAX_SLOTS {
                    match Self::open(&base.join(format!("slot-{slot}")), workers) {
                        Err(IdentityError::Locked { .. }) => {}
                        other => return other,
                    }
                }
                Err(IdentityError::Locked { path: base })
            }
        }
    }

    fn open(directory: &Path, workers: usize) -> Result<Self, IdentityError> {
        let io = |action| move |source| IdentityError::Io { path: directory.to_owned(), action, source };
        fs::create_dir_all(directory).map_err(io("creating it"))?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join(".lock"))
            .map_err(io("opening its lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(IdentityError::Locked { path: directory.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(io("locking it")(source)),
        }
        let file = directory.join("identity");
        let (name, before) = match fs::read_to_string(&file) {
            Ok(text) => {
                let stored: Stored = serde_json::from_str(&text)
                    .map_err(|error| IdentityError::Unreadable { path: file.clone(), reason: error.to_string() })?;
                (stored.name, stored.workers)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Uuid::new_v4().simple().to_string(), 0),
            Err(source) => return Err(io("reading the identity")(source)),
        };
        let workers_ever = before.max(workers);
        if workers_ever != before {
            let text = serde_json::json!({ "name": name, "workers": workers_ever }).to_string();
            // Written beside and renamed: a crash in between leaves the old identity or the new, never half of one.
            let fresh = directory.join("identity.new");
            fs::write(&fresh, text).map_err(io("writing the identity"))?;
            fs::rename(&fresh, &file).map_err(io("writing the identity"))?;
        }
        Ok(Self { name, workers_ever, directory: directory.to_owned(), _lock: lock })
    }

    /// Where the tasks' databases are.
    pub fn tasks_dir(&self) -> PathBuf {
        self.directory.join("tasks")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_found_again_and_remembers_its_workers() {
        let dir = tempfile::tempdir().unwrap();
        let at = StateDir::Exactly(dir.path().to_owned());
        let first = Identity::take(&at, "app", 3).unwrap();
        let name = first.name.clone();
        drop(first);
        let again = Identity::take(&at, "app", 1).unwrap();
        assert_eq!((again.name.as_str(), again.workers_ever), (name.as_str(), 3));
    }

    #[test]
    fn a_directory_in_use_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let at = StateDir::Exactly(dir.path().to_owned());
        let _held = Identity::take(&at, "app", 1).unwrap();
        let error = Identity::take(&at, "app", 1).unwrap_err().to_string();
        assert!(error.contains("locked by another process") && error.contains("app"), "{error}");
    }

    #[test]
    fn each_process_gets_a_slot_of_its_own_and_a_freed_one_is_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let at = StateDir::Slot(dir.path().to_owned());
        let first = Identity::take(&at, "app", 1).unwrap();
        let second = Identity::take(&at, "app", 1).unwrap();
        assert_ne!(first.name, second.name);
        let name = first.name.clone();
        drop(first);
        assert_eq!(Identity::take(&at, "app", 1).unwrap().name, name);
    }

    #[test]
    fn a_mangled_identity_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let at = StateDir::Exactly(dir.path().to_owned());
        drop(Identity::take(&at, "app", 1).unwrap());
        fs::write(dir.path().join("app/identity"), "{").unwrap();
        let error = Identity::take(&at, "app", 1).unwrap_err().to_string();
        assert!(error.contains("remove the directory"), "{error}");
    }
}
