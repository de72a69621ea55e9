//! Three processes of `flights`, killed at random while the year is produced: every flight counts once.
//!
//! Needs a broker in `MILLSTREAM_TEST_BOOTSTRAP`. A longer run, or the same again: `make chaos SEED=n KILLS=n`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a helper fails the test")]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use millstream_integration_tests::chaos::Chaos;
use millstream_integration_tests::support::bootstrap;

#[tokio::test]
async fn killed_processes_lose_no_flight_count_none_twice_and_replay_only_what_was_missing() {
    let Some(bootstrap) = bootstrap() else { return };
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let seed = number("MILLSTREAM_CHAOS_SEED").unwrap_or(20_130_101);
    let kills = u32::try_from(number("MILLSTREAM_CHAOS_KILLS").unwrap_or(12)).unwrap();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{seed}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let chaos = Chaos { bootstrap, program: flights().unwrap(), folder: folder.clone(), seed, kills };
    match chaos.run().await {
        Ok(outcome) => writeln!(std::io::stdout(), "seed {seed}, {kills} kills: {outcome:?}").unwrap(),
        Err(error) => panic!("seed {seed}, {kills} kills, logs in {}: {error:#}", folder.display()),
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Builds the program, unless it is built, into the folder that this test was built into.
fn flights() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    // target/debug/deps/this-test
    let [programs, target] = [2, 3].map(|up| test.ancestors().nth(up));
    let (programs, target) = programs.zip(target).context("a folder for programs above that of the test")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--package", "millstream-examples", "--bin", "flights", "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()?;
    ensure!(status.success(), "building flights failed");
    Ok(programs.join("flights"))
}
