//! One run of the program: start, load, wait until all is counted, show the result.

use std::future::pending;
use std::sync::Arc;

use anyhow::{Context, bail};
use millstream::broker::Broker;
use millstream::broker::embedded::EmbeddedBroker;
use millstream::broker::kafka::{KafkaBroker, KafkaSettings};
use millstream::clock::SystemClock;
use millstream::prelude::*;
use millstream_examples::drained::Status;
use millstream_examples::{calls, screen, stores, topics};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Duration, Instant, sleep};

use crate::cli::{Cli, Guarantee};
use crate::data::{self, Flight};
use crate::produce::{Loaded, Loader};
use crate::progress::Progress;
use crate::result::Summary;
use crate::topology::{self, PARTITIONS, Topics};

/// How often to look whether all is counted.
const LOOK: Duration = Duration::from_millis(100);

/// Runs the program as the command line says.
pub(crate) async fn run(cli: &Cli) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut stop = Stop::listen()?;
    let topics = Topics::of(&cli.application_id);
    let scratch = tempfile::tempdir().context("a folder for temporary files")?;
    let broker: Arc<dyn Broker> = match &cli.bootstrap_servers {
        Some(servers) => Arc::new(KafkaBroker::new(KafkaSettings::new(servers))?),
        None => Arc::new(EmbeddedBroker::new(Arc::new(SystemClock::default()))),
    };
    if !cli.check_stores.is_empty() {
        return check_stores(cli, &*broker, &topics).await;
    }
    tokio::select! {
        prepared = prepare(cli, &*broker, &topics) => prepared?,
        () = stop.wait() => return Ok(()),
    }
    let flights = if cli.no_produce { Vec::new() } else { data::load()? };
    if cli.produce_only {
        let written = tokio::select! {
            written = produce_only(cli, &*broker, &topics, &flights, start) => written,
            () = stop.wait() => bail!("interrupted before all flights were written; start again to go on"),
        };
        return written;
    }
    let mut streams = Streams::on(broker.clone(), topology::build(&topics)?, config(cli, scratch.path()))?;
    streams.start()?;
    let progress = if cli.json || cli.follow { Progress::hidden() } else { Progress::over(flights.len() as u64) };
    let outcome = tokio::select! {
        outcome = work(cli, &*broker, &topics, &flights, &progress) => outcome,
        // By itself it only stops when something failed; shutting down tells what.
        _ = streams.wait_for(|state| state.is_final()) => Ok(Work::Failed),
        () = stop.wait() => Ok(Work::Interrupted),
    };
    progress.finish();
    streams.shutdown().await?;
    match outcome? {
        Work::Failed => bail!("the application stopped"),
        Work::Interrupted if cli.follow => Ok(()),
        Work::Interrupted => bail!("interrupted before all flights were counted; start again to go on"),
        Work::Done => show(cli, &Summary::read(&*broker, &topics, start.elapsed()).await?),
    }
}

/// Makes sure that the cluster is there, and the topics.
async fn prepare(cli: &Cli, broker: &dyn Broker, topics: &Topics) -> anyhow::Result<()> {
    if let Some(servers) = &cli.bootstrap_servers {
        calls::reach(broker, &topics.flights).await.with_context(|| format!("no Kafka broker answers at {servers}"))?;
    }
    topics::create(&*broker.admin(), topics.to_create()).await
}

enum Work {
    Done,
    Interrupted,
    Failed,
}

/// Loads the flights while they are being processed, then waits until all are counted.
async fn work(
    cli: &Cli,
    broker: &dyn Broker,
    topics: &Topics,
    flights: &[Flight],
    progress: &Progress,
) -> anyhow::Result<Work> {
    let loading = async {
        if !cli.no_produce {
            load(cli, broker, topics, flights).await?;
        }
        anyhow::Ok(())
    };
    let drained = topics.drained();
    let watching = async |once_drained: bool| loop {
        match drained.check(broker).await? {
            Status::Behind { done, of } => progress.show(done, of),
            Status::Drained if once_drained => return anyhow::Ok(()),
            Status::Drained => {}
        }
        sleep(LOOK).await;
    };
    if cli.follow {
        loading.await?;
        return pending().await;
    }
    tokio::select! {
        loaded = loading => loaded?,
        watched = watching(false) => watched?,
    }
    watching(true).await?;
    Ok(Work::Done)
}

async fn produce_only(
    cli: &Cli,
    broker: &dyn Broker,
    topics: &Topics,
    flights: &[Flight],
    start: Instant,
) -> anyhow::Result<()> {
    load(cli, broker, topics, flights).await?;
    let elapsed_ms = start.elapsed().as_millis();
    if cli.json {
        let said = serde_json::json!({ "produced": flights.len(), "elapsed_ms": elapsed_ms as u64 });
        screen::show(&format!("{said}\n"))
    } else {
        screen::show(&format!("{} flights are in topic {} ({elapsed_ms} ms)\n", flights.len(), topics.flights))
    }
}

/// Writes the flights, or waits until another process has, if another does.
async fn load(cli: &Cli, broker: &dyn Broker, topics: &Topics, flights: &[Flight]) -> anyhow::Result<()> {
    let loader = Loader {
        application: cli.application_id.clone(),
        topic: topics.flights.clone(),
        partitions: PARTITIONS,
        rate: cli.rate,
    };
    match loader.load(broker, flights).await? {
        Loaded::All { before: 0 } => tracing::info!("all flights are in the topic"),
        Loaded::All { before } => tracing::info!("all flights are in the topic, {before} of them since an earlier run"),
        Loaded::TakenOver => {
            tracing::warn!("another process has taken over writing the flights");
            loader.loaded_by_others(broker, flights.len()).await?;
        }
    }
    Ok(())
}

fn config(cli: &Cli, scratch: &std::path::Path) -> StreamsConfig {
    let servers = cli.bootstrap_servers.as_deref().unwrap_or("embedded");
    let mut config = StreamsConfig::new(&cli.application_id, servers)
        .processing_guarantee(match cli.guarantee {
            Guarantee::ExactlyOnce => ExactlyOnce,
            Guarantee::AtLeastOnce => AtLeastOnce,
        })
        .commit_interval(Duration::from_millis(cli.commit_interval_ms));
    if let Some(workers) = cli.workers {
        config = config.workers(usize::from(workers));
    }
    if let Some(timeout) = cli.session_timeout_ms {
        config = config.session_timeout(Duration::from_millis(timeout));
    }
    match &cli.state_dir {
        Some(folder) => config.state_dir(folder),
        // What the embedded broker holds ends with the process; so does the state that belongs to it.
        None if cli.bootstrap_servers.is_none() => config.state_dir(scratch),
        None => config,
    }
}

/// SIGTERM and Ctrl-C, listened for from the start: who asks early is heard too.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        tracing::info!("asked to stop");
    }
}

/// Compares what is on disk with the changelogs.
async fn check_stores(cli: &Cli, broker: &dyn Broker, topics: &Topics) -> anyhow::Result<()> {
    let report = stores::check(broker, &topology::build(topics)?, &cli.application_id, &cli.check_stores).await?;
    screen::show(&format!("{}\n", serde_json::to_string(&report)?))?;
    if !report.differences.is_empty() {
        bail!("stores and changelogs differ:\n{}", report.differences.join("\n"));
    }
    Ok(())
}

fn show(cli: &Cli, summary: &Summary) -> anyhow::Result<()> {
    if cli.json { screen::show(&format!("{}\n", summary.to_json()?)) } else { screen::show(&summary.to_table()) }
}
