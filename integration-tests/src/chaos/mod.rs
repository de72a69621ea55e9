//! Kills the processes of a real application on a real Kafka again and again, and checks that nothing shows.
//!
//! ```text
//!   flights --produce-only --rate ──▶ APP.flights ──▶ three × flights --no-produce --follow   ◀── SIGKILL, at random;
//!                                                                │                                now and then the
//!                                                                ▼                                disk is lost too
//!              exact totals · stores = changelogs · each restart replays only what was missing
//! ```

mod follower;
mod replay;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use millstream::broker::kafka::{KafkaBroker, KafkaSettings};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use follower::Follower;
pub use replay::Replays;

/// How many flights there are.
const FLIGHTS: u64 = 336_776;

/// What `--json` must say, without the time it took.
const EXPECTED: &str = r#"{"origins":{
"EWR":{"flights":120835,"departures":117596,"delay_sum":1776635,"delay_max":1126},
"JFK":{"flights":111279,"departures":109416,"delay_sum":1325264,"delay_max":1301},
"LGA":{"flights":104662,"departures":101509,"delay_sum":1050301,"delay_max":911}},
"carriers":{"9E":18460,"AA":32729,"AS":714,"B6":54635,"DL":48110,"EV":54173,"F9":685,"FL":3260,"HA":342,"MQ":26397,"OO":32,
"UA":58665,"US":20536,"VX":5162,"WN":12275,"YV":601},"hours":19486}"#;

/// How long a single step may take before the run has failed.
const PATIENCE: Duration = Duration::from_secs(300);

/// A run.
#[derive(Clone, Debug)]
pub struct Chaos {
    /// The broker.
    pub bootstrap: String,
    /// The program `flights`.
    pub program: PathBuf,
    /// An empty folder for state and logs.
    pub folder: PathBuf,
    /// Chooses the moments, the victims and what they lose.
    pub seed: u64,
    /// How many processes are killed.
    pub kills: u32,
}

/// What happened.
#[derive(Debug)]
pub struct Outcome {
    /// How many of the killed processes lost their disk.
    pub lost: u32,
    /// How many were away for so long that others took over.
    pub replaced: u32,
    /// What the restarts replayed.
    pub replays: Replays,
}

/// One kill, as the seed has it.
struct Kill {
    after: Duration,
    victim: usize,
    loses_disk: bool,
    away: Duration,
}

impl Chaos {
    const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
    /// Kills come this often on average; the year is produced in the time that all of them take.
    const MEAN_INTERVAL: Duration = Duration::from_millis(2_500);

    fn application(&self) -> String {
        format!("chaos-{}-{}", self.seed, std::process::id())
    }

    fn plan(&self) -> Vec<Kill> {
        let mut random = StdRng::seed_from_u64(self.seed);
        (0..self.kills)
            .map(|number| Kill {
                // From at once, while it starts, to long after it has caught up.
                after: Duration::from_millis(random.random_range(200..4_800)),
                victim: random.random_range(0..3),
                // One early, so that every run has one.
                loses_disk: number == 2 || random.random_bool(0.2),
                away: match random.random_bool(0.12) {
                    true => Self::SESSION_TIMEOUT + Duration::from_secs(2),
                    false => Duration::from_millis(random.random_range(0..300)),
                },
            })
            .collect()
    }

    /// Runs it.
    ///
    /// # Errors
    /// If anything is not as it must be; logs and state stay in the folder.
    pub async fn run(&self) -> anyhow::Result<Outcome> {
        let broker = KafkaBroker::new(KafkaSettings::new(&self.bootstrap))?;
        let rate = FLIGHTS * 1_000 / (u64::from(self.kills) * Self::MEAN_INTERVAL.as_millis() as u64);
        let mut producer = self
            .command()
            .args(["--produce-only", "--rate", &rate.to_string()])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(self.folder.join("producer.log"))?)
            .spawn()?;
        let mut followers = Vec::new();
        for number in 0..3 {
            followers.push(Follower::start(self, number)?);
        }
        let mut outcome = Outcome { lost: 0, replaced: 0, replays: Replays::default() };
        for kill in self.plan() {
            tokio::time::sleep(kill.after).await;
            let victim = &mut followers[kill.victim];
            victim.kill()?;
            victim.note_ends(replay::ends(&broker, &self.application()).await?);
            if kill.loses_disk {
                victim.lose_disk()?;
                outcome.lost += 1;
            }
            outcome.replaced += u32::from(kill.away > Self::SESSION_TIMEOUT);
            tokio::time::sleep(kill.away).await;
            victim.restart(self)?;
        }
        let written = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(status) = producer.try_wait()? {
                    return anyhow::Ok(status);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        ensure!(written.await.context("the flights were not written in time")??.success(), "the producer failed");
        self.check_totals().await?;
        for follower in &mut followers {
            follower.stop().await?;
        }
        self.check_stores()?;
        outcome.replays = replay::check(&broker, &self.application(), &followers).await?;
        Ok(outcome)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        let timeout = Self::SESSION_TIMEOUT.as_millis().to_string();
        command
            .args(["--bootstrap-servers", &self.bootstrap, "--application-id", &self.application()])
            .args(["--session-timeout-ms", &timeout, "--commit-interval-ms", "100"])
            .env("RUST_LOG", "info")
            .stdin(Stdio::null());
        command
    }

    fn state_dir(&self, number: usize) -> PathBuf {
        self.folder.join(format!("state-{number}"))
    }

    /// A fourth process joins, waits until all is counted, and reads the output topics.
    async fn check_totals(&self) -> anyhow::Result<()> {
        let log = std::fs::File::create(self.folder.join("reader.log"))?;
        let mut command = self.command();
        command.args(["--no-produce", "--json", "--state-dir"]).arg(self.state_dir(3));
        let reader = tokio::task::spawn_blocking(move || command.stderr(log).output());
        let output = tokio::time::timeout(PATIENCE, reader).await.context("not all was counted in time")???;
        ensure!(output.status.success(), "the reading process failed: {}", output.status);
        let mut said: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        said.as_object_mut().context("a JSON object")?.remove("elapsed_ms");
        let expected: serde_json::Value = serde_json::from_str(EXPECTED)?;
        ensure!(said == expected, "the totals are wrong: {said}");
        Ok(())
    }

    /// The last value of each key of each changelog is what the last owner's store holds.
    fn check_stores(&self) -> anyhow::Result<()> {
        let folders = (0..4).map(|number| self.state_dir(number));
        let output = self.command().arg("--check-stores").args(folders).output()?;
        if !output.status.success() {
            bail!("stores and changelogs differ: {}", String::from_utf8_lossy(&output.stderr));
        }
        let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        // Three stores of six partitions, and a key per airport, airport and hour, and airline.
        ensure!(report["keys"] == 3 + 19_486 + 16, "keys in the stores: {report}");
        Ok(())
    }
}
