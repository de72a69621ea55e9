//! Keeps the global stores up to date.

use std::sync::Arc;
use std::time::Duration;

use millstream_operators::error::ProcessError;
use millstream_operators::global::Globals;
use millstream_operators::topology::{SubTopology, Topology};
use millstream_state::commit::Committed;
use millstream_state::engine::Storage;
use millstream_state::model::{Position, TopicId, TopicPartition};
use millstream_state::store::StoreId;

use super::opened::{self, Log};
use super::{GlobalChain, GlobalError};
use crate::broker::{
    Batch, Broker, BrokerError, ErrorClass, Fetcher, Isolation, PartitionQueue, Ticket, TopicDescription, Wake,
};
use crate::clock::Monotonic;
use crate::task::{DeserializationHandler, Now};

/// The pause before a cluster that does not answer is asked again.
const PAUSE: Duration = Duration::from_millis(100);
/// Records that are applied under one lock; a worker that looks something up waits at most for these.
const PIECE: usize = 500;

/// What a keeper is made of.
pub(crate) struct KeeperSeed {
    pub(crate) topology: Arc<Topology>,
    pub(crate) application_id: String,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) undecodable: DeserializationHandler,
    pub(crate) globals: Globals,
    pub(crate) wake: Wake,
}

/// One partition that is read.
struct Input {
    source: usize,
    partition: TopicPartition,
    id: TopicId,
    queue: Box<dyn PartitionQueue>,
    /// Where the partition ended when the reading began.
    goal: Position,
    reached: bool,
}

/// Start and end of all partitions, topic by topic.
struct Bounds {
    topics: Vec<TopicDescription>,
    starts: Ticket<Vec<Position>>,
    ends: Ticket<Vec<Position>>,
    answers: [Option<Vec<Position>>; 2],
}

enum Phase {
    Pause(Monotonic),
    Describing(Ticket<Vec<Option<TopicDescription>>>),
    Asking(Box<Bounds>),
    Reading,
}

/// Reads the topics of the global stores. Lives on the controller's thread, as its operators cannot be sent.
pub(crate) struct Keeper {
    seed: KeeperSeed,
    global: SubTopology,
    chain: GlobalChain,
    fetcher: Option<Box<dyn Fetcher>>,
    inputs: Vec<Input>,
    phase: Phase,
    opened: bool,
    ready: bool,
    applied: u64,
}

impl Keeper {
    /// A keeper, if there is anything to keep.
    pub(crate) fn new(seed: KeeperSeed) -> Option<Self> {
        let global = seed.topology.global()?.clone();
        let chain = GlobalChain::new(&global);
        Some(Self {
            global,
            chain,
            fetcher: None,
            inputs: Vec::new(),
            phase: Phase::Pause(Monotonic::default()),
            opened: false,
            ready: false,
            applied: 0,
            seed,
        })
    }

    /// Whether the stores hold all that was in their topics when the reading began. They go on being kept up to date.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }

    /// When to step again though nothing wakes.
    pub(crate) fn deadline(&self, now: Now) -> Monotonic {
        match self.phase {
            Phase::Pause(until) => until,
            // Tickets wake nobody; control records at the end of a partition neither.
            Phase::Describing(_) | Phase::Asking(_) => now.monotonic.after(Duration::from_millis(10)),
            Phase::Reading => now.monotonic.after(if self.ready { PAUSE } else { Duration::from_millis(10) }),
        }
    }

    /// Does what can be done now; answers whether there was anything.
    ///
    /// # Errors
    /// If the stores cannot be kept up to date any more.
    pub(crate) fn step(&mut self, now: Now) -> Result<bool, GlobalError> {
        match &mut self.phase {
            Phase::Pause(until) if now.monotonic < *until => Ok(false),
            Phase::Pause(_) => {
                self.phase = Phase::Describing(self.seed.broker.admin().describe_topics(self.topics()));
                Ok(true)
            }
            Phase::Describing(ticket) => match ticket.poll() {
                None => Ok(false),
                Some(answer) => self.described(answer, now),
            },
            Phase::Asking(bounds) => match bounds.poll() {
                Ok(None) => Ok(false),
                Ok(Some(answers)) => self.begin(&answers, now),
                Err(error) => self.again(error, now),
            },
            Phase::Reading => self.read(now),
        }
    }

    fn topics(&self) -> Vec<Arc<str>> {
        let topics = self.global.spec().sources.iter().flat_map(|source| &source.topics);
        topics.map(|topic| topic.full_name(&self.seed.application_id)).collect()
    }

    fn again(&mut self, error: BrokerError, now: Now) -> Result<bool, GlobalError> {
        if !matches!(error.class, ErrorClass::Retriable | ErrorClass::Unknown) {
            return Err(GlobalError::Broker { source: error });
        }
        tracing::warn!("the topics of the global stores cannot be asked for yet: {error}");
        self.phase = Phase::Pause(now.monotonic.after(PAUSE));
        Ok(true)
    }

    fn described(
        &mut self,
        answer: Result<Vec<Option<TopicDescription>>, BrokerError>,
        now: Now,
    ) -> Result<bool, GlobalError> {
        let described = match answer {
            Ok(described) => described,
            Err(error) => return self.again(error, now),
        };
        let mut topics = Vec::with_capacity(described.len());
        for (name, topic) in self.topics().into_iter().zip(described) {
            topics.push(topic.ok_or_else(|| GlobalError::Missing { topic: name.to_string() })?);
        }
        if !self.opened {
            self.seed.globals.fill(opened::open(&*self.seed.storage, &self.global.spec().stores)?);
            self.opened = true;
        }
        let partitions = |topic: &TopicDescription| {
            let name = topic.name.clone();
            (0..topic.partitions).map(move |partition| TopicPartition::new(name.clone(), partition))
        };
        let all: Vec<TopicPartition> = topics.iter().flat_map(partitions).collect();
        let admin = self.seed.broker.admin();
        let (starts, ends) = (admin.start_positions(all.clone()), admin.end_positions(all, Isolation::ReadCommitted));
        self.phase = Phase::Asking(Box::new(Bounds { topics, starts, ends, answers: [None, None] }));
        Ok(true)
    }

    /// Decides where to begin, and begins.
    fn begin(&mut self, bounds: &Answers, now: Now) -> Result<bool, GlobalError> {
        self.inputs.clear();
        let fetcher = self.seed.broker.fetcher(Isolation::ReadCommitted, self.seed.wake.clone());
        let mut fetcher = fetcher.map_err(|source| GlobalError::Broker { source })?;
        let mut rest = &bounds.bounds[..];
        for (source, topic) in bounds.topics.iter().enumerate() {
            let (own, others) = rest.split_at(topic.partitions.max(0) as usize);
            rest = others;
            // A global source and its store enter the spec together, so that they have the same number.
            let log = Log { topic, store: StoreId(source as u32), bounds: own };
            let begun = self.seed.globals.write(|cx| opened::begin(&mut cx.state.stores, &log, now.wall));
            let positions = begun.unwrap_or_else(|| Ok(own.iter().map(|(start, _)| *start).collect()))?;
            for ((number, from), (_, goal)) in (0..).zip(positions).zip(own) {
                let partition = TopicPartition::new(topic.name.clone(), number);
                let queue = fetcher.assign(&partition, from).map_err(|source| GlobalError::Broker { source })?;
                let reached = from >= *goal;
                self.inputs.push(Input { source, partition, id: topic.id, queue, goal: *goal, reached });
            }
        }
        self.fetcher = Some(fetcher);
        self.phase = Phase::Reading;
        Ok(true)
    }

    fn read(&mut self, now: Now) -> Result<bool, GlobalError> {
        let mut progress = false;
        for index in 0..self.inputs.len() {
            let input = &mut self.inputs[index];
            match input.queue.drain(PIECE) {
                Ok(Some(batch)) => {
                    self.apply(index, &*batch, now)?;
                    progress = true;
                }
                Ok(None) => {}
                Err(error) if error.class == ErrorClass::OffsetOutOfRange => {
                    tracing::warn!(partition = %input.partition, "a global store has lost its place: {error}");
                    // The positions are looked at again, and found to be outside of the log.
                    self.fetcher = None;
                    self.inputs.clear();
                    self.phase = Phase::Pause(now.monotonic.after(PAUSE));
                    return Ok(true);
                }
                Err(error) if matches!(error.class, ErrorClass::Retriable | ErrorClass::Unknown) => {
                    tracing::warn!(partition = %input.partition, "reading is interrupted: {error}");
                }
                Err(source) => return Err(GlobalError::Broker { source }),
            }
            let input = &mut self.inputs[index];
            input.reached |= input.queue.position() >= input.goal;
        }
        if !self.ready && self.inputs.iter().all(|input| input.reached) {
            self.ready = true;
            tracing::info!("{} global stores are complete", self.global.spec().stores.len());
            return Ok(true);
        }
        Ok(progress)
    }

    fn apply(&mut self, index: usize, batch: &dyn Batch, now: Now) -> Result<(), GlobalError> {
        self.applied += 1;
        // What a read_committed reader is given is committed: the stores may keep it.
        let proof = Committed::testify(self.applied);
        let (input, chain, undecodable) = (&self.inputs[index], &mut self.chain, &self.seed.undecodable);
        let applied = self.seed.globals.write(|cx| {
            cx.wall_clock = now.wall;
            let mut position = None;
            for record in (0..batch.len()).map(|at| batch.get(at)) {
                let place = (&input.partition.topic, input.partition.partition);
                if let Err(error) = chain.process(cx, input.source, place, &record) {
                    let skipped =
                        matches!(error, ProcessError::Decode { .. }) && *undecodable != DeserializationHandler::Fail;
                    if !skipped {
                        let (partition, offset) = (input.partition.clone(), record.offset);
                        return Err(GlobalError::Record { partition, offset, source: Box::new(error) });
                    }
                    metrics::counter!("millstream_skipped_records_total", "reason" => "undecodable").increment(1);
                    tracing::warn!(partition = %input.partition, offset = %record.offset, "record skipped: {error}");
                }
                position = Some(Position::after(record.offset));
            }
            chain.finish(cx);
            if let Some(position) = position {
                opened::save(&mut cx.state.stores, &input.partition, (input.id, position), now.wall)?;
            }
            Ok(cx.state.stores.apply(&proof, &[])?)
        });
        applied.unwrap_or(Ok(()))
    }

    /// Writes out what the stores hold, so that the next start finds everything in its place.
    pub(crate) fn close(&mut self) {
        self.inputs.clear();
        self.fetcher = None;
        if let Some(Err(error)) = self.seed.globals.write(|cx| cx.state.stores.sync()) {
            tracing::warn!("the global stores could not be synced; their tail will be read again: {error}");
        }
    }
}

/// What the cluster said of the topics.
struct Answers {
    topics: Vec<TopicDescription>,
    bounds: Vec<(Position, Position)>,
}

impl Bounds {
    fn poll(&mut self) -> Result<Option<Answers>, BrokerError> {
        for (answer, ticket) in self.answers.iter_mut().zip([&mut self.starts, &mut self.ends]) {
            if answer.is_none()
                && let Some(polled) = ticket.poll()
            {
                *answer = Some(polled?);
            }
        }
        let [Some(starts), Some(ends)] = &self.answers else { return Ok(None) };
        let bounds = starts.iter().copied().zip(ends.iter().copied()).collect();
        Ok(Some(Answers { topics: std::mem::take(&mut self.topics), bounds }))
    }
}
