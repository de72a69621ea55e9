//! Three processes on a real broker that are killed, paused, cut off and lied to on the wire while inputs come in: every output,
//! changelog and store is exact in the end, and no transaction hangs.
//!
//! Needs a broker in `MILLSTREAM_TEST_BOOTSTRAP`. `make torture` does it for as long as asked, and kills brokers as well.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a helper fails the test")]

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use millstream_integration_tests::real::chaos::Chaos;

/// For how long things go wrong.
const LENGTH: Duration = Duration::from_secs(45);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_wrong_every_input_counts_once() {
    let Ok(bootstrap) = std::env::var("MILLSTREAM_TEST_BOOTSTRAP") else {
        // Straight to the output: the test harness keeps what a passing test prints.
        writeln!(std::io::stdout(), "NOT RUN: MILLSTREAM_TEST_BOOTSTRAP is not set").unwrap();
        return;
    };
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
