//! The physical limit under a runtime on this client: a plain loop without topology, store or generality.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rustc_hash::FxBuildHasher;

use crate::child::{READY, until_told_to_end};
use crate::meter::{self, Figures, Mark, Meter, Service};
use crate::native::{self, Message, Queue, Topic};
use crate::order::{Call, Delivery, Order, Workload};
use crate::topics;

const BATCH: usize = 1000;
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where records come from, and how far they have been taken.
struct Input {
    queue: Queue,
    topic: String,
    next: Vec<i64>,
}

impl Input {
    fn open(order: &Order) -> Result<Self> {
        let mut config = topics::reader(&order.bootstrap_servers, &order.name);
        config.set("fetch.wait.max.ms", "10");
        config.set("queued.min.messages", "200000").set("queued.max.messages.kbytes", "65536");
        let consumer: Arc<BaseConsumer> = Arc::new(config.create()?);
        let partitions = topics::ends(&consumer, &order.input)?.len();
        consumer.assign(&topics::from_the_start(&order.input, partitions)?)?;
        Ok(Self { queue: Queue::of(consumer)?, topic: order.input.clone(), next: vec![0; partitions] })
    }

    fn offsets(&self) -> Result<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (partition, &next) in self.next.iter().enumerate() {
            list.add_partition_offset(&self.topic, partition as i32, Offset::Offset(next))?;
        }
        Ok(list)
    }
}

/// Where records go.
struct Output {
    producer: Arc<BaseProducer>,
    topic: Topic,
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
        // Without this the reports of all records would have to be taken while flushing.
        config.set("delivery.report.only.error", "true");
        if transactional {
            config.set("transactional.id", &order.name);
        }
        let producer: Arc<BaseProducer> = Arc::new(config.create()?);
        producer.client().fetch_metadata(Some(&order.output), TIMEOUT)?;
        if transactional {
            producer.init_transactions(TIMEOUT)?;
        }
        let topic = Topic::new(producer.clone(), &order.output)?;
        Ok(Self { producer, topic, call: order.produce, transactional })
    }

    fn send(&self, key: &[u8], value: &[u8], timestamp: i64) -> Result<()> {
        loop {
            let sent = match self.call {
                Call::Produceva => self.topic.send(key, value, timestamp)?,
                Call::Produce => self.topic.send_without_timestamp(key, value)?,
            };
            if sent {
                return Ok(());
            }
            self.producer.poll(Duration::from_millis(5));
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
        native::flush(&self.producer, TIMEOUT)?;
        let (consumer, offsets) = (input.queue.consumer(), input.offsets()?);
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

/// What is done with a record.
enum Work {
    Copy,
    Count(HashMap<Box<[u8]>, u64, FxBuildHasher>),
}

impl Work {
    fn record(&mut self, record: &Message<'_>, output: &Output) -> Result<()> {
        let Self::Count(counts) = self else { return output.send(record.key, record.value, record.timestamp) };
        let count = match counts.get_mut(record.key) {
            Some(count) => {
                *count += 1;
                *count
            }
            None => {
                counts.insert(record.key.into(), 1);
                1
            }
        };
        output.send(record.key, &count.to_be_bytes(), record.timestamp)
    }
}

impl Work {
    fn new(order: &Order) -> Result<Self> {
        Ok(match order.workload {
            Workload::Passthrough | Workload::Copy => Self::Copy,
            Workload::Count => Self::Count(HashMap::default()),
            other => bail!("there is no raw loop for {}", other.name()),
        })
    }
}

/// Reads the input to its end.
///
/// # Errors
/// If the client reports one.
pub fn run(order: &Order) -> Result<Figures> {
    let mut pump = Pump::new(order)?;
    while pump.seen < order.records {
        pump.transaction(|seen| seen < order.records)?;
    }
    let first = pump.first.context("no record came")?;
    Ok(pump.meter.figures(pump.seen, first, pump.middle.unwrap_or(first)))
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
    half: u64,
    seen: u64,
    first: Option<Mark>,
    middle: Option<Mark>,
}

impl Pump {
    fn new(order: &Order) -> Result<Self> {
        let meter = Meter::default();
        let (input, output) = (Input::open(order)?, Output::open(order)?);
        let (work, interval) = (Work::new(order)?, Duration::from_millis(order.commit_interval_ms));
        Ok(Self { meter, input, output, work, interval, half: order.records / 2, seen: 0, first: None, middle: None })
    }

    /// Works for a commit interval, or as long as `more` says of the number of records so far, and commits.
    fn transaction(&mut self, more: impl Fn(u64) -> bool) -> Result<()> {
        let (begun, before) = (self.meter.now(), self.seen);
        self.output.begin()?;
        while more(self.seen) && self.meter.now().since(begun) < self.interval {
            let batch = self.input.queue.take(BATCH, self.interval.min(Duration::from_millis(20)));
            if self.first.is_none() && !batch.is_empty() {
                self.first = Some(self.meter.mark());
            }
            for record in batch.iter() {
                let record = record?;
                self.work.record(&record, &self.output)?;
                self.input.next[record.partition as usize] = record.offset + 1;
            }
            self.seen += batch.len() as u64;
            if self.middle.is_none() && self.seen >= self.half && self.first.is_some() {
                self.middle = Some(self.meter.mark());
            }
            self.output.producer.poll(Duration::ZERO);
        }
        if self.seen == before {
            return self.output.give_up();
        }
        self.output.commit(&self.input)
    }
}
