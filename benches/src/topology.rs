//! Millstream's side: the topologies, and one instance that runs to the end of the input.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use millstream::prelude::*;
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::load::passes;
use crate::meter::{Figures, Mark, Meter};
use crate::options::{Caching, Delivery, Order, Workload};
use crate::topics;

/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(5);

/// What the topology tells about its progress.
struct Progress {
    meter: Meter,
    seen: AtomicU64,
    first: OnceLock<Mark>,
}

impl Progress {
    fn record(&self) {
        // There is one worker, so that no other thread adds.
        let seen = self.seen.load(Ordering::Relaxed);
        self.seen.store(seen + 1, Ordering::Relaxed);
        if seen == 0 {
            self.first.get_or_init(|| self.meter.mark());
        }
    }
}

fn build(order: &Order, progress: Arc<Progress>) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let input = builder.stream::<String, String>(order.input.as_str()).peek(move |_, _| progress.record());
    let output = order.output.as_str();
    match order.workload {
        Workload::Passthrough => {
            input.map_values(|value| format!("{value}!")).filter(|_, value| passes(value.as_bytes())).to(output);
        }
        Workload::Copy => input.to(output),
        Workload::Count => {
            let counts = Materialized::named("counts").caching(order.caching == Caching::On);
            input.group_by_key().count(counts).to_stream().to(output);
        }
    }
    Ok(builder.build()?)
}

fn config(order: &Order) -> StreamsConfig {
    let guarantee = match order.guarantee {
        Delivery::ExactlyOnce => ExactlyOnce,
        Delivery::AtLeastOnce => AtLeastOnce,
    };
    StreamsConfig::new(&*order.name, &*order.bootstrap_servers)
        .processing_guarantee(guarantee)
        .commit_interval(Duration::from_millis(order.commit_interval_ms))
        .workers(1)
        .state_dir(&order.state_dir)
}

/// Reads the input to its end.
///
/// # Errors
/// If the instance stops by itself.
pub fn run(order: &Order) -> Result<Figures> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run_to_the_end(order))
}

async fn run_to_the_end(order: &Order) -> Result<Figures> {
    let meter = Meter::default();
    // Not a member: it only asks what the group has committed.
    let group: BaseConsumer = topics::reader(&order.bootstrap_servers, &order.name).create()?;
    let ends = topics::ends(&group, &order.input)?;
    let progress = Arc::new(Progress { meter: meter.clone(), seen: AtomicU64::new(0), first: OnceLock::new() });
    let mut streams = Streams::new(build(order, progress.clone())?, config(order))?;
    streams.start()?;
    while progress.seen.load(Ordering::Relaxed) < order.records || !committed(&group, &order.input, &ends)? {
        if streams.state().is_final() {
            streams.join().await?;
            bail!("the instance stopped before the end of {}", order.input);
        }
        tokio::time::sleep(LOOK).await;
    }
    let first = progress.first.get().context("no record came")?;
    let figures = meter.figures(order.records, *first);
    streams.shutdown().await?;
    Ok(figures)
}

/// Whether the group has committed everything up to these ends.
fn committed(group: &BaseConsumer, topic: &str, ends: &[i64]) -> Result<bool> {
    let list = topics::from_the_start(topic, ends.len())?;
    let committed = group.committed_offsets(list, Duration::from_secs(10))?;
    Ok(committed
        .elements()
        .iter()
        .all(|element| element.offset() == Offset::Offset(ends[element.partition() as usize])))
}
