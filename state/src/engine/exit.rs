//! The end of the process: from the moment `exit` begins no database is opened, read, written or closed.
//!
//! ```text
//!  main thread:   … exit() ─► shut (waits for the calls under way) ─► RocksDB's statics are destroyed ─► end
//!  other threads: … write ✓ … write ──────► waits for the end of the process
//!                                   drop ─► leaves the database as it is, as after a kill
//! ```
//! A worker that is stuck in user code is given up, but its thread lives on. Let go just as the process exits, it would
//! use RocksDB while `exit` destroys what RocksDB keeps in C++ statics, and the process would end with SIGABRT. What was
//! not committed is in the changelog; what was written is in the log that the next start reads.

#![allow(unsafe_code, reason = "the C library's exit handlers cannot be reached without it")]

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Whether `exit` has begun. What is gated looks here first.
static EXITING: AtomicBool = AtomicBool::new(false);
/// Calls under way that change or close a database.
static BUSY: Mutex<u32> = Mutex::new(0);
/// Notified when a call has ended.
static ENDED: Condvar = Condvar::new();
/// How often the exit handler has been asked for.
static ARMED: AtomicU32 = AtomicU32::new(0);

/// `exit` does not wait longer than this for calls under way: a disk that hangs must not keep a process alive.
const PATIENCE: Duration = Duration::from_secs(10);

thread_local! {
    /// Whether this is the thread that runs the exit handlers: it cannot wait for itself.
    static EXITS: Cell<bool> = const { Cell::new(false) };
}

fn busy() -> MutexGuard<'static, u32> {
    // A number that is changed in one instruction is valid whatever panicked.
    BUSY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Leave to use a database, until it is dropped. `exit` waits for it.
pub(super) struct Pass(());

impl Drop for Pass {
    fn drop(&mut self) {
        *busy() -= 1;
        ENDED.notify_all();
    }
}

fn try_enter() -> Option<Pass> {
    let mut busy = busy();
    if EXITING.load(Ordering::Relaxed) {
        return None;
    }
    *busy += 1;
    Some(Pass(()))
}

/// Asks for leave to open or change a database. Once `exit` has begun the call does not return, except on the thread
/// that exits, which is told `None`.
pub(super) fn enter() -> Option<Pass> {
    let pass = try_enter();
    if pass.is_none() {
        wait_for_the_end();
    }
    pass
}

/// The same for reading, which happens for every record and is not waited for.
#[inline]
pub(super) fn may_read() -> bool {
    if EXITING.load(Ordering::Relaxed) {
        wait_for_the_end();
        return false;
    }
    true
}

#[cold]
fn wait_for_the_end() {
    if EXITS.get() {
        return;
    }
    let mut guard = busy();
    loop {
        guard = ENDED.wait(guard).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Puts the end of use before the end of RocksDB: exit handlers run in the reverse order of their registration, so one
/// must come after RocksDB has made its statics. It makes some late; hence before and after each opening, and ever more
/// rarely as they go on.
pub(super) fn arm() {
    let before = ARMED.fetch_add(1, Ordering::Relaxed);
    if before < 16 || before.is_power_of_two() {
        // SAFETY: `shut` is a function without arguments that does not unwind: it locks, waits and stores, none of which
        // panics. If the C library has no room for it, the process may end as it did before; nothing else follows.
        unsafe { libc::atexit(shut) };
    }
}

extern "C" fn shut() {
    EXITS.set(true);
    let guard = busy();
    EXITING.store(true, Ordering::Relaxed);
    // The lock is free while this waits, so that those under way can end; nobody new comes in.
    drop(ENDED.wait_timeout_while(guard, PATIENCE, |busy| *busy > 0));
}

/// Closed when it is dropped, unless the process is exiting: then it is left as it is.
pub(super) struct Closing<T>(ManuallyDrop<T>);

impl<T> Closing<T> {
    pub(super) fn new(database: T) -> Self {
        Self(ManuallyDrop::new(database))
    }
}

impl<T> Deref for Closing<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Closing<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> Drop for Closing<T> {
    fn drop(&mut self) {
        if let Some(_pass) = try_enter() {
            // SAFETY: the value is there since `new`, nothing else takes it out, and nobody can reach it after this.
            unsafe { ManuallyDrop::drop(&mut self.0) };
        }
    }
}
