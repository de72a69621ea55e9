//! Disks that refuse and data that are damaged: a task's stores are opened again, or made anew, and nothing is counted wrong.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millstream::broker::embedded::EmbeddedBroker;
use millstream::broker::{Isolation, OutRecord};
use millstream::clock::SystemClock;
use millstream::config::MemoryLimits;
use millstream::operators::dsl::{Materialized, StreamsBuilder};
use millstream::operators::topology::Topology;
use millstream::state::engine::Fault;
use millstream::state::model::Headers;
use millstream::{State, Streams, StreamsConfig};
use millstream_integration_tests::sim::ledger;
use millstream_integration_tests::support::loader;

use crate::life::{LIMIT, Life, START, create};
use crate::logged::logged;

fn refusing(fault: Fault) {
    let log = logged(|| {
        let mut life = Life::new(ledger::topology(), ledger::config(), |broker| {
            ledger::create_topics(broker);
            ledger::produce(broker, 0..20);
        });
        life.until(|life| ledger::is_done(&life.broker));
        life.until_running();
        life.storage.inject(fault, 1);
        ledger::produce(&life.broker, 20..40);
        life.until(|life| !life.instance.troubles().is_empty());
        life.pass(Duration::from_secs(2));
        assert_eq!(life.instance.state(), State::Running, "{:?}", life.instance.error());
        life.storage.heal();
        life.until(|life| ledger::is_done(&life.broker) && life.instance.troubles().is_empty());
        // What is on disk is right as well: nothing is replayed, and the counts go on.
        ledger::produce(&life.broker, 40..50);
        life.until(|life| ledger::is_done(&life.broker));
        ledger::check_topics(&life.broker, 50, false).unwrap();
    });
    assert!(log.contains("have failed; it is closed and opened again"), "{log}");
}

#[test]
fn a_disk_that_is_full_for_a_while_closes_tasks_and_not_the_instance() {
    refusing(Fault::DiskFull);
}

#[test]
fn a_disk_that_is_read_only_for_a_while_closes_tasks_and_not_the_instance() {
    refusing(Fault::ReadOnly);
}

/// Values counted by themselves; no record cache, so that each is looked up.
fn counting() -> Topology {
    let builder = StreamsBuilder::new();
    let counts = builder.stream::<String, String>("in").group_by_key().count(Materialized::named("counts"));
    counts.to_stream().to("out");
    builder.build().unwrap()
}

const KEYS: usize = 5_000;

fn produce_each_key_once(broker: &EmbeddedBroker) {
    let mut producer = loader(broker).unwrap();
    let topic: Arc<str> = "in".into();
    for key in 0..KEYS {
        let key = format!("key {key:08}");
        let (key, value) = (Some(key.as_bytes()), Some(b"x".as_slice()));
        let record =
            OutRecord { topic: &topic, partition: 0, timestamp: Some(START), key, value, headers: &Headers::new() };
        assert!(producer.produce(record).unwrap());
    }
    assert!(matches!(producer.flush().poll(), Some(Ok(()))));
}

/// The last count of each key.
fn counts(broker: &EmbeddedBroker) -> BTreeMap<Vec<u8>, i64> {
    let records = broker.read_log("out", 0, Isolation::ReadCommitted).unwrap();
    let count = |value: &[u8]| i64::from_be_bytes(value.try_into().unwrap());
    records
        .iter()
        .map(|record| (record.key.clone().unwrap().to_vec(), count(record.value.as_deref().unwrap())))
        .collect()
}

/// Runs until each key has this count, and stops cleanly.
fn run_until_each_is(broker: &EmbeddedBroker, directory: &Path, rows: usize, count: i64) {
    let config = StreamsConfig::new("app", "embedded")
        .workers(1)
        .commit_interval(Duration::from_millis(100))
        .memory(MemoryLimits { rows, ..MemoryLimits::default() })
        .state_dir(directory);
    let mut streams = Streams::on(Arc::new(broker.clone()), counting(), config).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        streams.start().unwrap();
        let done = async {
            let mut look = tokio::time::interval(Duration::from_millis(20));
            while !streams.state().is_final() {
                let counts = counts(broker);
                if counts.len() == KEYS && counts.values().all(|n| *n == count) {
                    break;
                }
                look.tick().await;
            }
        };
        tokio::time::timeout(LIMIT, done).await.unwrap();
        streams.shutdown().await.unwrap();
    });
    let counts = counts(broker);
    assert!(counts.len() == KEYS && counts.values().all(|n| *n == count), "{:?}", counts.iter().next());
}

/// The files of a task whose names say so.
fn files(task: &Path, are: impl Fn(&str) -> bool) -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(task).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| are(&path.file_name().unwrap().to_string_lossy())).collect()
}

/// A count that was read from a damaged file, or lost with it, would go on from a wrong number. With memory for rows they are in
/// the journal, without they are in RocksDB's tables.
fn damaged(rows: usize, damage: impl Fn(&mut Vec<u8>)) {
    let broker = EmbeddedBroker::new(Arc::new(SystemClock::default()));
    create(&broker, "in", 1);
    create(&broker, "out", 1);
    let directory = tempfile::tempdir().unwrap();
    for count in 1..=3 {
        produce_each_key_once(&broker);
        run_until_each_is(&broker, directory.path(), rows, count);
        if count == 2 {
            let is = |name: &str| if rows > 0 { name.starts_with("journal-") } else { name.ends_with(".sst") };
            let files = files(&directory.path().join("app/tasks/0_0"), is);
            assert!(!files.is_empty());
            for file in files {
                let mut bytes = std::fs::read(&file).unwrap();
                damage(&mut bytes);
                std::fs::write(&file, bytes).unwrap();
            }
        }
    }
}

const ROWS: [usize; 2] = [0, 1 << 20];

#[test]
fn a_damaged_block_is_found_by_its_checksum_while_records_are_processed_and_the_store_made_anew() {
    // Somewhere in the first block of data, which is read when its keys are looked up; and in each row of a journal.
    damaged(0, |bytes| bytes[40] ^= 0x10);
    damaged(1 << 20, |bytes| {
        let keys = bytes.windows(4).enumerate().filter(|(_, bytes)| bytes == b"key ").map(|(at, _)| at);
        keys.collect::<Vec<_>>().into_iter().for_each(|at| bytes[at + 8] ^= 0x10);
    });
}

#[test]
fn damage_all_over_the_files_is_found_and_the_store_made_anew() {
    ROWS.iter().for_each(|&rows| damaged(rows, |bytes| bytes.iter_mut().step_by(97).for_each(|byte| *byte ^= 0xff)));
}

#[test]
fn a_file_that_was_cut_off_is_found_and_the_store_made_anew() {
    ROWS.iter().for_each(|&rows| damaged(rows, |bytes| bytes.truncate(bytes.len() / 2)));
}
