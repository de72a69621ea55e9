//! Brokers that refuse, are away, or have given what is ours to others: waited for, told once, and exact afterwards.

use std::time::Duration;

use millstream::State;
use millstream::broker::embedded::CallKind;
use millstream::broker::{Broker, ErrorClass, ProducerSettings, Wake};
use millstream::worker::Step;
use millstream_integration_tests::sim::ledger;

use crate::life::{Life, assert_names};
use crate::logged::logged;

fn ledger_life() -> Life {
    Life::new(ledger::topology(), ledger::config(), |broker| {
        ledger::create_topics(broker);
        ledger::produce(broker, 0..20);
    })
}

#[track_caller]
fn finish(life: &mut Life) {
    life.until(|life| ledger::is_done(&life.broker));
    life.until_running();
    ledger::check_topics(&life.broker, 40, false).unwrap();
    life.until(|life| life.instance.troubles().is_empty());
}

/// Half of the inputs are processed, a kind of call fails so often, the other half follows.
#[track_caller]
fn survives(kind: CallKind, times: u32, class: ErrorClass) {
    let mut life = ledger_life();
    life.until(|life| ledger::is_done(&life.broker));
    life.faults.refuse(kind, times, class);
    ledger::produce(&life.broker, 20..40);
    life.until(|life| life.faults.refused(kind) == times);
    finish(&mut life);
}

#[test]
fn a_coordinator_that_is_away_is_waited_for() {
    for kind in [CallKind::SendOffsets, CallKind::Commit, CallKind::Flush, CallKind::Produce] {
        survives(kind, 12, ErrorClass::Retriable);
    }
}

#[test]
fn calls_with_unknown_outcome_are_settled() {
    for kind in [CallKind::SendOffsets, CallKind::Commit, CallKind::Flush] {
        survives(kind, 7, ErrorClass::Unknown);
    }
}

#[test]
fn a_producer_that_is_broken_for_good_is_replaced() {
    for kind in [CallKind::Produce, CallKind::Flush, CallKind::SendOffsets, CallKind::Commit, CallKind::Begin] {
        survives(kind, 1, ErrorClass::Fatal);
    }
}

#[test]
fn an_abort_that_fails_is_settled_by_a_new_producer() {
    let mut life = ledger_life();
    life.until(|life| ledger::is_done(&life.broker));
    life.faults.refuse(CallKind::Flush, 1, ErrorClass::Abortable);
    life.faults.refuse(CallKind::Abort, 1, ErrorClass::Fatal);
    ledger::produce(&life.broker, 20..40);
    life.until(|life| life.faults.refused(CallKind::Abort) == 1);
    finish(&mut life);
}

#[test]
fn what_stays_hopeless_with_new_producers_ends_the_instance_with_the_brokers_words() {
    let mut life = ledger_life();
    life.until(|life| ledger::is_done(&life.broker));
    life.faults.refuse(CallKind::Flush, u32::MAX, ErrorClass::Fatal);
    ledger::produce(&life.broker, 20..40);
    assert_names(&life.error(), &["Flush of the test", "refused by the test"]);
    life.faults.allow();
    life.restart();
    finish(&mut life);
}

#[test]
fn an_authorisation_that_is_lost_for_seconds_is_waited_for() {
    let mut life = ledger_life();
    life.until(|life| ledger::is_done(&life.broker));
    for kind in [CallKind::SendOffsets, CallKind::Drain] {
        life.faults.refuse(kind, u32::MAX, ErrorClass::NotAuthorized);
        ledger::produce(&life.broker, if kind == CallKind::Drain { 30..40 } else { 20..30 });
        life.pass(Duration::from_secs(30));
        assert_eq!(life.instance.state(), State::Running, "{:?}", life.instance.error());
        let troubles = life.instance.troubles();
        assert!(!troubles.is_empty() && troubles.iter().all(|trouble| trouble.reason.contains("refused by the test")));
        life.faults.allow();
        life.until(|life| ledger::is_done(&life.broker));
    }
    finish(&mut life);
}

#[test]
fn an_authorisation_that_does_not_come_back_ends_the_instance_and_a_new_start_goes_on() {
    let mut life = ledger_life();
    life.until(|life| ledger::is_done(&life.broker));
    life.faults.refuse(CallKind::SendOffsets, u32::MAX, ErrorClass::NotAuthorized);
    ledger::produce(&life.broker, 20..40);
    let since = life.now().monotonic;
    assert_names(&life.error(), &["SendOffsets of the test"]);
    let lasted = life.now().monotonic.since(since);
    assert!(lasted >= Duration::from_secs(60) && lasted < Duration::from_secs(90), "{lasted:?}");
    life.faults.allow();
    life.restart();
    finish(&mut life);
}

#[test]
fn a_start_without_authorisation_ends_at_once_with_what_was_refused() {
    let mut life = ledger_life();
    life.faults.refuse(CallKind::Init, u32::MAX, ErrorClass::NotAuthorized);
    // Producers were made with the instance; they are asked again by the next life.
    life.restart();
    let since = life.now().monotonic;
    assert_names(&life.error(), &["Init of the test"]);
    assert!(life.now().monotonic.since(since) < Duration::from_secs(5));
}

#[test]
fn a_broker_that_is_away_is_told_of_once_and_once_more_when_it_is_back() {
    let log = logged(|| {
        let mut life = ledger_life();
        life.until(|life| ledger::is_done(&life.broker));
        for kind in [CallKind::SendOffsets, CallKind::Drain] {
            life.faults.refuse(kind, u32::MAX, ErrorClass::Retriable);
        }
        ledger::produce(&life.broker, 20..40);
        life.pass(Duration::from_secs(100));
        life.faults.allow();
        finish(&mut life);
    });
    let lines = |part: &str| log.lines().filter(|line| line.contains(part)).count();
    // Four inputs, and two workers that may have had something to commit.
    let first = lines("cannot be read, trying again");
    assert!((1..=4).contains(&first), "{log}");
    let reminders = lines("still so after");
    assert!(reminders >= 3 * first && reminders <= 3 * (first + 2) + 3, "{reminders} reminders\n{log}");
    assert!(lines("over after") >= 1 && lines("over after") <= first + 2, "{log}");
    assert!(log.lines().filter(|line| line.contains("WARN")).count() < 40, "{log}");
}

#[test]
fn a_cluster_that_comes_late_is_waited_for_at_the_start() {
    let log = logged(|| {
        let mut life = ledger_life();
        life.faults.refuse(CallKind::DescribeTopics, u32::MAX, ErrorClass::Retriable);
        life.pass(Duration::from_secs(15));
        assert_eq!(life.instance.state(), State::Rebalancing);
        assert_names(&life.instance.troubles()[0].what, &["the cluster at simulated", "cannot be asked"]);
        life.faults.allow();
        ledger::produce(&life.broker, 20..40);
        finish(&mut life);
    });
    assert_eq!(
        log.lines().filter(|line| line.contains("cannot be asked for its topics, trying again")).count(),
        1,
        "{log}"
    );
}

#[test]
fn a_fenced_producer_goes_on_with_a_new_one() {
    let mut life = ledger_life();
    life.until(|life| ledger::is_done(&life.broker));
    for worker in 0..2 {
        let id = format!("{}-a-{worker}", ledger::APP);
        let settings = ProducerSettings {
            client_id: "other".into(),
            transactional_id: Some(id),
            transaction_timeout: Duration::from_secs(10),
        };
        let mut other = life.broker.producer(settings, Wake::nobody()).unwrap();
        assert!(matches!(other.init().poll(), Some(Ok(()))));
    }
    ledger::produce(&life.broker, 20..40);
    finish(&mut life);
}

#[test]
fn a_member_whose_session_has_timed_out_joins_again() {
    let mut life = ledger_life();
    life.until(|life| ledger::is_done(&life.broker));
    let member = format!("{}-a", ledger::APP);
    life.broker.set_heartbeats(&member, false);
    ledger::produce(&life.broker, 20..30);
    life.pass(Duration::from_secs(10));
    life.broker.set_heartbeats(&member, true);
    ledger::produce(&life.broker, 30..40);
    finish(&mut life);
}

#[test]
fn a_second_process_with_the_same_identity_ends_the_first_with_words_that_say_so() {
    let mut life = ledger_life();
    life.until_running();
    let settings = millstream::broker::MemberSettings {
        client_id: "other".into(),
        group: ledger::APP.into(),
        instance_id: Some(format!("{}-a", ledger::APP)),
        topics: vec!["in".into()],
        session_timeout: Duration::from_secs(6),
        max_poll_interval: Duration::from_secs(60),
        queued_bytes: 1 << 20,
    };
    let mut other = life.broker.member(settings, Wake::nobody()).unwrap();
    let mut joined = false;
    life.until(|life| {
        joined |= other.poll().is_some();
        life.instance.state().is_final()
    });
    assert_names(&life.error(), &["the membership of group ledger has ended", "ledger-a"]);
}

/// Lost half a second at each start: the worker went to sleep in the step that heard of it.
#[test]
fn a_worker_goes_on_in_the_step_in_which_its_producer_is_initialised() {
    let mut life = ledger_life();
    life.faults.hold(CallKind::Init);
    life.restart();
    assert!(!life.comes_to(Duration::from_secs(5), |life| life.instance.state() == State::Running));
    life.faults.allow();
    assert_eq!(life.broker.release_calls(|call| call.kind == CallKind::Init), 2);
    assert_eq!(life.instance.step(life.now()), Step::Progress);
    life.until(|life| ledger::is_done(&life.broker));
    life.until_running();
}
