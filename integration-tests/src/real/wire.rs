//! One instance behind the fault proxy: faults strike one after the other, and each time the output must be exact.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use millstream::broker::Broker;
use millstream::broker::kafka::{KafkaBroker, KafkaSettings};
use millstream::{SharedError, State, Streams, StreamsConfig};
use tokio::time::{Instant, timeout};

use super::check::{self, Follower};
use super::workload::{Loader, Workload};
use crate::proxy::{Api, Fault, Proxy, Rule, When};

/// How long anything may take. The machine may be busy; what takes this long has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// How many inputs each fault has to pass.
const INPUTS: u64 = 40;

/// An instance of the workload behind a proxy, and its checker, which is not.
pub struct Scene {
    /// The proxy.
    pub proxy: Proxy,
    /// The workload.
    pub workload: Workload,
    bootstrap: String,
    broker: KafkaBroker,
    loader: Loader,
    follower: Follower,
    folder: PathBuf,
    streams: Option<Streams>,
}

impl Scene {
    /// A scene on this broker; the instance is not started yet. `folder` is for its state.
    ///
    /// # Errors
    /// If topics cannot be created, or no port can be had.
    pub async fn new(bootstrap: &str, name: &str, folder: PathBuf) -> anyhow::Result<Self> {
        let broker = KafkaBroker::new(KafkaSettings::new(bootstrap))?;
        let now = std::time::UNIX_EPOCH.elapsed()?.as_millis() as i64;
        let app = format!("wire-{name}-{}-{now:x}", std::process::id());
        let workload = Workload { app, partitions: 2, keys: 6, buckets: 3, base: now - 3_600_000 };
        workload.create_topics(&broker).await?;
        let loader = Loader::new(&workload, bootstrap)?;
        let follower = Follower::new(&workload, bootstrap)?;
        let proxy = Proxy::start(bootstrap, 1)?;
        Ok(Self { proxy, workload, bootstrap: bootstrap.to_owned(), broker, loader, follower, folder, streams: None })
    }

    /// The instance's settings: a lost reply is noticed after two seconds.
    pub fn config(&self) -> StreamsConfig {
        self.workload.config(self.proxy.address(), &self.folder).client_property("socket.timeout.ms", "2000")
    }

    /// Starts the instance; does not wait for it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let mut streams = Streams::new(self.workload.topology()?, self.config())?;
        streams.start()?;
        self.streams = Some(streams);
        Ok(())
    }

    /// What the instance is doing.
    pub fn state(&self) -> Option<State> {
        self.streams.as_ref().map(Streams::state)
    }

    /// Waits until it runs.
    ///
    /// # Errors
    /// If it stops instead, or takes too long.
    pub async fn running(&mut self) -> anyhow::Result<()> {
        let streams = self.streams.as_mut().context("not started")?;
        let state = timeout(PATIENCE, streams.wait_for(|state| state == State::Running));
        match state.await.with_context(|| format!("it does not run: {}", streams.state()))? {
            State::Running => Ok(()),
            _ => bail!("it stopped: {:?}", streams.join().await.err().map(|error| error.to_string())),
        }
    }

    /// Waits until it has stopped by itself, and answers why.
    ///
    /// # Errors
    /// If it does not stop, or without an error.
    pub async fn failed(&mut self) -> anyhow::Result<SharedError> {
        let mut streams = self.streams.take().context("not started")?;
        let ended = timeout(PATIENCE, streams.join()).await.with_context(|| format!("it is {}", streams.state()))?;
        ended.err().context("it stopped without an error")
    }

    /// Writes more inputs.
    ///
    /// # Errors
    /// If the broker does not take them.
    pub fn load(&mut self, count: u64) -> anyhow::Result<()> {
        self.loader.send(count)?;
        self.loader.flush()
    }

    /// Waits until every count is there.
    ///
    /// # Errors
    /// If one is wrong, or they take too long.
    pub async fn complete(&mut self) -> anyhow::Result<()> {
        let late = Instant::now() + PATIENCE;
        while !self.follower.is_complete(&self.loader.expected) {
            self.follower.follow(Duration::ZERO)?;
            let (seen, wanted) = (self.follower.seen(), self.loader.expected.totals());
            ensure!(Instant::now() < late, "{seen:?} of {wanted:?} counts are there; it is {:?}", self.state());
            if let Some(State::Error | State::NotRunning) = self.state() {
                bail!("{seen:?} of {wanted:?} counts are there, and it stopped: {}", self.failed().await?);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.follower.compare(&self.loader.expected)
    }

    /// Stops it cleanly.
    ///
    /// # Errors
    /// If it stops with an error.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(streams) = self.streams.take() else { return Ok(()) };
        timeout(PATIENCE, streams.shutdown()).await.context("it does not stop")??;
        Ok(())
    }

    /// One fault on the next request of a kind, while inputs come in; then everything must be there.
    ///
    /// # Errors
    /// If the output is wrong or late, the fault did not strike, or the instance does not run in the end.
    pub async fn survives(&mut self, api: Api, fault: Fault) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let before = self.proxy.rules().total();
        self.proxy.rules().arm(Rule { api, when: When::Nth(2), fault });
        while self.proxy.rules().total() == before {
            // Some requests come at once, others with the records, others with the next beat of the heart.
            self.load(INPUTS / 8)?;
            self.follower.follow(Duration::ZERO)?;
            ensure!(began.elapsed() < PATIENCE, "the fault does not strike");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.load(INPUTS)?;
        self.complete().await?;
        self.running().await?;
        Ok(began.elapsed())
    }

    /// One fault on the first request of a kind after a start.
    ///
    /// # Errors
    /// As [`Self::survives`].
    pub async fn starts_through(&mut self, api: Api, fault: Fault) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.stop().await?;
        let before = self.proxy.rules().total();
        self.proxy.rules().arm(Rule { api, when: When::Nth(1), fault });
        self.load(INPUTS)?;
        self.start()?;
        self.running().await?;
        ensure!(self.proxy.rules().total() > before, "the fault did not strike");
        self.load(INPUTS)?;
        self.complete().await?;
        Ok(began.elapsed())
    }

    /// An error at the first request of a kind after a start, that cannot pass: the instance must stop and say why.
    ///
    /// # Errors
    /// If it does not.
    pub async fn refuses(&mut self, api: Api, code: i16) -> anyhow::Result<String> {
        self.stop().await?;
        self.proxy.rules().arm(Rule { api, when: When::Next(u32::MAX), fault: Fault::Answer(code) });
        self.load(INPUTS)?;
        self.start()?;
        let error = self.failed().await?;
        self.proxy.rules().disarm();
        Ok(error.to_string())
    }

    /// The end: a clean stop, no open transaction, changelogs and stores as they must be.
    ///
    /// # Errors
    /// If something is not.
    pub async fn finish(mut self) -> anyhow::Result<()> {
        self.complete().await?;
        check::nothing_hangs(&self.workload, &self.broker).await?;
        self.stop().await?;
        let (workload, broker) = (&self.workload, &self.broker as &dyn Broker);
        check::changelogs(workload, &self.bootstrap, &self.loader.expected)?;
        check::stores_on_disk(workload, broker, std::slice::from_ref(&self.folder)).await
    }
}
