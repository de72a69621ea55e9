//! From a record's time to the moment a read_committed reader has its result, at a fixed rate.
//!
//! ```text
//!  sender ── 5,000 a second, each with the time as its timestamp ─▶ in ─▶ a serving process ─▶ out ─▶ reader
//! ```

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use tempfile::TempDir;

use super::options::Options;
use super::results::{Key, Results};
use crate::bench::{Bench, Spec};
use crate::meter::{self, Service};
use crate::order::{Caching, Delivery, Mode, Order, Side, Workload};
use crate::restart::watch::{Stopwatch, pause};
use crate::topics;

const RATE: u64 = 5_000;
const KEYS: u64 = 10_000;
const WARM: Duration = Duration::from_secs(10);

/// How long the reader waits for what is still under way when all is sent.
const PATIENCE: Duration = Duration::from_secs(30);

/// As how many records' the CPU time is told.
const TOLD_AS: f64 = 200_000.0;

/// Under which name the figures are kept.
pub(super) fn what(commit_interval_ms: u64) -> String {
    let busy = if commit_interval_ms == 100 { ", beside a busy core" } else { "" };
    format!("latency, commit {commit_interval_ms} ms{busy}")
}

pub(super) fn measure(options: &Options, bench: &mut Bench, round: usize, results: &mut Results) -> Result<()> {
    for commit_interval_ms in [100, 20] {
        for side in super::turns(options, round) {
            // Kafka Streams is compared at its own interval only.
            if side == Side::KafkaStreams && commit_interval_ms == 20 {
                continue;
            }
            let workload = if side == Side::Raw { Workload::Copy } else { Workload::Count };
            let usual = Spec::new(workload, 0);
            let spec = Spec { caching: Caching::Off, commit_interval_ms, ..usual };
            let state = TempDir::new()?;
            let input = bench.topics.create(&format!("latency-in-{round}-{commit_interval_ms}-{}", side.slug()), 4)?;
            let order = Order { mode: Mode::Serve, ..bench.order_on(&spec, side, state.path(), input)? };
            let serving = bench.starter.serve(&order)?;
            let seconds = Duration::from_secs(options.latency_seconds);
            let (sent, mut millis) = drive(&order, seconds, commit_interval_ms == 100)?;
            let service: Service = serving.finish()?;
            bench.topics.delete(&order.name)?;
            millis.sort_by(f64::total_cmp);
            let at = |quantile: f64| {
                millis.get(((millis.len().max(1) - 1) as f64 * quantile) as usize).copied().context("nothing came")
            };
            let cpu = service.cpu_seconds * TOLD_AS / sent as f64;
            let (p50, p90, p99) = (at(0.5)?, at(0.9)?, at(0.99)?);
            eprintln!(
                "  {:<40} {:<14} p50 {p50:.0} ms, p90 {p90:.0} ms, p99 {p99:.0} ms, {cpu:.1} CPU s for 200,000",
                what(commit_interval_ms),
                side.name()
            );
            let key = |figure| Key::new(&what(commit_interval_ms), Delivery::ExactlyOnce, side, figure);
            for (figure, value) in [("p50_ms", p50), ("p90_ms", p90), ("p99_ms", p99), ("p999_ms", at(0.999)?)] {
                results.add(round, key(figure), value);
            }
            results.add(round, key("cpu_seconds_for_200000"), cpu);
            results.add(round, key("peak_rss_mib"), service.peak_rss_mib);
        }
    }
    Ok(())
}

/// Sends and reads; answers how many records were sent, and the latencies after warming up.
fn drive(order: &Order, seconds: Duration, busy: bool) -> Result<(u64, Vec<f64>)> {
    let reader = reader(order)?;
    let (done, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let from = meter::wall_ms() + WARM.as_millis() as i64;
    std::thread::scope(|threads| {
        if busy {
            threads.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let sending = threads.spawn(|| send(order, WARM + seconds, &sent));
        let mut millis = Vec::new();
        let (mut received, mut quiet) = (0, Stopwatch::start());
        let read = loop {
            let sent = sent.load(Ordering::Acquire);
            if sent > 0 && received >= sent {
                break Ok(());
            }
            // Only when all is sent it is known how many there are.
            if sent > 0 && quiet.elapsed() > PATIENCE || quiet.elapsed() > PATIENCE * 4 {
                break Err(anyhow::anyhow!("{received} of {sent} records came out of {}", order.output));
            }
            match reader.poll(Duration::from_millis(100)) {
                None => {}
                Some(Err(error)) => break Err(error.into()),
                Some(Ok(message)) => {
                    let now = meter::wall_ms();
                    received += 1;
                    quiet = Stopwatch::start();
                    let at = message.timestamp().to_millis().unwrap_or(now);
                    if at >= from {
                        millis.push((now - at) as f64);
                    }
                }
            }
        };
        done.store(true, Ordering::Relaxed);
        let ended = sending.join().map_err(|_| anyhow::anyhow!("the sender panicked"))?;
        ended.and(read).map(|()| (received, millis))
    })
}

fn send(order: &Order, time: Duration, sent: &AtomicU64) -> Result<()> {
    // Not idempotent: such a producer of librdkafka's polls without a pause while a request is under way and the next records
    // are due, and would be a second busy core whenever the broker is late.
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &order.bootstrap_servers).set("linger.ms", "1");
    config.set("partitioner", "murmur2_random").set("delivery.report.only.error", "true");
    let producer: BaseProducer = config.create()?;
    let (began, value) = (Stopwatch::start(), [b'v'; 100]);
    let (mut number, all) = (0_u64, (RATE as f64 * time.as_secs_f64()) as u64);
    while number < all {
        let due = (began.elapsed().as_secs_f64() * RATE as f64) as u64;
        while number < due.min(all) {
            let key = format!("key-{:08}", number * 1_000_003 % KEYS);
            let record = BaseRecord::to(&order.input).key(&key).payload(&value[..]).timestamp(meter::wall_ms());
            producer.send(record).map_err(|(error, _)| error)?;
            number += 1;
        }
        producer.poll(Duration::ZERO);
        pause(Duration::from_millis(1));
    }
    producer.flush(PATIENCE)?;
    sent.store(number, Ordering::Release);
    Ok(())
}

fn reader(order: &Order) -> Result<BaseConsumer> {
    let mut config = topics::reader(&order.bootstrap_servers, "latency-reader");
    let reader: BaseConsumer = config.set("fetch.wait.max.ms", "500").set("fetch.min.bytes", "1").create()?;
    let mut list = TopicPartitionList::new();
    let ends = topics::ends(&reader, &order.output)?;
    ensure!(!ends.is_empty(), "{} has no partitions", order.output);
    for (partition, end) in ends.into_iter().enumerate() {
        list.add_partition_offset(&order.output, partition as i32, Offset::Offset(end))?;
    }
    reader.assign(&list)?;
    Ok(reader)
}
