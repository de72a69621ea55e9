//! A process may end whatever its threads do with their databases at that moment.
//!
//! What was lost: a worker stuck in user code is given up, and its thread lives on. Let go just as the process exited, it
//! closed its databases while `exit` destroyed RocksDB's C++ statics, and a process that had done everything right ended
//! with SIGABRT. It was seen in 2 of 60 runs; here the time between the end of the statics and that of the process is
//! stretched, so that it is hit every time.

#![cfg(all(feature = "rocksdb", target_os = "linux"))]
#![allow(unsafe_code, reason = "what runs last in a process cannot be registered without it")]
#![allow(clippy::unwrap_used, reason = "what fails in a helper fails the test")]

use std::process::{Command, exit};
use std::sync::Barrier;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use millstream_state::engine::{Change, Engine, RocksSettings, RocksStorage, Storage};

const CHILD: &str = "MILLSTREAM_TEST_EXITING_CHILD";
const CHILDREN: usize = 6;

/// How long a child stays after its statics are gone, in microseconds.
const LINGER: libc::c_uint = 250_000;

extern "C" fn linger() {
    if std::env::var_os(CHILD).is_some() {
        // SAFETY: waits, touches nothing.
        unsafe { libc::usleep(LINGER) };
    }
}

// What stands in this section runs after all exit handlers and all C++ destructors.
#[used]
#[unsafe(link_section = ".fini_array")]
static LAST: extern "C" fn() = linger;

fn write(engine: &mut dyn Engine) -> bool {
    let family = engine.open_family("store").unwrap();
    engine.write(&mut std::iter::once(Change::Put(family, b"key", b"value"))).is_ok()
}

/// A thread that holds databases, and closes them when it is let go.
fn holder(storage: RocksStorage, number: usize, ready: &Barrier, go: &Mutex<Receiver<()>>) {
    let mut held: Vec<_> = (0..3).map(|task| storage.open(&format!("{number}_{task}")).unwrap()).collect();
    held.iter_mut().for_each(|engine| assert!(write(&mut **engine)));
    ready.wait();
    // Ends as well when the sender is gone.
    let _ = go.lock().map(|go| go.recv());
    if number == 0 {
        while write(&mut *held[0]) {}
    }
    drop(held);
    let _ = storage.open(&format!("{number}_late")).map(|mut engine| engine.sync());
}

fn child() -> ! {
    let directory = tempfile::tempdir().unwrap();
    let storage = RocksStorage::new(directory.path(), &RocksSettings::default());
    let (threads, ready) = (3, Arc::new(Barrier::new(4)));
    let go: Vec<SyncSender<()>> = (0..threads)
        .map(|number| {
            let (sender, go) = sync_channel(1);
            let (storage, ready) = (storage.clone(), ready.clone());
            std::thread::spawn(move || holder(storage, number, &ready, &Mutex::new(go)));
            sender
        })
        .collect();
    ready.wait();
    drop(go);
    exit(0);
}

#[test]
fn a_process_ends_well_while_threads_that_were_given_up_use_their_databases() {
    if std::env::var_os(CHILD).is_some() {
        child();
    }
    let program = std::env::current_exe().unwrap();
    for run in 0..CHILDREN {
        let child = Command::new(&program).env(CHILD, "1").arg("--nocapture").output().unwrap();
        let told = String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success(), "run {run} ended with {}: {told}", child.status);
    }
}
