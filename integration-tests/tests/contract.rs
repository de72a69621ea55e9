//! The contract of the broker seam, on the embedded broker and on a real Kafka.
//!
//! The real one is named by `MILLSTREAM_TEST_BOOTSTRAP=host:port`; without it this says so, and runs half.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use millstream::broker::Broker;
use millstream::broker::embedded::{EmbeddedBroker, EmbeddedSettings};
use millstream::broker::kafka::{KafkaBroker, KafkaSettings};
use millstream::clock::{Clock as _, SystemClock};
use millstream_integration_tests::contract::{self, Outcome, Scene};
use millstream_integration_tests::support::bootstrap;

type Check = fn(&Scene<'_>) -> Outcome;

fn on_embedded(name: &str, check: Check) {
    let settings = EmbeddedSettings { housekeeping_interval: Duration::from_millis(50) };
    let broker = EmbeddedBroker::with_settings(Arc::new(SystemClock::default()), settings);
    run(&broker, &format!("embedded-{name}"), check);
}

fn run(broker: &dyn Broker, prefix: &str, check: Check) {
    // Kafka's names have an end.
    let prefix: String = prefix.chars().take(180).collect();
    if let Err(error) = check(&Scene::new(broker, prefix)) {
        panic!("{error:?}");
    }
}

macro_rules! contract {
    ($($module:ident: $($name:ident),+ $(,)?;)+) => {
        mod embedded {
            $($(#[test] fn $name() { super::on_embedded(stringify!($name), super::contract::$module::$name) })+)+
        }
        mod kafka {
            $($(#[test] fn $name() { super::on_kafka(stringify!($name), super::contract::$module::$name) })+)+
        }
    };
}

contract! {
    records:
        records_of_a_partition_come_back_in_the_order_they_were_sent,
        keys_values_headers_and_timestamps_come_back_as_they_were_sent,
        a_record_without_a_timestamp_gets_the_present,
        producing_to_an_unknown_topic_is_an_error_that_names_it,
        producing_to_a_partition_that_does_not_exist_is_an_error;
    reading:
        records_that_arrive_wake_the_reader,
        a_drain_takes_no_more_than_it_is_asked_to,
        a_seek_drops_what_was_waiting,
        a_queue_learns_the_end_of_its_partition,
        the_position_passes_control_records_at_the_end_of_a_partition,
        a_position_behind_the_end_is_out_of_range;
    transactions:
        records_of_an_aborted_transaction_are_invisible_to_read_committed,
        interleaved_transactions_are_told_apart,
        an_open_transaction_holds_back_the_last_stable_offset,
        a_transaction_spans_partitions_and_topics,
        after_an_abort_the_producer_goes_on,
        an_empty_transaction_commits_and_aborts,
        a_transaction_begins_once_and_only_when_initialised,
        initialising_an_id_aborts_what_it_left_open,
        a_new_producer_with_the_same_transactional_id_fences_the_older_one;
    fencing:
        offsets_under_a_stale_ownership_are_refused,
        a_transaction_with_offsets_under_a_stale_ownership_cannot_commit,
        an_ownership_without_generation_or_member_is_refused_before_sending,
        a_second_process_with_the_same_instance_id_fences_the_first,
        an_owner_can_commit_until_it_acknowledges_the_revocation;
    offsets:
        committed_metadata_comes_back,
        a_fetch_of_offsets_waits_for_the_transaction_that_holds_them,
        an_assignment_waits_for_the_transaction_that_holds_its_offsets;
    groups:
        two_members_share_copartitioned_topics_alike,
        a_member_without_partitions_is_told_so,
        a_clean_leave_hands_partitions_over_at_once,
        a_static_member_that_returns_gets_its_partitions_without_a_rebalance,
        an_assigned_queue_is_idle_until_the_first_seek;
    retention:
        records_older_than_the_retention_are_deleted_however_new_they_are,
        deleted_records_are_out_of_range;
    topics:
        creating_a_topic_twice_changes_nothing,
        a_description_has_all_settings,
        a_topic_made_again_has_another_id,
        a_missing_topic_is_told_apart_from_an_empty_one,
        a_topic_that_cannot_be_is_refused_with_a_reason;
}

fn on_kafka(name: &str, check: Check) {
    static RUN: OnceLock<String> = OnceLock::new();
    let Some(bootstrap) = bootstrap() else { return };
    // Topics of earlier runs may still be there.
    let run_id = RUN.get_or_init(|| format!("{:x}", SystemClock::default().wall().millis()));
    match KafkaBroker::new(KafkaSettings::new(bootstrap)) {
        Ok(broker) => run(&broker, &format!("c{run_id}-{name}"), check),
        Err(error) => panic!("{error}"),
    }
}
