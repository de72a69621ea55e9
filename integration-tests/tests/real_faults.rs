//! Three processes on a real broker that are killed, paused, cut off and lied to on the wire while inputs come in: every output,
//! changelog and store is exact in the end, and no transaction hangs.
//!
//! Needs a broker in `MILLSTREAM_TEST_BOOTSTRAP`. `make torture` does it for as long as asked, and kills brokers as well.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a helper fails the test")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream::broker::kafka::{KafkaBroker, KafkaSettings};
use millstream_integration_tests::proxy::{Proxy, Way};
use millstream_integration_tests::real::chaos::Chaos;
use millstream_integration_tests::real::check::{self, Follower};
use millstream_integration_tests::real::process::Process;
use millstream_integration_tests::real::workload::{Loader, Workload};
use millstream_integration_tests::support::bootstrap;
use tokio::time::Instant;

/// For how long things go wrong.
const LENGTH: Duration = Duration::from_secs(45);

/// How long outputs may take. The machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_wrong_every_input_counts_once() {
    let Some(bootstrap) = bootstrap() else { return };
    let seed = 4_711;
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{seed}-{}", std::process::id()));
    let chaos = Chaos {
        bootstrap,
        program: env!("CARGO_BIN_EXE_real_faults").into(),
        folder: folder.clone(),
        seed,
        length: LENGTH,
        rate: 500,
        processes: 3,
        partitions: 4,
    };
    let report = match chaos.run(None).await {
        Ok(report) => report,
        Err(error) => panic!("seed {seed}, logs in {}: {error:#}", folder.display()),
    };
    writeln!(std::io::stdout(), "seed {seed}: {report:?}").unwrap();
    assert!(report.inputs > 1_000, "only {} inputs came in", report.inputs);
    assert!(report.faults.len() > 5, "hardly anything went wrong: {:?}", report.faults);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Every count of the inputs so far.
async fn complete(follower: &mut Follower, loader: &Loader) {
    let late = Instant::now() + PATIENCE;
    while !follower.is_complete(&loader.expected) {
        follower.follow(Duration::ZERO).unwrap();
        let (seen, wanted) = (follower.seen(), loader.expected.totals());
        assert!(Instant::now() < late, "{seen:?} of {wanted:?} counts are there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// With brokers that refuse and with brokers that are silent; a client that crashed on the way out would show in the status.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_stopped_while_its_brokers_are_gone_ends_well_and_loses_nothing() {
    let Some(bootstrap) = bootstrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let broker = KafkaBroker::new(KafkaSettings::new(&bootstrap)).unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    let app = format!("stopped-{}-{now:x}", std::process::id());
    let workload = Workload { app, partitions: 2, keys: 6, buckets: 3, base: now - 3_600_000 };
    workload.create_topics(&broker).await.unwrap();
    let mut loader = Loader::new(&workload, &bootstrap).unwrap();
    let mut follower = Follower::new(&workload, &bootstrap).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_real_faults"));
    let proxy = Proxy::start(&bootstrap, 1).unwrap();
    let mut process = Process::new(0, program, folder.path(), &workload, proxy);
    let load = |loader: &mut Loader| {
        loader.send(200).unwrap();
        loader.flush().unwrap();
    };
    for way in [Way::Cut, Way::Silent] {
        process.start().unwrap();
        load(&mut loader);
        complete(&mut follower, &loader).await;
        // On their way when it goes: some are fetched, processed and not committed.
        load(&mut loader);
        process.proxy.set_way(way);
        process.stop().await.unwrap();
        // Connections that were silent are of no use any more.
        process.proxy.set_way(Way::Cut);
        process.proxy.set_way(Way::Open);
    }
    process.start().unwrap();
    complete(&mut follower, &loader).await;
    follower.compare(&loader.expected).unwrap();
    process.stop().await.unwrap();
    check::nothing_hangs(&workload, &broker).await.unwrap();
    check::changelogs(&workload, &bootstrap, &loader.expected).unwrap();
    check::stores_on_disk(&workload, &broker, &[process.state_dir()]).await.unwrap();
}
