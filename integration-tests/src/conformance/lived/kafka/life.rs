//! One application on the real cluster, stepped in one thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use millstream::StreamsConfig;
use millstream::broker::{
    Broker, Committed, Fetcher, Isolation, NewTopic, OutRecord, PartitionQueue, Producer, Ticket, Wake,
};
use millstream::clock::{Clock, SystemClock};
use millstream::instance::{Instance, Parts, State, Who};
use millstream::operators::topology::{SubTopology, TopicRef, Topology};
use millstream::state::engine::RocksStorage;
use millstream::state::model::{Position, TopicPartition};
use millstream::task::Now;
use millstream::testing::RawTestRecord;
use millstream::worker::Step as Stepped;

use super::super::super::play;
use super::super::super::vector::Step;
use super::super::cluster::{config, externals};
use super::super::judge::Case;
use super::super::prefixed::Prefixed;
use super::super::steps::{self, Logs};
use crate::support::{answer, loader};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// An application, and all that it reads and writes.
pub(super) struct Life {
    broker: Arc<Prefixed>,
    application: String,
    clock: SystemClock,
    instance: Instance,
    loader: Box<dyn Producer>,
    /// All topics of the application, read as far as they are committed. They go before the fetcher.
    queues: BTreeMap<Arc<str>, Box<dyn PartitionQueue>>,
    fetcher: Box<dyn Fetcher>,
    /// What the application reads: inputs and repartition topics.
    sources: Vec<TopicPartition>,
    logs: Logs,
}

impl Life {
    pub(super) fn new(
        case: &Case,
        topology: &Topology,
        broker: Arc<Prefixed>,
        storage: Arc<RocksStorage>,
    ) -> Result<Self> {
        let retained = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
        let topic = |name: &Arc<str>| NewTopic {
            name: name.clone(),
            partitions: 1,
            replication: None,
            config: retained.clone(),
        };
        answer(broker.admin().create_topics(externals(&case.file, topology).iter().map(topic).collect()))?;
        let parts = Parts {
            topology: Arc::new(topology.clone()),
            config: real(config(&case.file, 1)?),
            broker: broker.clone(),
            storage,
            who: Who { name: "a".into(), workers_ever: 1, nonce: 1 },
        };
        Ok(Self {
            application: case.application_id().to_owned(),
            clock: SystemClock::default(),
            instance: Instance::new(&parts, &Wake::current_thread())?,
            loader: loader(&*broker)?,
            fetcher: broker.fetcher(Isolation::ReadCommitted, Wake::current_thread())?,
            queues: BTreeMap::new(),
            sources: sources(case.application_id(), topology),
            logs: Logs::default(),
            broker,
        })
    }

    /// Starts the application and plays the steps.
    pub(super) fn live(&mut self, case: &Case, steps: &[Step]) -> Result<()> {
        self.until("the instance runs", |life| Ok(life.instance.state() == State::Running))?;
        for topic in self.broker.topics() {
            let queue = self.fetcher.assign(&TopicPartition::new(topic.clone(), 0), Position::START)?;
            self.queues.insert(topic, queue);
        }
        for step in steps {
            let Step::Pipe(pipe) = step else { bail!("the clock of a real cluster cannot be moved") };
            self.pipe(&pipe.topic, &play::raw(&case.file, pipe)?)?;
        }
        Ok(())
    }

    /// One step of the instance.
    fn step(&mut self) -> Result<Stepped> {
        let now = Now { monotonic: self.clock.monotonic(), wall: self.clock.wall() };
        let stepped = self.instance.step(now);
        match self.instance.error() {
            Some(error) => bail!("the instance stopped: {error}"),
            None => Ok(stepped),
        }
    }

    /// Steps the instance, and asks each time it rests.
    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> Result<bool>) -> Result<()> {
        let begin = self.clock.monotonic();
        loop {
            if self.step()? == Stepped::Progress {
                continue;
            }
            if done(self)? {
                return Ok(());
            }
            if self.clock.monotonic().since(begin) > PATIENCE {
                bail!("waited for {} s until {what}", PATIENCE.as_secs());
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// Waits for an answer. The instance goes on: offsets are only told when its transaction has ended.
    fn answer<T>(&mut self, mut ticket: Ticket<T>) -> Result<T> {
        let mut answer = None;
        self.until("the broker answers", |_| {
            answer = ticket.poll();
            Ok(answer.is_some())
        })?;
        Ok(answer.ok_or_else(|| anyhow!("there is no answer"))??)
    }

    /// Writes a record to an input topic and lets the application do what follows from it.
    fn pipe(&mut self, topic: &str, record: &RawTestRecord) -> Result<()> {
        let topic: Arc<str> = topic.into();
        let queue = self.queues.get(&topic).ok_or_else(|| anyhow!("there is no topic {topic}"))?;
        // All is at rest, so that what is written next comes where reading has ended.
        self.logs.piped.insert((topic.clone(), 0, queue.position().number()));
        let out = OutRecord {
            topic: &topic,
            partition: 0,
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &record.headers,
        };
        self.until("the record is taken", |life| Ok(life.loader.produce(out)?))?;
        let flushed = self.loader.flush();
        self.answer(flushed)?;
        self.until("all is processed and committed", Self::is_settled)?;
        let ends = self.queues.iter().map(|(topic, queue)| ((topic.clone(), 0), queue.position().number()));
        self.logs.ends.push(ends.collect());
        Ok(())
    }

    /// Whether nothing is left to be done. The order of the questions carries the proof: what follows from a record is
    /// written in the transaction that commits its offset, so when that is committed it lies before the ends.
    fn is_settled(&mut self) -> Result<bool> {
        let admin = self.broker.admin();
        let committed = self.answer(admin.committed(&self.application, self.sources.clone()))?;
        let places: Vec<_> = self.queues.keys().map(|topic| TopicPartition::new(topic.clone(), 0)).collect();
        let ends = self.answer(admin.end_positions(places, Isolation::ReadUncommitted))?;
        let mut all_read = true;
        for ((topic, queue), end) in self.queues.iter_mut().zip(ends) {
            let read = self.logs.records.entry((topic.clone(), 0)).or_default();
            while let Some(batch) = queue.drain(1000)? {
                let records = (0..batch.len()).map(|index| batch.get(index));
                read.extend(records.map(|record| (record.offset.number(), steps::written(&record))));
            }
            // Only what is committed is read, so that nothing is open before an end that is reached.
            all_read &= queue.position() >= end;
        }
        let is_done = |(source, committed): (&TopicPartition, Option<Committed>)| {
            let last = self.logs.records.get(&(source.topic.clone(), source.partition)).and_then(|read| read.last());
            let done = committed.map_or(0, |committed| committed.position.number());
            last.is_none_or(|(offset, _)| *offset < done)
        };
        Ok(all_read && self.sources.iter().zip(committed).all(is_done))
    }

    /// Stops the application as it should be stopped; answers what it has left in its topics.
    pub(super) fn stop(mut self) -> Result<Logs> {
        self.instance.shut_down();
        self.until("the instance has stopped", |life| Ok(life.instance.state() == State::NotRunning))?;
        Ok(std::mem::take(&mut self.logs))
    }
}

/// Settings that a real cluster takes too: it does not wait for ever, and deletes what its clock calls too old. The vectors'
/// records are from 1970.
fn real(mut config: StreamsConfig) -> StreamsConfig {
    config.session_timeout = Duration::from_secs(30);
    config.max_poll_interval = Duration::from_secs(300);
    config.window_changelog_grace = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    config
}

/// What an application reads, without what it reads for global tables.
fn sources(application: &str, topology: &Topology) -> Vec<TopicPartition> {
    let sources = topology.sub_topologies().iter().map(SubTopology::spec).flat_map(|spec| &spec.sources);
    let names = sources.flat_map(|source| &source.topics).map(|topic| match topic {
        TopicRef::External(name) => name.clone(),
        TopicRef::Internal(name) => format!("{application}-{name}").into(),
    });
    let once: BTreeSet<Arc<str>> = names.collect();
    once.into_iter().map(|name| TopicPartition::new(name, 0)).collect()
}
