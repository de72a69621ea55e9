//! Two workers stepped in one thread on the embedded broker: a crash between each pair of effects of start, commit,
//! rebalance and restore, one run per point; and a lost answer to each broker call. Each run must count every record
//! once, in outputs, changelogs and stores alike.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a helper fails the test")]

use std::time::Duration;

use millstream_integration_tests::sim::{Plan, Simulation, ledger};

const INPUTS: u64 = 40;

/// One process works; a second one joins when half is done and gets half of the tasks, which it restores from their
/// changelogs; then both stop cleanly. Answers how many effects each had.
fn scenario(first: Plan, second: Plan, cached: bool) -> Result<[u64; 2], String> {
    let mut config = ledger::config();
    if !cached {
        config.memory.record_cache = 0;
    }
    let mut sim = Simulation::new(ledger::topology(), config);
    ledger::create_topics(&sim.broker);
    ledger::produce(&sim.broker, 0..INPUTS / 2);
    let a = sim.start("a", first);
    let limit = Duration::from_secs(120);
    if !sim.run_until(limit, |sim| ledger::is_done(&sim.broker)) {
        return Err(format!("the first half is not done: {:?} {:?}", sim.state(a), sim.error(a)));
    }
    ledger::produce(&sim.broker, INPUTS / 2..INPUTS);
    let b = sim.start("b", second);
    if !sim.run_until(limit, |sim| ledger::is_done(&sim.broker) && sim.tasks_are_shared(&[a, b])) {
        let about = [a, b].map(|at| format!("{:?} {:?}", sim.state(at), sim.error(at)));
        return Err(format!("the second half is not done: {about:?}"));
    }
    for process in [a, b] {
        // Asked again and again, because one that crashes on its way out comes back and must be told.
        let stopped = |sim: &mut Simulation| {
            sim.shut_down(process);
            sim.has_stopped(process)
        };
        if !sim.run_until(limit, stopped) {
            return Err(format!("process {process} does not stop: {:?}", sim.state(process)));
        }
    }
    ledger::check(&sim, 2, INPUTS, !cached)?;
    Ok([sim.effects(a).count(), sim.effects(b).count()])
}

fn every_point(plan: impl Fn(u64) -> Plan, what: &str) {
    let mut failures = Vec::new();
    let mut runs = 0;
    for cached in [false, true] {
        let [first, second] = scenario(Plan::Nothing, Plan::Nothing, cached).expect("the run without faults");
        assert!(first > 50 && second > 20, "too few effects to mean anything: {first} and {second}");
        for (process, effects) in [(0, first), (1, second)] {
            for at in 0..effects {
                let plans = if process == 0 { (plan(at), Plan::Nothing) } else { (Plan::Nothing, plan(at)) };
                runs += 1;
                if let Err(error) = scenario(plans.0, plans.1, cached) {
                    failures.push(format!("{what} {at} of process {process} (cached {cached}): {error}"));
                }
            }
        }
    }
    println!("{what}: {runs} runs, {} failed", failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_crash_before_any_effect_counts_every_record_once() {
    every_point(Plan::CrashBefore, "crash before effect");
}

#[test]
fn a_lost_answer_to_any_call_counts_every_record_once() {
    every_point(Plan::LoseAnswer, "lost answer to effect");
}

/// The first process dies and never comes back; the second one, which runs beside it, has to do all the rest.
fn takeover(plan: Plan) -> Result<u64, String> {
    let mut sim = Simulation::new(ledger::topology(), ledger::config());
    ledger::create_topics(&sim.broker);
    ledger::produce(&sim.broker, 0..INPUTS / 2);
    let [a, b] = [sim.start("a", plan), sim.start("b", Plan::Nothing)];
    sim.revive = false;
    let limit = Duration::from_secs(120);
    if !sim.run_until(limit, |sim| ledger::is_done(&sim.broker)) {
        return Err(format!("the first half is not done: {:?} {:?}", sim.state(b), sim.error(b)));
    }
    ledger::produce(&sim.broker, INPUTS / 2..INPUTS);
    // One that died after its last commit has not written it to its disk: its tasks must have found a new owner.
    let owned = |sim: &Simulation| if sim.state(a).is_some() { true } else { sim.tasks_are_shared(&[b]) };
    if !sim.run_until(limit, |sim| ledger::is_done(&sim.broker) && owned(sim)) {
        return Err(format!("the second half is not done: {:?} {:?}", sim.state(b), sim.error(b)));
    }
    let effects = sim.effects(a).count();
    for process in [a, b] {
        sim.shut_down(process);
        if !sim.run_until(limit, |sim| sim.has_stopped(process)) {
            return Err(format!("process {process} does not stop: {:?}", sim.state(process)));
        }
    }
    ledger::check(&sim, 2, INPUTS, false)?;
    Ok(effects)
}

#[test]
fn whatever_a_process_was_doing_when_it_died_another_takes_over() {
    let effects = takeover(Plan::Nothing).expect("the run without faults");
    assert!(effects > 50, "too few effects to mean anything: {effects}");
    let failed =
        |at: u64| takeover(Plan::CrashBefore(at)).err().map(|error| format!("crash before effect {at}: {error}"));
    let failures: Vec<String> = (0..effects).filter_map(failed).collect();
    println!("taken over: {effects} runs, {} failed", failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
