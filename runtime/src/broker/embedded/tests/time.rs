//! What happens by the clock, and only by it.

use super::super::super::ErrorClass;
use super::*;

#[test]
fn an_orphaned_transaction_is_aborted_when_it_times_out_and_its_producer_fenced() {
    let (broker, clock) = cluster();
    let topic = topic(&broker, "t", 1, &[]);
    let mut orphan = producer(&broker, Some("orphan"));
    orphan.begin().unwrap();
    send(&mut *orphan, &topic, START, "orphan").unwrap();
    clock.advance(TRANSACTION - Duration::from_millis(1));
    broker.tick();
    assert_eq!(broker.open_transactions().len(), 1);
    clock.advance(Duration::from_millis(1));
    broker.tick();
    assert!(broker.open_transactions().is_empty());
    assert_eq!(broker.end("t", 0, Isolation::ReadCommitted).unwrap().number(), 2);
    assert_eq!(done(orphan.commit()).unwrap_err().class, ErrorClass::ProducerFenced);
    assert!(values(&broker, "t", Isolation::ReadCommitted).is_empty());
}

#[test]
fn a_late_marker_holds_readers_back_after_the_commit_was_answered() {
    let (broker, clock) = cluster();
    let topic = topic(&broker, "t", 1, &[]);
    broker.set_late_markers(|| Duration::from_millis(50));
    let mut producer = producer(&broker, Some("id"));
    producer.begin().unwrap();
    send(&mut *producer, &topic, START, "v").unwrap();
    done(producer.commit()).unwrap();
    assert!(values(&broker, "t", Isolation::ReadCommitted).is_empty());
    assert_eq!(broker.end("t", 0, Isolation::ReadUncommitted).unwrap().number(), 1);
    clock.advance(Duration::from_millis(50));
    broker.tick();
    assert_eq!(values(&broker, "t", Isolation::ReadCommitted), ["v"]);
    assert_eq!(broker.end("t", 0, Isolation::ReadCommitted).unwrap().number(), 2);
}

#[test]
fn committed_offsets_are_told_only_when_their_late_marker_is_written() {
    let (broker, clock) = cluster();
    let topic = topic(&broker, "t", 1, &[]);
    let mut member = member(&broker, "m", None, &topic);
    let held = assigned(&mut *member);
    broker.set_late_markers(|| Duration::from_millis(50));
    let mut producer = producer(&broker, Some("id"));
    producer.begin().unwrap();
    done(producer.send_offsets(commit(&topic, 0, 1), &held.ownership)).unwrap();
    done(producer.commit()).unwrap();
    let mut asked = broker.admin().committed("group", vec![TopicPartition::new(topic, 0)]);
    assert!(asked.poll().is_none());
    clock.advance(Duration::from_millis(50));
    broker.tick();
    let committed = done(asked).unwrap().remove(0).unwrap();
    assert_eq!(committed.position.number(), 1);
}

#[test]
fn a_producer_waits_for_its_late_markers_before_its_next_transaction() {
    let (broker, _clock) = cluster();
    let topic = topic(&broker, "t", 1, &[]);
    broker.set_late_markers(|| Duration::from_secs(1));
    let mut producer = producer(&broker, Some("id"));
    for value in ["first", "second"] {
        producer.begin().unwrap();
        send(&mut *producer, &topic, START, value).unwrap();
        done(producer.commit()).unwrap();
    }
    assert_eq!(values(&broker, "t", Isolation::ReadCommitted), ["first"]);
}

#[test]
fn a_transaction_without_writes_does_not_time_out() {
    let (broker, clock) = cluster();
    let topic = topic(&broker, "t", 1, &[]);
    let mut patient = producer(&broker, Some("patient"));
    patient.begin().unwrap();
    clock.advance(TRANSACTION * 3);
    broker.tick();
    send(&mut *patient, &topic, START, "late").unwrap();
    done(patient.commit()).unwrap();
    assert_eq!(values(&broker, "t", Isolation::ReadCommitted), ["late"]);
}

#[test]
fn retention_goes_by_record_time_and_passes_at_intervals() {
    let (broker, clock) = cluster();
    let topic = topic(&broker, "t", 1, &[("retention.ms", "60000")]);
    let mut plain = producer(&broker, None);
    send(&mut *plain, &topic, START - 60_001, "old").unwrap();
    assert_eq!(values(&broker, "t", Isolation::ReadCommitted), ["old"]);
    clock.advance(Duration::from_secs(299));
    broker.tick();
    assert_eq!(values(&broker, "t", Isolation::ReadCommitted), ["old"]);
    clock.advance(Duration::from_secs(1));
    broker.tick();
    assert!(values(&broker, "t", Isolation::ReadCommitted).is_empty());
    assert_eq!(broker.end("t", 0, Isolation::ReadCommitted).unwrap().number(), 1);
}

#[test]
fn retention_spares_compacted_topics_and_young_records() {
    let (broker, _clock) = cluster();
    let compacted = topic(&broker, "compacted", 1, &[("cleanup.policy", "compact"), ("retention.ms", "1000")]);
    let both = topic(&broker, "both", 1, &[("cleanup.policy", "compact,delete"), ("retention.ms", "1000")]);
    let young = topic(&broker, "young", 1, &[("retention.ms", "1000")]);
    let mut plain = producer(&broker, None);
    for (topic, timestamp) in [(&compacted, 1), (&both, 1), (&young, START)] {
        send(&mut *plain, topic, timestamp, "v").unwrap();
    }
    broker.housekeep();
    assert_eq!(values(&broker, "compacted", Isolation::ReadCommitted), ["v"]);
    assert_eq!(values(&broker, "young", Isolation::ReadCommitted), ["v"]);
    assert!(values(&broker, "both", Isolation::ReadCommitted).is_empty());
}

#[test]
fn a_topic_with_append_time_ignores_the_time_of_records() {
    let (broker, clock) = cluster();
    let topic = topic(&broker, "t", 1, &[("message.timestamp.type", "LogAppendTime")]);
    clock.advance(Duration::from_secs(5));
    broker.tick();
    send(&mut *producer(&broker, None), &topic, 1, "v").unwrap();
    let record = broker.read_log("t", 0, Isolation::ReadCommitted).unwrap().remove(0);
    assert_eq!(record.timestamp.millis(), START + 5_000);
}

#[test]
fn a_fetch_of_offsets_is_answered_when_the_transaction_that_holds_them_times_out() {
    let (broker, clock) = cluster();
    let topic = topic(&broker, "t", 1, &[]);
    let mut member = member(&broker, "m", None, &topic);
    let ownership = assigned(&mut *member).ownership;
    let mut orphan = producer(&broker, Some("orphan"));
    orphan.begin().unwrap();
    done(orphan.send_offsets(commit(&topic, 0, 5), &ownership)).unwrap();
    let mut fetch = broker.admin().committed("group", vec![TopicPartition::new(topic, 0)]);
    assert!(fetch.poll().is_none());
    clock.advance(TRANSACTION);
    broker.tick();
    assert_eq!(done(fetch).unwrap(), [None]);
}
