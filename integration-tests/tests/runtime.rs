//! What a user sees of a running instance: states, metrics, log lines, and what is left behind on the broker.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a helper fails the test")]

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use millstream::broker::embedded::EmbeddedBroker;
use millstream::broker::{Broker, NewTopic};
use millstream::clock::SystemClock;
use millstream::operators::dsl::StreamsBuilder;
use millstream::state::model::{Position, TopicPartition};
use millstream::{State, Streams};
use millstream_integration_tests::sim::{Plan, Simulation, ledger};

const LIMIT: Duration = Duration::from_secs(120);

fn loaded(inputs: u64) -> Simulation {
    let sim = Simulation::new(ledger::topology(), ledger::config());
    ledger::create_topics(&sim.broker);
    ledger::produce(&sim.broker, 0..inputs);
    sim
}

fn finish(sim: &mut Simulation, process: usize) {
    assert!(sim.run_until(LIMIT, |sim| ledger::is_done(&sim.broker)), "{:?}", sim.error(process));
}

/// Counters by name, summed over their labels; gauges and histograms by their number.
fn measured(snapshotter: &Snapshotter) -> BTreeMap<String, u64> {
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let amount = match value {
            DebugValue::Counter(count) => count,
            DebugValue::Gauge(_) => 1,
            DebugValue::Histogram(samples) => samples.len() as u64,
        };
        *found.entry(key.key().name().to_owned()).or_default() += amount;
    }
    found
}

#[test]
fn processed_committed_lag_and_restore_are_measured() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        let mut sim = loaded(40);
        let process = sim.start("a", Plan::Nothing);
        finish(&mut sim, process);
        let until = sim.now().monotonic.after(Duration::from_secs(1));
        assert!(sim.run_until(LIMIT, |sim| sim.now().monotonic > until));
    });
    let found = measured(&snapshotter);
    // 40 inputs, and 40 records of the repartition topic.
    assert_eq!(found.get("millstream_processed_records_total"), Some(&80), "{found:?}");
    for name in ["millstream_commits_total", "millstream_commit_seconds", "millstream_lag_records"] {
        assert!(found.get(name).is_some_and(|amount| *amount > 0), "{name} in {found:?}");
    }
    assert!(found.contains_key("millstream_restore_remaining_records"), "{found:?}");
}

#[test]
fn a_killed_process_replays_only_what_its_last_write_missed() {
    let mut sim = loaded(40);
    let process = sim.start("a", Plan::Nothing);
    finish(&mut sim, process);
    sim.kill(process);
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        sim.restart(process);
        assert!(sim.run_until(LIMIT, |sim| sim.state(process) == Some(State::Running)));
    });
    let found = measured(&snapshotter);
    assert_eq!(found.get("millstream_restored_records_total").copied().unwrap_or(0), 0, "{found:?}");
}

#[test]
fn processed_records_of_repartition_topics_are_deleted_and_those_of_sources_never() {
    let mut sim = loaded(40);
    let process = sim.start("a", Plan::Nothing);
    finish(&mut sim, process);
    let repartition = sim.broker.topics().into_iter().find(|topic| topic.ends_with("-repartition")).unwrap();
    let starts = |sim: &Simulation, topic: &str| {
        let partitions = (0..ledger::PARTITIONS).map(|partition| TopicPartition::new(topic, partition)).collect();
        sim.broker.admin().start_positions(partitions).poll().unwrap().unwrap()
    };
    let deleted = |sim: &mut Simulation| {
        let ends = (0..ledger::PARTITIONS).map(|partition| {
            sim.broker.end(&repartition, partition, millstream::broker::Isolation::ReadUncommitted).unwrap()
        });
        starts(sim, &repartition).into_iter().eq(ends)
    };
    assert!(sim.run_until(LIMIT, deleted), "{:?}", starts(&sim, &repartition));
    assert!(starts(&sim, "in").iter().all(|start| *start == Position::START));
}

#[test]
fn a_broker_that_does_not_answer_cannot_keep_a_process_from_stopping() {
    let mut sim = loaded(40);
    let process = sim.start("a", Plan::Nothing);
    assert!(sim.run_until(LIMIT, |sim| sim.state(process) == Some(State::Running)));
    sim.effects(process).go_silent();
    sim.shut_down(process);
    assert!(sim.run_until(LIMIT, |sim| sim.has_stopped(process)), "{:?}", sim.state(process));
    // The next one finds everything as after a crash.
    sim.kill(process);
    sim.restart(process);
    finish(&mut sim, process);
    ledger::check_topics(&sim.broker, 40, false).unwrap();
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn logged(run: impl FnOnce()) -> String {
    let lines = Lines::default();
    let sink = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || sink.clone()).finish();
    tracing::subscriber::with_default(subscriber, run);
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn records_older_than_the_retention_of_their_topic_are_warned_of_once() {
    let log = logged(|| {
        let builder = StreamsBuilder::new();
        builder.stream::<String, String>("in").to("short");
        let mut sim = Simulation::new(builder.build().unwrap(), ledger::config());
        ledger::create_topics(&sim.broker);
        let config = BTreeMap::from([("retention.ms".to_owned(), "60000".to_owned())]);
        let short = NewTopic { name: "short".into(), partitions: 1, replication: None, config };
        assert!(matches!(sim.broker.admin().create_topics(vec![short]).poll(), Some(Ok(_))));
        ledger::produce(&sim.broker, 0..10);
        sim.clock.advance(Duration::from_secs(3600));
        let process = sim.start("a", Plan::Nothing);
        let done = |sim: &mut Simulation| {
            let committed = sim.broker.group_offsets(ledger::APP);
            committed.values().map(|committed| committed.position.number()).sum::<i64>() == 10
        };
        assert!(sim.run_until(LIMIT, done), "{:?}", sim.error(process));
    });
    // One warning for each task that writes there.
    let warnings = log.lines().filter(|line| line.contains("older than its retention.ms")).count();
    assert!((1..=ledger::PARTITIONS as usize).contains(&warnings), "{log}");
    assert!(log.contains("short") && log.contains("set retention.ms=-1"), "{log}");
}

#[test]
fn the_log_of_a_start_tells_what_is_going_on() {
    let log = logged(|| {
        let mut sim = loaded(10);
        let process = sim.start("a", Plan::Nothing);
        finish(&mut sim, process);
    });
    for line in
        ["ledger: CREATED → REBALANCING", "created internal topic", "assigned 4 tasks: 0_0", "REBALANCING → RUNNING"]
    {
        assert!(log.contains(line), "{line:?} is missing in:\n{log}");
    }
}

fn on_threads(broker: &EmbeddedBroker, directory: &std::path::Path) -> Streams {
    let config = ledger::config().state_dir(directory);
    Streams::on(Arc::new(broker.clone()), ledger::topology(), config).unwrap()
}

#[tokio::test]
async fn an_instance_on_threads_and_rocksdb_goes_through_its_states_and_back() {
    let broker = EmbeddedBroker::new(Arc::new(SystemClock::default()));
    ledger::create_topics(&broker);
    ledger::produce(&broker, 0..40);
    let directory = tempfile::tempdir().unwrap();
    for _life in 0..2 {
        let mut streams = on_threads(&broker, directory.path());
        assert_eq!(streams.state(), State::Created);
        let seen: Arc<Mutex<Vec<State>>> = Arc::default();
        let listener = seen.clone();
        streams.on_state_change(move |_, new| listener.lock().unwrap().push(new));
        streams.start().unwrap();
        assert_eq!(streams.wait_for(|state| state == State::Running).await, State::Running);
        let drained = async {
            let mut look = tokio::time::interval(Duration::from_millis(5));
            while !ledger::is_done(&broker) {
                look.tick().await;
            }
        };
        tokio::time::timeout(LIMIT, drained).await.unwrap();
        streams.shutdown().await.unwrap();
        let states = seen.lock().unwrap().clone();
        assert_eq!(
            states,
            [State::Rebalancing, State::Running, State::PendingShutdown, State::NotRunning],
            "each state once, in order"
        );
    }
    ledger::check_topics(&broker, 40, false).unwrap();
}

#[tokio::test]
async fn a_worker_stuck_in_user_code_is_noticed_and_its_tasks_are_given_up() {
    let broker = EmbeddedBroker::new(Arc::new(SystemClock::default()));
    ledger::create_topics(&broker);
    ledger::produce(&broker, 0..5);
    let (free, stuck) = std::sync::mpsc::sync_channel::<()>(0);
    let stuck = Mutex::new(stuck);
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").for_each(move |_, _| {
        let _ = stuck.lock().unwrap().recv();
    });
    let directory = tempfile::tempdir().unwrap();
    let short = Duration::from_millis(400);
    let config = ledger::config().session_timeout(short).max_poll_interval(short).state_dir(directory.path());
    let mut streams = Streams::on(Arc::new(broker.clone()), builder.build().unwrap(), config).unwrap();
    streams.start().unwrap();
    let error = tokio::time::timeout(LIMIT, streams.join()).await.unwrap().unwrap_err().to_string();
    assert!(error.contains("has made no progress") && error.contains("max_poll_interval"), "{error}");
    assert_eq!(streams.state(), State::Error);
    drop(free);
}

#[tokio::test]
async fn a_panic_in_user_code_ends_the_instance_with_its_message() {
    let broker = EmbeddedBroker::new(Arc::new(SystemClock::default()));
    ledger::create_topics(&broker);
    ledger::produce(&broker, 0..5);
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").for_each(|_, _| panic!("the user's own bug"));
    let directory = tempfile::tempdir().unwrap();
    let config = ledger::config().state_dir(directory.path());
    let mut streams = Streams::on(Arc::new(broker.clone()), builder.build().unwrap(), config).unwrap();
    streams.start().unwrap();
    let error = tokio::time::timeout(LIMIT, streams.join()).await.unwrap().unwrap_err().to_string();
    assert!(error.contains("panicked") && error.contains("the user's own bug"), "{error}");
    assert_eq!(streams.state(), State::Error);
    assert!(broker.group_offsets(ledger::APP).values().all(|committed| committed.position == Position::START));
}
