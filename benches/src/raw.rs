//! The physical limit under a runtime on this client: a plain loop without topology, store or generality.

mod latest;
mod work;

use std::ffi::CString;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use self::work::Work;
use crate::child::{READY, until_told_to_end};
use crate::meter::{self, Figures, Mark, Meter, Service};
use crate::native::{self, Message, Queue, Reports, Topic};
use crate::order::{Call, Delivery, Order};
use crate::topics;

const BATCH: usize = 1000;
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where records come from, and how far they have been taken.
struct Input {
    queue: Queue,
    positions: Positions,
}

/// The topics that are read, by name, with the next offset of each partition.
struct Positions(Vec<(CString, Vec<i64>)>);

impl Input {
    fn open(order: &Order, topics: &[&str]) -> Result<Self> {
        let mut config = topics::reader(&order.bootstrap_servers, &order.name);
        config.set("fetch.wait.max.ms", "10");
        config.set("queued.min.messages", "200000").set("queued.max.messages.kbytes", "65536");
        let consumer: Arc<BaseConsumer> = Arc::new(config.create()?);
        let (mut assignment, mut positions) = (TopicPartitionList::new(), Vec::new());
        for topic in topics {
            let partitions = topics::ends(&consumer, topic)?.len();
            for partition in 0..partitions as i32 {
                assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
            }
            positions.push((CString::new(*topic)?, vec![0; partitions]));
        }
        consumer.assign(&assignment)?;
        Ok(Self { queue: Queue::of(consumer)?, positions: Positions(positions) })
    }
}

impl Positions {
    /// Notes that a record was taken, and answers from which of the topics it is.
    fn pass(&mut self, record: &Message<'_>) -> Result<usize> {
        let index = match self.0.len() {
            1 => 0,
            _ => self.0.iter().position(|(name, _)| name.as_c_str() == record.topic()).context("a strange topic")?,
        };
        self.0[index].1[record.partition as usize] = record.offset + 1;
        Ok(index)
    }

    fn offsets(&self) -> Result<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (topic, next) in &self.0 {
            for (partition, &next) in next.iter().enumerate() {
                list.add_partition_offset(topic.to_str()?, partition as i32, Offset::Offset(next))?;
            }
        }
        Ok(list)
    }
}

/// Where records go.
struct Output {
    producer: Arc<BaseProducer>,
    reports: Reports,
    call: Call,
    transactional: bool,
}

impl Output {
    fn open(order: &Order) -> Result<Self> {
        let transactional = order.guarantee == Delivery::ExactlyOnce;
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &order.bootstrap_servers).set("enable.idempotence", "true");
        config.set("linger.ms", "20").set("batch.size", "262144").set("batch.num.messages", "10000");
        config.set("queue.buffering.max.messages", "200000").set("partitioner", "murmur2_random");
        // As Millstream's: what was delivered is freed by the thread that sends.
        config.set("delivery.report.only.error", "false");
        if transactional {
            config.set("transactional.id", &order.name);
        }
        let producer: Arc<BaseProducer> = Arc::new(config.create()?);
        if transactional {
            producer.init_transactions(TIMEOUT)?;
        }
        let reports = Reports::of(producer.clone())?;
        Ok(Self { producer, reports, call: order.produce, transactional })
    }

    fn topic(&self, name: &str) -> Result<Topic> {
        self.producer.client().fetch_metadata(Some(name), TIMEOUT)?;
        Topic::new(self.producer.clone(), name)
    }

    fn send(&self, topic: &Topic, key: &[u8], value: &[u8], timestamp: i64) -> Result<()> {
        loop {
            let sent = match self.call {
                Call::Produceva => topic.send(key, value, timestamp)?,
                Call::Produce => topic.send_without_timestamp(key, value)?,
            };
            if sent {
                return Ok(());
            }
            self.reports.take(Duration::from_millis(5))?;
        }
    }

    fn begin(&self) -> Result<()> {
        if self.transactional {
            self.producer.begin_transaction()?;
        }
        Ok(())
    }

    /// Ends a transaction without anything in it.
    fn give_up(&self) -> Result<()> {
        if self.transactional {
            self.producer.abort_transaction(TIMEOUT)?;
        }
        Ok(())
    }

    fn commit(&self, input: &Input) -> Result<()> {
        self.reports.flush(TIMEOUT)?;
        let (consumer, offsets) = (input.queue.consumer(), input.positions.offsets()?);
        if self.transactional {
            let group = consumer.group_metadata().context("the consumer has no group")?;
            self.producer.send_offsets_to_transaction(&offsets, &group, TIMEOUT)?;
            self.producer.commit_transaction(TIMEOUT)?;
        } else {
            consumer.commit(&offsets, CommitMode::Sync)?;
        }
        Ok(())
    }
}

/// Reads the input to its end.
///
/// # Errors
/// If the client reports one.
pub fn run(order: &Order) -> Result<Figures> {
    let mut pump = Pump::new(order)?;
    let steps = order.records * order.workload.steps_per_record();
    while pump.steps < steps {
        pump.transaction(|done| done < steps)?;
    }
    let first = pump.first.context("no record came")?;
    Ok(pump.meter.figures(order.records, first, pump.middle.unwrap_or(first)))
}

/// Copies until standard input ends.
///
/// # Errors
/// If the client reports one.
pub fn serve(order: &Order) -> Result<Service> {
    let mut pump = Pump::new(order)?;
    let told = Arc::new(AtomicBool::new(false));
    let listening = told.clone();
    std::thread::spawn(move || {
        // An input that cannot be read has ended.
        let _ = until_told_to_end();
        listening.store(true, Ordering::Release);
    });
    let before = native::cpu_seconds();
    writeln!(std::io::stdout(), "{READY}")?;
    while !told.load(Ordering::Acquire) {
        pump.transaction(|_| true)?;
    }
    Ok(Service { cpu_seconds: native::cpu_seconds() - before, peak_rss_mib: meter::peak_rss_mib() })
}

/// The loop and where it stands.
struct Pump {
    meter: Meter,
    input: Input,
    output: Output,
    work: Work,
    interval: Duration,
    /// Records of the last stage that input records drive: half of all, and so far.
    half: u64,
    steps: u64,
    first: Option<Mark>,
    middle: Option<Mark>,
}

impl Pump {
    fn new(order: &Order) -> Result<Self> {
        let meter = Meter::default();
        let output = Output::open(order)?;
        let work = Work::new(order, &output)?;
        let input = Input::open(order, &work.reads(order))?;
        let half = order.records * order.workload.steps_per_record() / 2;
        let interval = Duration::from_millis(order.commit_interval_ms);
        Ok(Self { meter, input, output, work, interval, half, steps: 0, first: None, middle: None })
    }

    /// Works for a commit interval, or as long as `more` says of the number of steps so far, and commits.
    fn transaction(&mut self, more: impl Fn(u64) -> bool) -> Result<()> {
        let (begun, mut taken) = (self.meter.now(), 0);
        self.output.begin()?;
        while more(self.steps) && self.meter.now().since(begun) < self.interval {
            let batch = self.input.queue.take(BATCH, self.interval.min(Duration::from_millis(20)));
            if self.first.is_none() && !batch.is_empty() {
                self.first = Some(self.meter.mark());
            }
            for record in batch.iter() {
                let record = record?;
                let topic = self.input.positions.pass(&record)?;
                self.steps += self.work.record(topic, &record, &self.output)?;
            }
            taken += batch.len();
            if self.middle.is_none() && self.steps >= self.half && self.first.is_some() {
                self.middle = Some(self.meter.mark());
            }
            self.output.reports.take(Duration::ZERO)?;
        }
        if taken == 0 {
            return self.output.give_up();
        }
        self.work.commit(&self.output)?;
        self.output.commit(&self.input)?;
        self.work.committed()
    }
}
