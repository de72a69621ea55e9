//! The simulation finds bugs: each of a list, put in on purpose, within two thousand lives.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a helper fails the test")]

use millstream_integration_tests::lives::{Bug, Scenario, live};

/// Lives within which each bug must be found.
const LIVES: usize = 2_000;

#[test]
fn every_bug_on_purpose_is_found() {
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        let lives = (0..).map(Scenario::draw).filter(|scenario| bug.can_show_in(scenario)).take(LIVES);
        let found = lives.into_iter().find_map(|scenario| live(scenario, Some(bug), false).err());
        match found {
            Some(violation) => {
                let what = violation.what.lines().next().unwrap_or_default();
                println!("{bug:?} is found by seed {}: {what}", violation.seed);
            }
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found in {LIVES} lives: {missed:?}");
}
