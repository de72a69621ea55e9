//! Topics that change under the application: positions that are gone, topics that are deleted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use millstream::StreamsConfig;
use millstream::broker::Broker;
use millstream::broker::embedded::EmbeddedBroker;
use millstream::operators::dsl::StreamsBuilder;
use millstream::operators::topology::{OffsetReset, Topology};
use millstream::state::model::{Position, TopicPartition};
use millstream_integration_tests::sim::ledger;

use crate::life::{Life, assert_names, create, values, write};
use crate::logged::logged;

fn copying() -> Topology {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").to("out");
    builder.build().unwrap()
}

fn delete_records(broker: &EmbeddedBroker, topic: &str, before: i64) {
    let before = vec![(TopicPartition::new(topic, 0), Position::new(before))];
    assert!(matches!(broker.admin().delete_records(before).poll(), Some(Ok(()))));
}

/// How many of the topic's records the ledger has processed.
fn committed(broker: &EmbeddedBroker, topic: &str) -> i64 {
    let offsets = broker.group_offsets(ledger::APP);
    offsets.iter().filter(|(partition, _)| *partition.topic == *topic).map(|(_, at)| at.position.number()).sum()
}

fn delete_topic(broker: &EmbeddedBroker, topic: &str) {
    assert!(matches!(broker.admin().delete_topics(vec![Arc::from(topic)]).poll(), Some(Ok(()))));
}

/// Two records are processed; five more come while the application is down, of which the first two are deleted.
fn with_deleted_records(reset: OffsetReset) -> Life {
    let config = StreamsConfig::new("app", "embedded").workers(1).offset_reset(reset);
    let mut life = Life::new(copying(), config.offset_reset(OffsetReset::Earliest), |broker| {
        create(broker, "in", 1);
        create(broker, "out", 1);
        write(broker, "in", ["a", "b"]);
    });
    life.until(|life| values(&life.broker, "out") == ["a", "b"]);
    life.stop();
    write(&life.broker, "in", ["c", "d", "e", "f", "g"]);
    delete_records(&life.broker, "in", 4);
    life.reconfigure(|config| config.offset_reset(reset));
    life
}

#[test]
fn a_position_that_was_deleted_is_followed_by_the_oldest_record_if_the_reset_is_earliest() {
    let log = logged(|| {
        let mut life = with_deleted_records(OffsetReset::Earliest);
        life.until(|life| values(&life.broker, "out") == ["a", "b", "e", "f", "g"]);
    });
    assert_names(&log, &["goes on at 4 instead of 2", "up to 2 records were deleted before they were processed"]);
}

#[test]
fn a_position_that_was_deleted_is_followed_by_what_is_new_if_the_reset_is_latest() {
    let mut life = with_deleted_records(OffsetReset::Latest);
    life.until_running();
    life.pass(Duration::from_secs(2));
    write(&life.broker, "in", ["h"]);
    life.until(|life| values(&life.broker, "out") == ["a", "b", "h"]);
}

#[test]
fn a_position_that_was_deleted_is_one_clear_error_if_the_reset_is_none() {
    let mut life = with_deleted_records(OffsetReset::None);
    let names = ["topic in, partition 0", "not in the log any more", "choose earliest or latest", "from 4 to 7"];
    assert_names(&life.error(), &names);
    assert_eq!(values(&life.broker, "out"), ["a", "b"]);
}

#[test]
fn records_deleted_under_a_running_application_are_jumped_over_and_what_was_fetched_is_kept() {
    let config = StreamsConfig::new("app", "embedded").workers(1);
    let mut life = Life::new(copying(), config, |broker| {
        create(broker, "in", 1);
        create(broker, "out", 1);
    });
    life.until_running();
    write(&life.broker, "in", ["a", "b", "c", "d"]);
    delete_records(&life.broker, "in", 3);
    life.until(|life| values(&life.broker, "out").last().is_some_and(|last| last == "d"));
    assert_eq!(values(&life.broker, "out"), ["d"]);
}

/// The ledger has one topic of each kind.
#[track_caller]
fn deleted(kind: &str, ends_with: &str) {
    let mut life = Life::new(ledger::topology(), ledger::config(), |broker| {
        ledger::create_topics(broker);
        ledger::produce(broker, 0..20);
    });
    life.until(|life| ledger::is_done(&life.broker));
    life.until_running();
    let topic = life.broker.topics().into_iter().find(|topic| topic.ends_with(ends_with)).unwrap();
    delete_topic(&life.broker, &topic);
    assert_names(
        &life.error(),
        &[&format!("{kind} {topic} does not exist any more"), "deleted while the application ran"],
    );
}

#[test]
fn a_source_topic_deleted_under_the_application_is_named() {
    deleted("source topic", "in");
}

#[test]
fn an_output_topic_deleted_under_the_application_is_named() {
    deleted("output topic", "words");
}

#[test]
fn a_repartition_topic_deleted_under_the_application_is_named() {
    deleted("repartition topic", "-repartition");
}

#[test]
fn a_changelog_deleted_under_the_application_is_named() {
    deleted("changelog", "ledger-words-changelog");
}

#[test]
fn an_output_topic_deleted_while_it_is_written_is_named_without_a_loss() {
    let config = StreamsConfig::new("app", "embedded").workers(1);
    let mut life = Life::new(copying(), config, |broker| {
        create(broker, "in", 1);
        create(broker, "out", 1);
    });
    life.until_running();
    delete_topic(&life.broker, "out");
    write(&life.broker, "in", ["a", "b"]);
    assert_names(&life.error(), &["out", "exist"]);
    create(&life.broker, "out", 1);
    life.restart();
    life.until(|life| values(&life.broker, "out") == ["a", "b"]);
}

#[test]
fn a_changelog_made_anew_under_the_application_is_named() {
    let mut life = Life::new(ledger::topology(), ledger::config(), |broker| {
        ledger::create_topics(broker);
        ledger::produce(broker, 0..20);
    });
    life.until(|life| ledger::is_done(&life.broker));
    life.until_running();
    life.pass(Duration::from_secs(1));
    delete_topic(&life.broker, "ledger-words-changelog");
    create(&life.broker, "ledger-words-changelog", ledger::PARTITIONS);
    assert_names(
        &life.error(),
        &["changelog ledger-words-changelog was deleted and created anew", "reset the application"],
    );
}

#[test]
fn a_changelog_deleted_while_the_application_was_down_is_told_of_and_the_store_begins_anew() {
    let log = logged(|| {
        let mut life = Life::new(ledger::topology(), ledger::config(), |broker| {
            ledger::create_topics(broker);
            ledger::produce(broker, 0..20);
        });
        life.until(|life| ledger::is_done(&life.broker));
        life.stop();
        delete_topic(&life.broker, "ledger-words-changelog");
        life.restart();
        life.until_running();
    });
    assert_names(&log, &["ledger-words-changelog", "the store is rebuilt: its changelog was deleted and created anew"]);
}

/// The changelog of windows may be cut off from the front: its cleanup policy includes delete.
#[test]
fn a_changelog_cut_off_while_the_application_was_down_is_told_of_and_the_store_rebuilt() {
    let log = logged(|| {
        let mut life = Life::new(ledger::topology(), ledger::config(), |broker| {
            ledger::create_topics(broker);
            ledger::produce(broker, 0..20);
        });
        life.until(|life| ledger::is_done(&life.broker));
        life.stop();
        // Somebody else has gone on with the task and was at the end when it was cut off.
        write(&life.broker, "ledger-windows-changelog", std::iter::repeat_n([0_u8; 8], 40));
        let end =
            life.broker.end("ledger-windows-changelog", 0, millstream::broker::Isolation::ReadUncommitted).unwrap();
        delete_records(&life.broker, "ledger-windows-changelog", end.number());
        life.restart();
        life.until_running();
    });
    assert_names(&log, &["the store is rebuilt: its position", "is outside of the changelog"]);
}

/// The broker answers a commit before it has written all the control records that end the transaction. A store that counts
/// them is ahead of its changelog then, for a moment; it was rebuilt from nothing.
#[test]
fn a_store_that_is_ahead_of_a_late_control_record_is_not_rebuilt() {
    let log = logged(|| {
        let mut life = Life::new(ledger::topology(), ledger::config().workers(1), |broker| {
            ledger::create_topics(broker);
            ledger::produce(broker, 0..20);
            let turn = AtomicU64::new(0);
            // One in three, among them now and then that of the offsets, is written at once.
            broker.set_late_markers(move || {
                Duration::from_millis(if turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(3) { 0 } else { 4_000 })
            });
        });
        for (round, name) in ["b", "c", "d", "e", "f"].into_iter().enumerate() {
            life.until_running();
            let end = 40 + round as u64 * 20;
            ledger::produce(&life.broker, end - 20..end);
            life.until(|life| committed(&life.broker, "in") > end as i64 - 20);
            life.stop();
            // Committed, and perhaps not all of its control records written.
            life.restart_as(name);
        }
        life.until_running();
    });
    assert!(!log.contains("the store is rebuilt"), "{log}");
}
