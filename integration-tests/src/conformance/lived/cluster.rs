//! One application on an embedded broker, stepped in one thread by a clock that stands still unless the vector moves it.
//!
//! ```text
//!  step of a run → loader → input topics → Instance (controller, workers, tasks) → output, changelog, repartition topics
//!                                               └ stepped until nothing moves and no transaction is open
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use millstream::StreamsConfig;
use millstream::broker::embedded::{EmbeddedBroker, LogRecord};
use millstream::broker::{Broker, Isolation, NewTopic, OutRecord, Producer, Wake};
use millstream::clock::{Clock, ManualClock};
use millstream::instance::{Instance, Parts, State, Who};
use millstream::operators::topology::{SubTopology, TopicRef, Topology};
use millstream::state::engine::Storage;
use millstream::state::model::{RawRecord, Timestamp};
use millstream::task::Now;
use millstream::testing::RawTestRecord;
use millstream::worker::Step;

use super::super::compare::{Played, Written};
use super::super::vector::CaseFile;
use super::offsets;
use super::steps::{self, Logs};
use crate::support::loader;

/// How many steps an instance may take until it rests; far beyond what any vector needs.
const PATIENCE: usize = 100_000;

/// Longer than any vector's wall clock runs.
const NEVER: Duration = Duration::from_secs(1_000_000_000);

/// An application with its cluster.
pub(super) struct Cluster {
    pub(super) broker: EmbeddedBroker,
    clock: ManualClock,
    loader: Box<dyn Producer>,
    topology: Arc<Topology>,
    config: StreamsConfig,
    storage: Arc<dyn Storage>,
    instance: Option<Instance>,
    starts: u64,
    /// What the vector wrote, and where each partition ended after each step; the records stay with the broker.
    noted: Logs,
}

impl Cluster {
    /// The topics of a case, empty, and its application, started and resting.
    pub(super) fn start(
        file: &CaseFile,
        topology: Topology,
        storage: Arc<dyn Storage>,
        (partitions, workers): (i32, usize),
    ) -> Result<Self> {
        let clock = ManualClock::starting_at(Timestamp::from_millis(0));
        let broker = EmbeddedBroker::new(Arc::new(clock.clone()));
        create(&broker, &externals(file, &topology), partitions)?;
        let loader = loader(&broker)?;
        let config = config(file, workers)?;
        let mut cluster = Self {
            broker,
            clock,
            loader,
            topology: Arc::new(topology),
            config,
            storage,
            instance: None,
            starts: 0,
            noted: Logs::default(),
        };
        cluster.boot()?;
        Ok(cluster)
    }

    fn boot(&mut self) -> Result<()> {
        self.starts += 1;
        let parts = Parts {
            topology: self.topology.clone(),
            config: self.config.clone(),
            broker: Arc::new(self.broker.for_client("a")),
            storage: self.storage.clone(),
            who: Who { name: "a".into(), workers_ever: self.config.workers, nonce: self.starts },
        };
        self.instance = Some(Instance::new(&parts, &Wake::nobody())?);
        self.settle()?;
        match (self.error(), self.instance.as_ref().map(Instance::state)) {
            (Some(error), _) => bail!("the instance does not start: {error}"),
            (None, Some(State::Running)) => Ok(()),
            (None, state) => bail!("the instance rests in {state:?} after its start"),
        }
    }

    /// Steps the instance until nothing moves any more and everything is committed.
    fn settle(&mut self) -> Result<()> {
        let now = Now { monotonic: self.clock.monotonic(), wall: self.clock.wall() };
        let Some(instance) = &mut self.instance else { return Ok(()) };
        let mut quiet = 0;
        for _ in 0..PATIENCE {
            match instance.step(now) {
                Step::Progress => quiet = 0,
                Step::WaitUntil(_) => quiet += 1,
                Step::Stopped => return Ok(()),
            }
            if quiet > 1 && self.broker.open_transactions().is_empty() {
                return Ok(());
            }
        }
        bail!("the instance does not come to rest")
    }

    /// Why the instance stopped, if it did.
    pub(super) fn error(&self) -> Option<String> {
        self.instance.as_ref().and_then(Instance::error).map(|error| error.to_string())
    }

    /// Writes a record to an input topic and lets the application do what follows from it.
    pub(super) fn pipe(&mut self, topic: &str, partition: i32, record: &RawTestRecord) -> Result<()> {
        let topic: Arc<str> = topic.into();
        let offset = self.broker.end(&topic, partition, Isolation::ReadUncommitted)?.number();
        let out = OutRecord {
            topic: &topic,
            partition,
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &record.headers,
        };
        if !self.loader.produce(out)? {
            bail!("the embedded broker took no record for {topic}");
        }
        self.noted.piped.insert((topic, partition, offset));
        self.settle()
    }

    /// Moves the wall clock and lets the application do what is due.
    pub(super) fn advance(&mut self, millis: i64) -> Result<()> {
        self.clock.advance(Duration::from_millis(u64::try_from(millis)?));
        self.broker.tick();
        self.settle()
    }

    /// Notes how far each topic has come, as at the end of a step.
    pub(super) fn note_step(&mut self) {
        let mut ends = BTreeMap::new();
        for topic in self.broker.topics() {
            for partition in 0.. {
                let Ok(end) = self.broker.end(&topic, partition, Isolation::ReadCommitted) else { break };
                ends.insert((topic.clone(), partition), end.number());
            }
        }
        self.noted.ends.push(ends);
    }

    /// Stops the application as it should be stopped.
    pub(super) fn stop(&mut self) -> Result<()> {
        if let Some(instance) = &mut self.instance {
            instance.shut_down();
        }
        self.settle()?;
        let state = self.instance.as_ref().map(Instance::state);
        self.instance = None;
        match state {
            Some(State::NotRunning) | None => Ok(()),
            Some(state) => bail!("the instance ends as {state}"),
        }
    }

    /// Stops the application and starts it again, with another disk if one is given.
    pub(super) fn restart(&mut self, disk: Option<Arc<dyn Storage>>) -> Result<()> {
        self.stop()?;
        if let Some(disk) = disk {
            self.storage = disk;
        }
        self.boot()
    }

    /// The disk that the application has now.
    pub(super) fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    /// All that is in the topics.
    pub(super) fn logs(&self) -> Logs {
        let mut records = BTreeMap::new();
        for topic in self.broker.topics() {
            for partition in 0.. {
                let Ok(read) = self.broker.read_log(&topic, partition, Isolation::ReadCommitted) else { break };
                let shown = read.iter().map(|record| (record.offset.number(), shown(record))).collect();
                records.insert((topic.clone(), partition), shown);
            }
        }
        Logs { records, piped: self.noted.piped.clone(), ends: self.noted.ends.clone() }
    }

    /// All that the application has written, step by step.
    pub(super) fn played(&self) -> Played {
        self.logs().played(&offsets::changelogs(&self.config.application_id, &self.topology))
    }
}

fn shown(record: &LogRecord) -> Written {
    steps::written(&RawRecord {
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: &record.headers,
    })
}

/// The settings under which the runtime does what the driver of the reference does: a commit follows whatever was done.
pub(super) fn config(file: &CaseFile, workers: usize) -> Result<StreamsConfig> {
    let id = file.config.get("application.id").and_then(serde_json::Value::as_str);
    let id = id.ok_or_else(|| anyhow!("config has no application.id"))?;
    let mut config = StreamsConfig::new(id, "embedded").workers(workers).commit_interval(Duration::ZERO);
    config.memory.record_cache = file.cache_max_bytes().saturating_mul(workers);
    config.repartition_purge_interval = NEVER;
    config.max_poll_interval = NEVER;
    config.session_timeout = NEVER;
    Ok(config)
}

/// The topics that must be there before the application starts.
pub(super) fn externals(file: &CaseFile, topology: &Topology) -> BTreeSet<Arc<str>> {
    let mut names: BTreeSet<Arc<str>> =
        file.inputs.iter().chain(&file.sinks).map(|types| types.topic.as_str().into()).collect();
    for spec in topology.sub_topologies().iter().chain(topology.global()).map(SubTopology::spec) {
        let topics = spec.sources.iter().flat_map(|source| &source.topics);
        let topics = topics.chain(spec.sinks.iter().filter_map(|sink| sink.topic.as_ref()));
        names.extend(topics.filter_map(|topic| match topic {
            TopicRef::External(name) => Some(name.clone()),
            TopicRef::Internal(_) => None,
        }));
    }
    names
}

fn create(broker: &EmbeddedBroker, names: &BTreeSet<Arc<str>>, partitions: i32) -> Result<()> {
    let config = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
    let topic =
        |name: &Arc<str>| NewTopic { name: name.clone(), partitions, replication: None, config: config.clone() };
    let created = broker.admin().create_topics(names.iter().map(topic).collect()).poll();
    created.ok_or_else(|| anyhow!("topics are not created at once"))?.context("creating the topics")?;
    Ok(())
}
