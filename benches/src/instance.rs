//! Millstream's side: one instance that runs to the end of the input, or comes back, or serves.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use millstream::{State, Streams};
use rdkafka::consumer::BaseConsumer;

use crate::child::{READY, until_told_to_end};
use crate::meter::{self, Figures, Mark, Meter, Revival, Service};
use crate::order::Order;
use crate::restored::RestoreLog;
use crate::{native, topics, topology};

/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(5);

/// How far the topology has come: counted where records enter, and at the last stage that input records drive.
pub struct Progress {
    meter: Meter,
    /// Whether one thread alone counts, so that it need not lock the processor's bus.
    alone: bool,
    steps: u64,
    die_at: u64,
    entered: AtomicU64,
    done: AtomicU64,
    first: OnceLock<Mark>,
    middle: OnceLock<Mark>,
}

impl Progress {
    fn new(order: &Order) -> Self {
        Self {
            meter: Meter::default(),
            alone: order.workers == 1,
            steps: order.records * order.workload.steps_per_record(),
            die_at: order.die_at,
            entered: AtomicU64::new(0),
            done: AtomicU64::new(0),
            first: OnceLock::new(),
            middle: OnceLock::new(),
        }
    }

    /// A record has come in.
    pub fn enter(&self) {
        if self.add(&self.entered) == 1 {
            self.first.get_or_init(|| self.meter.mark());
        }
    }

    /// A record has passed the last stage.
    pub fn step(&self) {
        let done = self.add(&self.done);
        if done == self.steps / 2 {
            self.middle.get_or_init(|| self.meter.mark());
        }
        if done == self.die_at {
            native::kill_this_process();
        }
    }

    fn add(&self, counter: &AtomicU64) -> u64 {
        if !self.alone {
            return counter.fetch_add(1, Ordering::Relaxed) + 1;
        }
        let count = counter.load(Ordering::Relaxed) + 1;
        counter.store(count, Ordering::Relaxed);
        count
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::Relaxed) >= self.steps
    }
}

/// Reads the input to its end.
///
/// # Errors
/// If the instance stops by itself.
pub fn run(order: &Order) -> Result<Figures> {
    let mut life = Life::begin(order)?;
    life.until(|life| Ok(life.progress.is_done()))?;
    life.until_committed()?;
    let first = *life.progress.first.get().context("no record came")?;
    let middle = *life.progress.middle.get().unwrap_or(&first);
    let figures = life.progress.meter.figures(order.records, first, middle);
    life.end()?;
    Ok(figures)
}

/// Reads to the end of the input, which has a new record in each partition, tells how it came back, and stops cleanly.
///
/// # Errors
/// If the instance stops by itself.
pub fn restart(order: &Order, log: &RestoreLog) -> Result<Revival> {
    let mut life = Life::begin(order)?;
    life.until(|life| Ok(life.progress.first.get().is_some()))?;
    let first = *life.progress.first.get().context("no record came")?;
    // Each partition has a new record: when all are done, all tasks have been restored.
    life.until_committed()?;
    let replays = log.replays();
    let (restore_seconds, restore_cpu_seconds) = replays.took();
    let revival = Revival {
        first_record_seconds: life.progress.meter.since_start(first),
        restored: replays.records,
        restore_seconds,
        restore_cpu_seconds,
        peak_rss_mib: meter::peak_rss_mib(),
    };
    life.end()?;
    Ok(revival)
}

/// Runs until standard input ends.
///
/// # Errors
/// If the instance stops by itself.
pub fn serve(order: &Order) -> Result<Service> {
    let mut life = Life::begin(order)?;
    life.until(|life| Ok(life.streams.state() == State::Running))?;
    let before = native::cpu_seconds();
    writeln!(std::io::stdout(), "{READY}")?;
    until_told_to_end()?;
    let service = Service { cpu_seconds: native::cpu_seconds() - before, peak_rss_mib: meter::peak_rss_mib() };
    life.end()?;
    Ok(service)
}

/// A running instance.
struct Life {
    order: Order,
    runtime: tokio::runtime::Runtime,
    streams: Streams,
    progress: Arc<Progress>,
}

impl Life {
    fn begin(order: &Order) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let progress = Arc::new(Progress::new(order));
        let mut streams = Streams::new(topology::build(order, &progress)?, topology::config(order))?;
        streams.start()?;
        Ok(Self { order: order.clone(), runtime, streams, progress })
    }

    fn until(&mut self, reached: impl Fn(&Self) -> Result<bool>) -> Result<()> {
        while !reached(self)? {
            if self.streams.state().is_final() {
                self.runtime.block_on(self.streams.join())?;
                bail!("the instance stopped before the end of {}", self.order.input);
            }
            // A timer belongs to the runtime that it is made in.
            self.runtime.block_on(async { tokio::time::sleep(LOOK).await });
        }
        Ok(())
    }

    /// Waits until the group has committed the ends of the input, and of the repartition topics.
    fn until_committed(&mut self) -> Result<()> {
        // Not a member: it only asks.
        let group: BaseConsumer = topics::reader(&self.order.bootstrap_servers, &self.order.name).create()?;
        let mut wanted = topics::Wanted::default();
        wanted.add(&group, &self.order.input, 0)?;
        for topic in topics::repartition_topics(&group, &self.order.name)? {
            // Behind the last record there may be the marker of its transaction.
            wanted.add(&group, &topic, 1)?;
        }
        let client = &group;
        self.until(|_| wanted.is_committed(client))
    }

    fn end(self) -> Result<()> {
        Ok(self.runtime.block_on(self.streams.shutdown())?)
    }
}
