//! Memory stays below its stated ceiling whatever the number of keys and however slow the broker: read off a process of
//! its own as the most that was ever resident.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::Command;
use std::time::Duration;

use millstream::prelude::*;
use millstream_integration_tests::proxy::{Api, Fault, Proxy, Rule, When};
use millstream_integration_tests::slow;
use millstream_integration_tests::support::bootstrap;

/// Records that wait to be sent: a bound of the runtime that is not a setting.
const TO_SEND: usize = 60 << 20;

/// What the program itself takes, and the clients besides their queues.
const PROGRAM: usize = 70 << 20;

/// In MiB, for one worker with four partitions and the default bounds: as docs/PERFORMANCE.md adds it up.
fn ceiling() -> u64 {
    let limits = MemoryLimits::default();
    let bounds =
        limits.record_cache + limits.rows + limits.block_cache + limits.uncommitted + 4 * limits.fetched_per_partition;
    ((bounds + TO_SEND + PROGRAM) >> 20) as u64
}

const KEYS: u64 = 10_000_000;

fn peak_of(command: &mut Command) -> u64 {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    let peak = text.lines().find_map(|line| line.strip_prefix("peak resident MiB: "));
    peak.unwrap_or_else(|| panic!("no peak in {text}")).parse().unwrap()
}

fn memory() -> Command {
    Command::new(env!("CARGO_BIN_EXE_memory"))
}

#[test]
fn many_keys_take_no_more_memory_than_stated() {
    let peak = peak_of(memory().args(["keys", &KEYS.to_string()]));
    println!("{KEYS} keys: {peak} MiB");
    // Less than the bound of the block cache would mean that the stores were never filled.
    assert!(peak > 64 && peak <= ceiling(), "{KEYS} keys took {peak} MiB, the ceiling is {}", ceiling());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_broker_makes_queues_full_and_no_more() {
    let Some(bootstrap) = bootstrap() else { return };
    // 300 MB: the input alone is more than the ceiling, and so is what is made of it.
    const RECORDS: u64 = 300_000;
    let app = format!("memory-{}", std::process::id());
    slow::fill(&bootstrap, &app, RECORDS).await.unwrap();
    // Records come at full speed, and what comes of them goes away slowly.
    let proxy = Proxy::start(&bootstrap, 1).unwrap();
    let fault = Fault::DelayReply(Duration::from_millis(15));
    proxy.rules().arm(Rule { api: Api::Produce, when: When::Chance(1.0), fault });
    let folder = tempfile::tempdir().unwrap();
    let address = proxy.address().to_owned();
    let peak = tokio::task::spawn_blocking(move || {
        peak_of(memory().args(["slow", &address, &app]).arg(folder.path()).arg(RECORDS.to_string()))
    });
    let peak = peak.await.unwrap();
    println!("slow broker: {peak} MiB");
    assert!(proxy.rules().total() > 0, "no reply was delayed");
    assert!(peak > 0 && peak <= ceiling(), "a slow broker took {peak} MiB, the ceiling is {}", ceiling());
}
