//! An instance that is dropped without being asked to stop: it ends at once, leaves no thread behind, and commits nothing.
//! Alone in this program, because it counts the process's threads.
//!
//! Needs `MILLSTREAM_TEST_BOOTSTRAP`; without it the test says that it was not run.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests against a real broker take real time")]

mod life;

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use life::{Application, Life};
use millstream::config::Guarantee;
use millstream::{State, Streams};
use millstream_integration_tests::proxy::Proxy;
use millstream_integration_tests::support::{bootstrap, until};

/// How long dropping may take: half a second, and more on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(4);

/// How long anything else may take.
const PATIENCE: Duration = Duration::from_secs(60);

const EXACTLY_ONCE: Guarantee = Guarantee::ExactlyOnce { transaction_timeout: Duration::from_secs(6) };

/// The names of this process's threads, without those that RocksDB keeps for all databases there may be.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
    let names = tasks.filter_map(|task| name(task.ok()?)).map(|name| name.trim().to_owned());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with("rocksdb:")).collect();
    names.sort();
    names
}

/// Drops what `live` has come to, in a thread of its own. All threads but those of before must have ended in time.
fn ends<T>(before: &[String], what: &str, in_time: Duration, live: impl FnOnce() -> T + Send + 'static) {
    let (tell, told) = sync_channel(2);
    let thread = std::thread::Builder::new().name("life".to_owned());
    let thread = thread.spawn(move || {
        let life = live();
        tell.send(()).unwrap();
        drop(life);
        tell.send(()).unwrap();
    });
    told.recv_timeout(PATIENCE * 2).unwrap_or_else(|_| panic!("{what}: it does not come to its end"));
    let begun = Instant::now();
    match told.recv_timeout(AT_ONCE) {
        Ok(()) => {}
        Err(RecvTimeoutError::Disconnected) => panic!("{what}: dropping panicked"),
        Err(RecvTimeoutError::Timeout) => panic!("{what}: not dropped after {AT_ONCE:?}; threads: {:?}", threads()),
    }
    println!("{what}: dropped after {:?}", begun.elapsed());
    thread.unwrap().join().unwrap();
    while threads() != before {
        assert!(begun.elapsed() < in_time, "{what}: threads are left: {:?}, were {before:?}", threads());
        std::thread::park_timeout(Duration::from_millis(1));
    }
    println!("{what}: no thread is left after {:?}", begun.elapsed());
}

/// Lost once: the thread. A client's last holder dropped a list with a reference on the client's partition after the client,
/// which waited for it for ever.
#[test]
fn what_is_dropped_ends() {
    let Some(bootstrap) = bootstrap() else { return };
    let new = |name: &str| Application::new(&bootstrap, name);
    let before = threads();

    let app = new("unborn");
    ends(&before, "before its first step", AT_ONCE, move || Life::new(&app));

    let app = new("running");
    let run = app.clone();
    ends(&before, "with running tasks", AT_ONCE, move || {
        let mut life = Life::new(&run);
        life.run();
        life.process(50);
        life
    });
    app.assert_nothing_committed();

    let app = new("gone");
    let proxy = Proxy::start(&bootstrap, 1).unwrap();
    let run = app.behind(proxy.address());
    ends(&before, "with running tasks and brokers gone", AT_ONCE, move || {
        let mut life = Life::new(&run);
        life.run();
        life.process(50);
        proxy.close_ports();
        (life, proxy)
    });
    app.assert_nothing_committed();

    // What is in a call of the client's that cannot be interrupted ends with that call.
    for (name, guarantee) in [("exactly", EXACTLY_ONCE), ("least", Guarantee::AtLeastOnce)] {
        let app = new(name).committing(guarantee);
        let proxy = Proxy::start(&bootstrap, 1).unwrap();
        let run = app.behind(proxy.address());
        ends(&before, &format!("in the middle of a commit, brokers gone, {guarantee:?}"), PATIENCE, move || {
            let mut life = Life::new(&run);
            life.run();
            life.process(50);
            proxy.close_ports();
            life.pass(life::COMMIT_INTERVAL * 2);
            (life, proxy)
        });
    }

    let app = new("asking");
    let proxy = Proxy::start(&bootstrap, 1).unwrap();
    let asks = app.behind(proxy.address());
    ends(&before, "calls that are not answered", AT_ONCE, move || {
        proxy.close_ports();
        let broker = asks.broker();
        let calls = asks.calls(&broker);
        (broker, calls, proxy)
    });

    // Its threads stop as after a signal, which commits.
    let app = new("streams");
    ends(&before, "a handle on a running instance", PATIENCE, move || {
        let (streams, disk) = started(&app);
        until(PATIENCE, "a running instance", || (streams.state() == State::Running).then_some(()));
        (streams, disk)
    });

    let app = new("panics").that_panics();
    ends(&before, "a handle on an instance that has failed", AT_ONCE, move || {
        let (streams, disk) = started(&app);
        app.load(1);
        until(PATIENCE, "a failed instance", || streams.state().is_final().then_some(()));
        assert_eq!(streams.state(), State::Error);
        (streams, disk)
    });
}

fn started(app: &Application) -> (Streams, tempfile::TempDir) {
    let disk = tempfile::tempdir().unwrap();
    let mut streams = Streams::new(app.topology(), app.config().state_dir(disk.path())).unwrap();
    streams.start().unwrap();
    (streams, disk)
}
