//! Simulated lives of a small cluster under faults: some of a fixed range of seeds, and every seed that once found a bug.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a helper fails the test")]

use millstream_integration_tests::lives::{Counts, REGRESSIONS, Scenario, live, workload};

/// Lives of each workload in every test run; `make torture` lives others.
const LIVES: u64 = 250;

#[test]
fn every_life_ends_with_exact_results() {
    let mut faults = Counts::new();
    let mut violations = Vec::new();
    for workload in workload::all() {
        for seed in 0..LIVES {
            match live(Scenario::draw_for(seed, workload.clone()), None, false) {
                Ok(report) => report.faults.into_iter().for_each(|(kind, n)| *faults.entry(kind).or_default() += n),
                Err(violation) => violations.push(format!(
                    "torture --workload {} --seed {seed} ({}): {}",
                    workload.name(),
                    violation.scenario,
                    violation.what
                )),
            }
        }
    }
    println!("faults: {faults:?}");
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    for kind in [
        "crash at an effect",
        "process killed",
        "power loss",
        "machine lost with its disk",
        "pause",
        "lost request",
        "lost reply",
        "late reply",
        "late request",
        "request arrives twice",
        "partition from the broker",
        "coordinator change",
        "broker restart",
        "producer fenced",
        "disk write error",
        "full disk",
        "slow consumer or disk",
        "member joins",
        "member leaves",
        "panic in user code",
    ] {
        assert!(faults.get(kind).is_some_and(|count| *count > 10), "hardly any {kind}: {faults:?}");
    }
}

#[test]
fn what_once_went_wrong_goes_right() {
    let workloads = workload::all();
    let mut violations = Vec::new();
    for regression in REGRESSIONS {
        let workload = workloads.iter().find(|workload| workload.name() == regression.workload).unwrap();
        if let Err(violation) = live(Scenario::draw_for(regression.seed, workload.clone()), None, false) {
            violations.push(format!("{regression:?}: {}", violation.what));
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn the_same_seed_is_the_same_life_to_the_last_line_of_its_log() {
    for seed in 0..40 {
        let log = || match live(Scenario::draw(seed), None, true) {
            Ok(report) => report.log,
            Err(violation) => violation.log,
        };
        let (first, second) = (log(), log());
        assert!(first.lines().count() > 50, "seed {seed}: too short a log to mean anything:\n{first}");
        let difference = first.lines().zip(second.lines()).enumerate().find(|(_, (one, other))| one != other);
        assert!(difference.is_none(), "seed {seed}: {difference:?}");
        assert_eq!(first, second, "seed {seed}");
    }
}
