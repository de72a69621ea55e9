//! Sessions, crashes, hangs and late acknowledgements.

use super::super::super::ErrorClass;
use super::*;

#[test]
fn a_killed_member_keeps_its_partitions_until_its_session_times_out() {
    let (broker, clock) = cluster();
    let topic = topic(&broker, "t", 2, &[]);
    let mut dying = member(&broker, "dying", None, &topic);
    let _held = assigned(&mut *dying);
    let mut other = member(&broker, "other", None, &topic);
    assert_eq!(name_of(dying.poll().as_ref()), "revoking");
    dying.acknowledge();
    assert_eq!(numbers(&assigned(&mut *dying)).len(), 1);
    assert_eq!(numbers(&assigned(&mut *other)).len(), 1);
    broker.kill_client("dying");
    clock.advance(SESSION - Duration::from_millis(1));
    assert_eq!(name_of(other.poll().as_ref()), "nothing");
    assert_eq!(name_of(dying.poll().as_ref()), "nothing");
    clock.advance(Duration::from_millis(1));
    assert_eq!(name_of(other.poll().as_ref()), "revoking");
    other.acknowledge();
    assert_eq!(numbers(&assigned(&mut *other)), [0, 1]);
}

#[test]
fn a_static_member_that_is_back_in_time_gets_its_partitions_and_after_that_what_is_left() {
    let (broker, clock) = cluster();
    let topic = topic(&broker, "t", 4, &[]);
    let mut first = member(&broker, "a", Some("i1"), &topic);
    let mut other = member(&broker, "b", Some("i2"), &topic);
    assert_eq!(numbers(&assigned(&mut *first)), [0, 1]);
    let generation = assigned(&mut *other).ownership.generation;
    drop(first);
    clock.advance(SESSION - Duration::from_millis(1));
    let mut back = member(&broker, "a", Some("i1"), &topic);
    let again = assigned(&mut *back);
    assert_eq!((numbers(&again), again.ownership.generation), (vec![0, 1], generation));
    assert_eq!(name_of(other.poll().as_ref()), "nothing");
    drop(back);
    clock.advance(SESSION);
    assert_eq!(name_of(other.poll().as_ref()), "revoking");
    other.acknowledge();
    assert_eq!(numbers(&assigned(&mut *other)), [0, 1, 2, 3]);
}

#[test]
fn a_hanging_member_learns_that_it_was_dropped_and_joins_again() {
    let (broker, clock) = cluster();
    let topic = topic(&broker, "t", 2, &[]);
    let mut hanging = member(&broker, "hanging", None, &topic);
    let stale = assigned(&mut *hanging).ownership;
    broker.set_heartbeats("hanging", false);
    let mut other = member(&broker, "other", None, &topic);
    clock.advance(SESSION);
    assert_eq!(numbers(&assigned(&mut *other)), [0, 1]);
    let refused = done(hanging.commit(commit(&topic, 0, 1), &stale)).unwrap_err();
    assert_eq!(refused.class, ErrorClass::MemberFenced);
    broker.set_heartbeats("hanging", true);
    assert_eq!(name_of(hanging.poll().as_ref()), "lost");
    assert_eq!(name_of(hanging.poll().as_ref()), "nothing");
    assert_eq!(name_of(other.poll().as_ref()), "revoking");
    other.acknowledge();
    assert_eq!(numbers(&assigned(&mut *hanging)).len(), 1);
    assert_eq!(numbers(&assigned(&mut *other)).len(), 1);
}

#[test]
fn a_member_that_is_cut_off_hears_nothing_and_its_acknowledgement_arrives_when_it_is_heard_again() {
    let (broker, _clock) = cluster();
    let topic = topic(&broker, "t", 2, &[]);
    let mut away = member(&broker, "away", None, &topic);
    let held = assigned(&mut *away);
    let mut other = member(&broker, "other", None, &topic);
    assert_eq!(name_of(away.poll().as_ref()), "revoking");
    broker.set_cut_off("away", true);
    drop(held);
    away.acknowledge();
    assert_eq!(name_of(away.poll().as_ref()), "nothing");
    assert_eq!(name_of(other.poll().as_ref()), "nothing");
    broker.set_cut_off("away", false);
    assert_eq!(numbers(&assigned(&mut *away)).len(), 1);
    assert_eq!(numbers(&assigned(&mut *other)).len(), 1);
}

#[test]
fn who_does_not_acknowledge_in_half_the_poll_interval_loses_its_partitions() {
    let (broker, clock) = cluster();
    let topic = topic(&broker, "t", 2, &[]);
    let mut slow = member(&broker, "slow", None, &topic);
    let _held = assigned(&mut *slow);
    let mut other = member(&broker, "other", None, &topic);
    assert_eq!(name_of(slow.poll().as_ref()), "revoking");
    clock.advance(Duration::from_secs(29));
    assert_eq!(name_of(other.poll().as_ref()), "nothing");
    clock.advance(Duration::from_secs(1));
    assert_eq!(numbers(&assigned(&mut *other)), [0, 1]);
    slow.acknowledge();
    assert_eq!(name_of(slow.poll().as_ref()), "lost");
}

#[test]
fn a_killed_process_comes_back_under_the_same_client_id() {
    let (broker, _clock) = cluster();
    let process = broker.for_client("p");
    let topic = topic(&process, "t", 1, &[]);
    let admin = process.admin();
    let mut orphan = producer(&process, Some("id"));
    orphan.begin().unwrap();
    send(&mut *orphan, &topic, START, "open").unwrap();
    let mut fetcher = process.fetcher(Isolation::ReadUncommitted, Wake::nobody()).unwrap();
    let mut queue = fetcher.assign(&TopicPartition::new(topic.clone(), 0), Position::START).unwrap();
    assert!(queue.drain(1).unwrap().is_some());
    broker.kill_client("p");
    assert!(send(&mut *orphan, &topic, START, "after death").is_err());
    assert!(done(orphan.commit()).is_err());
    assert!(queue.drain(1).is_err());
    assert!(done(admin.describe_topics(vec![topic.clone()])).is_err());
    assert_eq!(broker.open_transactions().len(), 1);
    let mut heir = producer(&process, Some("id"));
    assert!(broker.open_transactions().is_empty());
    heir.begin().unwrap();
    send(&mut *heir, &topic, START, "heir").unwrap();
    done(heir.commit()).unwrap();
    assert_eq!(values(&broker, "t", Isolation::ReadCommitted), ["heir"]);
}

#[test]
fn a_topic_that_appears_is_shared_out() {
    let (broker, _clock) = cluster();
    let name: Arc<str> = "late".into();
    let mut early = member(&broker, "early", None, &name);
    assert!(numbers(&assigned(&mut *early)).is_empty());
    topic(&broker, "late", 3, &[]);
    assert_eq!(numbers(&assigned(&mut *early)), [0, 1, 2]);
}

#[test]
fn a_member_that_left_stays_away() {
    let (broker, _clock) = cluster();
    let topic = topic(&broker, "t", 1, &[]);
    let mut leaving = member(&broker, "leaving", Some("i"), &topic);
    let _held = assigned(&mut *leaving);
    let mut left = leaving.leave();
    assert!(left.poll().is_none());
    assert_eq!(name_of(leaving.poll().as_ref()), "revoking");
    leaving.acknowledge();
    done(left).unwrap();
    assert_eq!(name_of(leaving.poll().as_ref()), "nothing");
    assert!(broker.group_members("group").1.is_empty());
}
