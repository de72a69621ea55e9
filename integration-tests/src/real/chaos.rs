//! A run: processes, brokers and wires fail as the seed has it, while inputs come in; then everything must be exact.
//!
//! ```text
//!   load ──▶ in ──▶ three processes, each behind its proxy ──▶ counts, windows ──▶ checker, record by record
//!                     ▲ killed, paused, disk lost, cut off            ▲ brokers killed
//!   in the end: outputs, changelogs, stores exact · inputs committed · no transaction open · memory flat
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use millstream::broker::kafka::{KafkaBroker, KafkaSettings};
use tokio::time::{Instant, sleep};

use super::check;
use super::cluster::Cluster;
use super::plan::{Plan, Trouble};
use super::process::Process;
use super::traffic::Traffic;
use super::workload::Workload;
use crate::proxy::{Proxy, Rule, Way, When};

/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_secs(30);

/// A run.
#[derive(Clone, Debug)]
pub struct Chaos {
    /// The brokers.
    pub bootstrap: String,
    /// The program `real_faults`.
    pub program: PathBuf,
    /// A folder for state and logs.
    pub folder: PathBuf,
    /// Decides what goes wrong and when.
    pub seed: u64,
    /// For how long things go wrong.
    pub length: Duration,
    /// Inputs a second.
    pub rate: u64,
    /// How many processes there are.
    pub processes: usize,
    /// How many partitions each topic has.
    pub partitions: i32,
}

/// What happened.
#[derive(Debug, Default)]
pub struct Report {
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
    /// How many inputs there were.
    pub inputs: u64,
    /// How many outputs were checked.
    pub outputs: i64,
    /// The longest time in which nothing came out although something was due.
    pub longest_stall: Duration,
    /// When it began, counted from the start.
    pub longest_stall_from: Duration,
    /// What went wrong from 15 s before it to its end.
    pub around_stall: Vec<String>,
    /// Resident memory in MiB of the first process, which is never killed: each sample.
    pub resident: Vec<u64>,
}

struct Run<'a> {
    chaos: &'a Chaos,
    cluster: Option<&'a Cluster>,
    processes: Vec<Process>,
    traffic: Traffic,
    report: Report,
    /// When each process's rules on the wire end.
    armed: Vec<Option<Instant>>,
    sampled: Instant,
    began: Instant,
    /// What went wrong, and when.
    told: Vec<(Duration, String)>,
}

impl Chaos {
    /// Runs it; with a cluster, its brokers fail too.
    ///
    /// # Errors
    /// The violation: whatever is not exact, does not come to an end, or ended by itself. Logs stay in the folder.
    pub async fn run(&self, cluster: Option<&Cluster>) -> anyhow::Result<Report> {
        std::fs::create_dir_all(&self.folder)?;
        let broker = KafkaBroker::new(KafkaSettings::new(&self.bootstrap))?;
        let now = std::time::UNIX_EPOCH.elapsed()?.as_millis() as i64;
        let workload = Workload {
            app: format!("faults-{}-{}-{now:x}", self.seed, std::process::id()),
            partitions: self.partitions,
            keys: 1_000,
            buckets: 20,
            // Brokers refuse times that are more than an hour ahead.
            base: now - 7_200_000,
        };
        workload.create_topics(&broker).await?;
        let mut processes = Vec::new();
        for number in 0..self.processes {
            let proxy = Proxy::start(&self.bootstrap, self.seed.wrapping_add(number as u64))?;
            let mut process = Process::new(number, &self.program, &self.folder, &workload, proxy);
            process.start()?;
            processes.push(process);
        }
        let traffic = Traffic::start(&workload, &self.bootstrap, self.rate)?;
        let armed = vec![None; self.processes];
        let report = Report::default();
        let now = Instant::now();
        let told = Vec::new();
        let mut run = Run { chaos: self, cluster, processes, traffic, report, armed, sampled: now, began: now, told };
        run.trouble().await?;
        run.finish(&workload, &broker).await
    }
}

impl Run<'_> {
    async fn trouble(&mut self) -> anyhow::Result<()> {
        let brokers = if self.cluster.is_some() { Cluster::NODES } else { 0 };
        let mut plan = Plan::new(self.chaos.seed, self.processes.len(), brokers);
        let end = Instant::now() + self.chaos.length;
        while Instant::now() < end {
            let step = plan.next();
            self.wait(step.after).await?;
            tracing::info!("{:?}", step.trouble);
            self.told.push((self.began.elapsed(), format!("{:?}", step.trouble)));
            *self.report.faults.entry(step.trouble.kind().to_owned()).or_default() += 1;
            self.make(step.trouble.clone()).await.with_context(|| format!("{:?}", step.trouble))?;
        }
        Ok(())
    }

    /// Lets time pass, and looks meanwhile whether something is wrong.
    async fn wait(&mut self, time: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + time;
        loop {
            if let Some(wrong) = self.traffic.wrong() {
                bail!(wrong);
            }
            for (process, armed) in self.processes.iter_mut().zip(&mut self.armed) {
                process.lives()?;
                if armed.is_some_and(|end| Instant::now() >= end) {
                    process.proxy.rules().disarm();
                    *armed = None;
                }
            }
            self.sample();
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            sleep(left.min(Duration::from_millis(200))).await;
        }
    }

    fn sample(&mut self) {
        if self.sampled.elapsed() < SAMPLE {
            return;
        }
        self.sampled = Instant::now();
        let resident: Vec<_> = self.processes.iter().map(Process::resident_mib).collect();
        self.report.resident.extend(resident.first().copied().flatten());
        let (seen, wanted) = self.traffic.progress();
        let stall = self.traffic.longest_stall();
        tracing::info!("{seen} of {wanted} outputs, longest stall {stall:?}, resident MiB {resident:?}");
    }

    async fn make(&mut self, trouble: Trouble) -> anyhow::Result<()> {
        match trouble {
            Trouble::Kill { who, loses_disk, away } => {
                self.processes[who].kill()?;
                if loses_disk {
                    self.processes[who].lose_disk()?;
                }
                self.wait(away).await?;
                self.processes[who].start()
            }
            Trouble::Pause { who, time } => {
                self.processes[who].signal("STOP")?;
                self.wait(time).await?;
                self.processes[who].signal("CONT")
            }
            Trouble::Leave { who, away } => {
                self.processes[who].stop().await?;
                self.wait(away).await?;
                self.processes[who].start()
            }
            Trouble::Disconnect { who } => {
                self.processes[who].proxy.disconnect();
                Ok(())
            }
            Trouble::Cut { who, time } => self.way(who, Way::Cut, time).await,
            Trouble::Silence { who, time } => self.way(who, Way::Silent, time).await,
            Trouble::Wire { who, api, fault, chance, time } => {
                let rules = self.processes[who].proxy.rules();
                rules.arm(Rule { api, when: When::Chance(chance), fault });
                self.armed[who] = Some(Instant::now() + time);
                Ok(())
            }
            Trouble::Broker { node, away } => {
                let Some(cluster) = self.cluster else { return Ok(()) };
                cluster.kill(node)?;
                self.wait(away).await?;
                tokio::task::block_in_place(|| cluster.restart(node))
            }
            Trouble::BrokerPause { node, time } => {
                let Some(cluster) = self.cluster else { return Ok(()) };
                cluster.pause(node)?;
                self.wait(time).await?;
                cluster.resume(node)
            }
        }
    }

    async fn way(&mut self, who: usize, way: Way, time: Duration) -> anyhow::Result<()> {
        self.processes[who].proxy.set_way(way);
        self.wait(time).await?;
        if way == Way::Silent {
            // What was swallowed is not made good: the connections are of no use to anybody.
            self.processes[who].proxy.set_way(Way::Cut);
        }
        self.processes[who].proxy.set_way(Way::Open);
        Ok(())
    }

    /// All faults are over: everything must come to a good end.
    async fn finish(mut self, workload: &Workload, broker: &KafkaBroker) -> anyhow::Result<Report> {
        for process in &self.processes {
            process.proxy.rules().disarm();
            for ((api, kind), count) in process.proxy.rules().hits() {
                *self.report.faults.entry(format!("{api:?}: {kind}")).or_default() += count;
            }
        }
        let (loader, follower) = self.traffic.finish().await?;
        for process in &mut self.processes {
            process.lives()?;
        }
        check::nothing_hangs(workload, broker).await?;
        for process in &mut self.processes {
            process.stop().await?;
        }
        check::nothing_hangs(workload, broker).await?;
        check::changelogs(workload, &self.chaos.bootstrap, &loader.expected)?;
        let folders: Vec<PathBuf> = self.processes.iter().map(Process::state_dir).collect();
        check::stores_on_disk(workload, broker, &folders).await?;
        self.report.inputs = loader.next;
        self.report.outputs = follower.seen().iter().sum();
        self.report.longest_stall = self.traffic.longest_stall();
        self.report.longest_stall_from = self.traffic.longest_stall_from();
        let from = self.report.longest_stall_from.saturating_sub(Duration::from_secs(15));
        let to = self.report.longest_stall_from + self.report.longest_stall;
        let around = self.told.into_iter().filter(|(at, _)| (from..to).contains(at));
        self.report.around_stall =
            around.map(|(at, trouble)| format!("{:>5.0} s  {trouble}", at.as_secs_f64())).collect();
        Ok(self.report)
    }
}
