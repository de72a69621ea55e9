//! A workload whose right result is known: words counted per key over a repartition topic, and per window without one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream::StreamsConfig;
use millstream::broker::embedded::{EmbeddedBroker, LogRecord};
use millstream::broker::{Broker, Isolation, NewTopic, OutRecord};
use millstream::operators::dsl::{Materialized, StreamsBuilder, TimeWindows};
use millstream::operators::topology::Topology;
use millstream::partitioner::partition_of;
use millstream::state::engine::Storage;
use millstream::state::model::{Headers, Timestamp, TopicPartition};
use millstream::state::store::{StoreId, TaskStores};

use super::{START, Simulation};
use crate::support::{built, loader};

/// The application's id.
pub const APP: &str = "ledger";
/// Partitions of every topic.
pub const PARTITIONS: i32 = 2;
/// The length of a window in milliseconds.
const WINDOW: i64 = 10_000;

/// `in` → count per word (through a repartition topic) → `words`; count per key and window → `windows`.
///
/// # Panics
/// If the topology does not build.
pub fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let lines = builder.stream::<String, String>("in");
    lines.group_by(|_, word| word.clone()).count(Materialized::named("words")).to_stream().to("words");
    let windows = TimeWindows::of_size_and_grace(Duration::from_millis(WINDOW as u64), Duration::from_secs(3600));
    lines.group_by_key().windowed_by(windows).count(Materialized::named("windows")).to_stream().to("windows");
    built(&builder)
}

/// Settings with short time-outs.
pub fn config() -> StreamsConfig {
    StreamsConfig::new(APP, "simulated")
        .workers(2)
        .commit_interval(Duration::from_millis(100))
        .session_timeout(Duration::from_secs(6))
        .startup_timeout(Duration::from_secs(20))
}

/// The topics that the user of the application would have created.
///
/// # Panics
/// If a ticket of the embedded broker is not answered at once.
pub fn create_topics(broker: &EmbeddedBroker) {
    let topic = |name: &str| NewTopic {
        name: name.into(),
        partitions: PARTITIONS,
        replication: None,
        config: BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]),
    };
    let created = broker.admin().create_topics(["in", "words", "windows"].map(topic).into()).poll();
    assert!(matches!(created, Some(Ok(_))), "{created:?}");
}

/// The `index`th input: key, word, timestamp.
fn input(index: u64) -> (String, String, Timestamp) {
    let key = format!("k{}", index % 5);
    let word = format!("w{}", (index * 7 + index / 3) % 4);
    (key, word, Timestamp::from_millis(START.millis() + (index as i64) * 1_300))
}

/// Writes inputs with these numbers.
///
/// # Panics
/// If the embedded broker refuses.
#[allow(clippy::expect_used, reason = "test support: a refused input is a failed test")]
pub fn produce(broker: &EmbeddedBroker, numbers: std::ops::Range<u64>) {
    // Proof for both: the embedded broker refuses no producer without transactions, and no record for a partition that is
    // there, unless it was given faults, which this handle has none of.
    let mut producer = loader(broker).expect("a producer");
    let topic: Arc<str> = "in".into();
    for number in numbers {
        let (key, word, timestamp) = input(number);
        let record = OutRecord {
            topic: &topic,
            partition: partition_of(key.as_bytes(), PARTITIONS),
            timestamp: Some(timestamp),
            key: Some(key.as_bytes()),
            value: Some(word.as_bytes()),
            headers: &Headers::new(),
        };
        assert!(producer.produce(record).expect("a record that is taken"));
    }
    assert!(matches!(producer.flush().poll(), Some(Ok(()))));
}

/// Whether everything that was written is processed and committed, topic by topic.
pub fn is_done(broker: &EmbeddedBroker) -> bool {
    let committed = broker.group_offsets(APP);
    let topics = ["in".to_owned(), repartition_topic()];
    let behind = topics.iter().any(|topic| {
        (0..PARTITIONS).any(|partition| {
            let Ok(end) = broker.end(topic, partition, Isolation::ReadUncommitted) else { return true };
            let at = committed.get(&TopicPartition::new(topic.as_str(), partition));
            at.map_or(end.number() > 0, |committed| committed.position < end)
        })
    });
    !behind && broker.open_transactions().is_empty()
}

fn repartition_topic() -> String {
    let topology = topology();
    let repartition = topology.sub_topologies().iter().flat_map(|sub| &sub.spec().repartitions).next();
    repartition.map(|repartition| repartition.topic.full_name(APP).to_string()).unwrap_or_default()
}

fn read(broker: &EmbeddedBroker, topic: &str) -> Vec<LogRecord> {
    (0..PARTITIONS)
        .flat_map(|partition| broker.read_log(topic, partition, Isolation::ReadCommitted).unwrap_or_default())
        .collect()
}

/// Counts by key bytes.
pub type Table = BTreeMap<Vec<u8>, i64>;

fn count(bytes: &[u8]) -> i64 {
    i64::from_be_bytes(bytes.try_into().unwrap_or_default())
}

/// Last values per key, after checking that each key's values only ever grow, one by one if `each`.
fn table(records: &[LogRecord], what: &str, each: bool) -> Result<Table, String> {
    let mut table = Table::new();
    for record in records {
        let (Some(key), Some(value)) = (&record.key, &record.value) else {
            return Err(format!("{what}: null at offset {}", record.offset));
        };
        let value = count(value);
        let before = table.insert(key.to_vec(), value).unwrap_or(0);
        let right = if each { value == before + 1 } else { value > before };
        if !right {
            return Err(format!(
                "{what}: {} goes from {before} to {value} at offset {}",
                key.escape_ascii(),
                record.offset
            ));
        }
    }
    Ok(table)
}

fn expected(inputs: u64) -> (Table, Table) {
    let (mut words, mut windows) = (Table::new(), Table::new());
    for (key, word, timestamp) in (0..inputs).map(input) {
        *words.entry(word.into_bytes()).or_default() += 1;
        let mut window = key.into_bytes();
        window.extend((timestamp.millis() / WINDOW * WINDOW).to_be_bytes());
        *windows.entry(window).or_default() += 1;
    }
    (words, windows)
}

/// Compares outputs, changelogs and stores with what `inputs` inputs must give. All processes must have stopped.
///
/// # Errors
/// The first difference.
pub fn check(simulation: &Simulation, processes: usize, inputs: u64, each: bool) -> Result<(), String> {
    let (words, windows) = check_topics(&simulation.broker, inputs, each)?;
    let (mut in_words, mut in_windows) = (Table::new(), Table::new());
    for partition in 0..PARTITIONS {
        let owner = |task: &str| latest(simulation, processes, task);
        collect(&mut owner(&format!("1_{partition}"))?, "words", &mut in_words)?;
        collect(&mut owner(&format!("0_{partition}"))?, "windows", &mut in_windows)?;
    }
    differ("store words", &in_words, &words)?;
    differ("store windows", &in_windows, &windows)
}

fn differ(what: &str, found: &Table, wanted: &Table) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("{what}: found {found:?}, expected {wanted:?}")) }
}

/// Compares outputs and changelogs with what `inputs` inputs must give; answers what the stores must hold.
///
/// # Errors
/// The first difference.
pub fn check_topics(broker: &EmbeddedBroker, inputs: u64, each: bool) -> Result<(Table, Table), String> {
    let (words, windows) = expected(inputs);
    differ("topic words", &table(&read(broker, "words"), "topic words", each)?, &words)?;
    differ("topic windows", &table(&read(broker, "windows"), "topic windows", each)?, &windows)?;
    differ("changelog of words", &table(&read(broker, "ledger-words-changelog"), "changelog of words", each)?, &words)?;
    // Keys of a window store end in a sequence number, which is zero here.
    let with_sequence = |(key, value): (&Vec<u8>, &i64)| ([key.as_slice(), &[0; 4]].concat(), *value);
    let stored_windows: Table = windows.iter().map(with_sequence).collect();
    let changelog = table(&read(broker, "ledger-windows-changelog"), "changelog of windows", each)?;
    differ("changelog of windows", &changelog, &stored_windows)?;
    Ok((words, stored_windows))
}

/// The stores of a task at the process that was the last to commit it.
fn latest(simulation: &Simulation, processes: usize, task: &str) -> Result<TaskStores, String> {
    let mut best: Option<(i64, TaskStores)> = None;
    let topology = topology();
    let sub: usize = task.split('_').next().and_then(|sub| sub.parse().ok()).unwrap_or_default();
    let specs = &topology.sub_topologies()[sub].spec().stores;
    for process in 0..processes {
        let storage = simulation.storage(process);
        if !storage.tasks().map_err(|error| error.to_string())?.iter().any(|name| name == task) {
            continue;
        }
        let engine = storage.open(task).map_err(|error| error.to_string())?;
        let stores = TaskStores::open(specs, engine).map_err(|error| error.to_string())?;
        let position = stores.mark(StoreId(0)).map_or(-1, |mark| mark.position.number());
        if best.as_ref().is_none_or(|(most, _)| position > *most) {
            best = Some((position, stores));
        }
    }
    best.map(|(_, stores)| stores).ok_or_else(|| format!("nobody has task {task}"))
}

fn collect(stores: &mut TaskStores, name: &str, into: &mut Table) -> Result<(), String> {
    use std::ops::Bound::Unbounded;
    let store = stores.id(name).ok_or_else(|| format!("there is no store {name}"))?;
    let text = |error: millstream::state::error::StateError| error.to_string();
    let direction = millstream::state::engine::Direction::Forward;
    let scan = if name == "windows" {
        let all = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));
        stores.window_fetch_all(store, all, direction).map_err(text)?
    } else {
        stores.scan(store, (Unbounded, Unbounded), direction).map_err(text)?
    };
    for entry in scan {
        let (key, value) = entry.map_err(text)?;
        // A timestamped value begins with its timestamp.
        into.insert(key.to_vec(), count(value.get(8..).unwrap_or_default()));
    }
    Ok(())
}
