//! Processors of the user's own on the runtime: timers, commits on request, refusals, and state over crashes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a helper fails the test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream::StreamsConfig;
use millstream::broker::embedded::EmbeddedBroker;
use millstream::broker::{Broker, Isolation, NewTopic, OutRecord};
use millstream::operators::dsl::StreamsBuilder;
use millstream::operators::processor::{
    KeyValueStore, Outcome, Processor, ProcessorContext, Punctuation, Stores, Timer,
};
use millstream::operators::push::Record;
use millstream::operators::topology::Topology;
use millstream::state::model::{Headers, Timestamp};
use millstream::task::ProcessingHandler;
use millstream_integration_tests::sim::{Plan, START, Simulation};
use millstream_integration_tests::support::loader;

const LIMIT: Duration = Duration::from_secs(120);

fn create(broker: &EmbeddedBroker, names: &[&str], partitions: i32) {
    let config = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
    let topics = names.iter().map(|name| NewTopic {
        name: (*name).into(),
        partitions,
        replication: None,
        config: config.clone(),
    });
    assert!(matches!(broker.admin().create_topics(topics.collect()).poll(), Some(Ok(_))));
}

fn write(broker: &EmbeddedBroker, topic: &str, partition: i32, records: &[(&str, &str)]) {
    let mut producer = loader(broker).unwrap();
    let topic: Arc<str> = topic.into();
    for (key, value) in records {
        let record = OutRecord {
            topic: &topic,
            partition,
            timestamp: Some(START),
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: &Headers::new(),
        };
        assert!(producer.produce(record).unwrap());
    }
    assert!(matches!(producer.flush().poll(), Some(Ok(()))));
}

/// What is committed in a partition of a topic, as texts.
fn committed(broker: &EmbeddedBroker, topic: &str) -> Vec<(String, String)> {
    let text = |bytes: Option<bytes::Bytes>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
    let records = broker.read_log(topic, 0, Isolation::ReadCommitted).unwrap_or_default();
    records.into_iter().map(|record| (text(record.key), text(record.value))).collect()
}

fn config() -> StreamsConfig {
    StreamsConfig::new("app", "simulated").workers(1).commit_interval(Duration::from_millis(100))
}

/// Counts its own ticks in a store, a second of wall-clock time each; records do nothing.
struct Ticking(KeyValueStore<String, i64>);

impl Processor<String, String, String, String> for Ticking {
    fn init(&mut self, cx: &mut ProcessorContext<'_, String, String>) -> Outcome {
        cx.schedule(Duration::from_secs(1), Punctuation::WallClock);
        Ok(())
    }

    fn process(&mut self, _: &mut ProcessorContext<'_, String, String>, _: Record<'_, String, String>) -> Outcome {
        Ok(())
    }

    fn punctuate(&mut self, cx: &mut ProcessorContext<'_, String, String>, _: Timer, now: Timestamp) -> Outcome {
        let key = "ticks".to_owned();
        let ticks = self.0.get(cx, &key)?.unwrap_or(0) + 1;
        self.0.put(cx, &key, ticks)?;
        cx.forward(Record::new(&key, &ticks.to_string(), now))
    }
}

fn ticking() -> Topology {
    let builder = StreamsBuilder::new();
    let store = builder.add_state_store(Stores::key_value::<String, i64>("ticks"));
    builder.stream::<String, String>("in").process(&store, Ticking).to("out");
    builder.build().unwrap()
}

#[test]
fn what_a_wall_clock_timer_writes_is_committed_though_no_record_ever_came() {
    let mut sim = Simulation::new(ticking(), config());
    create(&sim.broker, &["in", "out"], 1);
    let process = sim.start("a", Plan::Nothing);
    assert!(sim.run_until(LIMIT, |sim| committed(&sim.broker, "out").len() >= 3), "{:?}", sim.error(process));
    let ticks: Vec<String> = committed(&sim.broker, "out").into_iter().map(|(_, value)| value).collect();
    assert_eq!(ticks[..3], ["1", "2", "3"]);
    assert!(committed(&sim.broker, "app-ticks-changelog").len() >= 3);
}

#[test]
fn ticks_go_on_counting_over_crashes_wherever_they_happen() {
    for effect in (20..320).step_by(23) {
        let mut sim = Simulation::new(ticking(), config());
        create(&sim.broker, &["in", "out"], 1);
        let process = sim.start("a", Plan::CrashBefore(effect));
        let enough = |sim: &mut Simulation| committed(&sim.broker, "out").len() >= 8;
        assert!(sim.run_until(LIMIT, enough), "effect {effect}: {:?}", sim.error(process));
        let numbers: Vec<usize> =
            committed(&sim.broker, "out").into_iter().map(|(_, value)| value.parse().unwrap()).collect();
        let expected: Vec<usize> = (1..=numbers.len()).collect();
        assert_eq!(numbers, expected, "effect {effect}");
    }
}

#[test]
fn a_commit_that_a_processor_asks_for_comes_long_before_the_interval() {
    let builder = StreamsBuilder::new();
    let ask = |cx: &mut ProcessorContext<'_, String, String>, record: Record<'_, String, String>| -> Outcome {
        if record.value == "now" {
            cx.commit();
        }
        cx.forward(record)
    };
    builder.stream::<String, String>("in").process((), move |()| ask).to("out");
    let slow = config()
        .processing_guarantee(millstream::config::Guarantee::ExactlyOnce {
            transaction_timeout: Duration::from_secs(4 * 3600),
        })
        .commit_interval(Duration::from_secs(3600));
    let mut sim = Simulation::new(builder.build().unwrap(), slow);
    create(&sim.broker, &["in", "out"], 1);
    write(&sim.broker, "in", 0, &[("k", "later"), ("k", "now")]);
    let process = sim.start("a", Plan::Nothing);
    assert!(sim.run_until(LIMIT, |sim| committed(&sim.broker, "out").len() == 2), "{:?}", sim.error(process));
}

#[test]
fn a_refused_record_stops_the_application_is_skipped_or_goes_to_the_dead_letters() {
    let run = |handler: ProcessingHandler| {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, String>("in");
        stream.try_map_values(|value| value.parse::<i64>()).map_values(ToString::to_string).to("out");
        stream.to("all");
        let mut sim = Simulation::new(builder.build().unwrap(), config().on_refused(handler));
        create(&sim.broker, &["in", "out", "all", "dead"], 1);
        write(&sim.broker, "in", 0, &[("a", "1"), ("b", "x"), ("c", "2")]);
        let process = sim.start("a", Plan::Nothing);
        let done = |sim: &mut Simulation| committed(&sim.broker, "out").len() == 2 || sim.has_stopped(process);
        assert!(sim.run_until(LIMIT, done));
        (sim, process)
    };
    let (sim, process) = run(ProcessingHandler::Fail);
    let error = sim.error(process).unwrap();
    for part in ["topic in", "partition 0", "offset 1", "KSTREAM-MAPVALUES-0000000001", "invalid digit"] {
        assert!(error.contains(part), "{part:?} is missing in: {error}");
    }
    let (sim, _) = run(ProcessingHandler::Skip);
    assert_eq!(committed(&sim.broker, "all").len(), 3, "the other branch has them all");
    let (sim, _) = run(ProcessingHandler::DeadLetter("dead".into()));
    assert_eq!(committed(&sim.broker, "dead"), [("b".to_owned(), "x".to_owned())]);
    let dead = sim.broker.read_log("dead", 0, Isolation::ReadCommitted).unwrap();
    let header = |name: &str| {
        let value = dead[0].headers.last(name).and_then(|header| header.value.clone()).unwrap_or_default();
        String::from_utf8(value.to_vec()).unwrap()
    };
    assert_eq!(header("__streams.errors.offset"), "1");
    assert_eq!(header("__streams.errors.node"), "KSTREAM-MAPVALUES-0000000001");
}

#[test]
fn a_processor_that_forwards_to_a_child_it_does_not_have_is_told_which_there_are() {
    let builder = StreamsBuilder::new();
    let astray = |cx: &mut ProcessorContext<'_, String, String>, record: Record<'_, String, String>| -> Outcome {
        cx.forward_to("nobody", record)
    };
    builder.stream::<String, String>("in").process((), move |()| astray).to("out");
    let mut sim = Simulation::new(builder.build().unwrap(), config());
    create(&sim.broker, &["in", "out"], 1);
    write(&sim.broker, "in", 0, &[("k", "v")]);
    let process = sim.start("a", Plan::Nothing);
    assert!(sim.run_until(LIMIT, |sim| sim.has_stopped(process)));
    let error = sim.error(process).unwrap();
    assert!(error.contains("nobody") && error.contains("KSTREAM-SINK-0000000002"), "{error}");
}
