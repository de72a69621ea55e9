//! Wall time, CPU time and memory of this process.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};
use millstream::clock::{Clock as _, Monotonic, SystemClock};
use serde::{Deserialize, Serialize};

use crate::native;

/// What one run of one side took, from its first record to the commit of its last.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// How many input records.
    pub records: u64,
    /// Wall time.
    pub seconds: f64,
    /// User and system time of all threads.
    pub cpu_seconds: f64,
    /// Wall time of the second half, when a virtual machine is warm.
    pub half_seconds: f64,
    /// CPU time of the second half.
    pub half_cpu_seconds: f64,
    /// From the start of the process to the first record: clients, group, topics, stores.
    pub first_record_seconds: f64,
    /// The most memory that was ever resident.
    pub peak_rss_mib: f64,
    /// CPU time by thread name since the process started, for the threads that still lived at the end.
    #[serde(default)]
    pub threads: BTreeMap<String, f64>,
}

impl Figures {
    /// Input records per second.
    pub fn rate(&self) -> f64 {
        self.records as f64 / self.seconds
    }

    /// CPU seconds per million input records.
    pub fn cpu_per_million(&self) -> f64 {
        self.cpu_seconds / self.records as f64 * 1e6
    }

    /// Input records per second of the second half.
    pub fn half_rate(&self) -> f64 {
        self.records as f64 / 2.0 / self.half_seconds
    }

    /// CPU seconds per million input records of the second half.
    pub fn half_cpu_per_million(&self) -> f64 {
        self.half_cpu_seconds / (self.records as f64 / 2.0) * 1e6
    }
}

/// How a process that was started again came back.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Revival {
    /// From the start of the process to the first new record.
    pub first_record_seconds: f64,
    /// How many records were replayed from changelogs.
    pub restored: u64,
    /// From the beginning of the first replay to the end of the last.
    pub restore_seconds: f64,
    /// CPU time of that.
    pub restore_cpu_seconds: f64,
    /// The most memory that was ever resident.
    pub peak_rss_mib: f64,
}

/// What a process took that served until it was told to end.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Service {
    /// User and system time since it was ready.
    pub cpu_seconds: f64,
    /// The most memory that was ever resident.
    pub peak_rss_mib: f64,
}

/// A moment, with the CPU time used until then.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    at: Monotonic,
    cpu: f64,
}

impl Mark {
    /// Wall and CPU seconds between an earlier moment and this one.
    pub fn since(self, earlier: Self) -> (f64, f64) {
        (self.at.since(earlier.at).as_secs_f64(), self.cpu - earlier.cpu)
    }
}

/// Measures one run.
#[derive(Clone)]
pub struct Meter {
    clock: SystemClock,
    start: Monotonic,
}

impl Default for Meter {
    fn default() -> Self {
        let clock = SystemClock::default();
        Self { start: clock.monotonic(), clock }
    }
}

impl Meter {
    /// The time.
    pub fn now(&self) -> Monotonic {
        self.clock.monotonic()
    }

    /// This moment.
    pub fn mark(&self) -> Mark {
        Mark { at: self.now(), cpu: native::cpu_seconds() }
    }

    /// How long after the start of this process a moment was.
    pub fn since_start(&self, mark: Mark) -> f64 {
        mark.at.since(self.start).as_secs_f64()
    }

    /// The figures of a run whose first record came at `first`, and that of the middle at `middle`, and which is over now.
    pub fn figures(&self, records: u64, first: Mark, middle: Mark) -> Figures {
        let end = self.mark();
        let ((seconds, cpu_seconds), (half_seconds, half_cpu_seconds)) = (end.since(first), end.since(middle));
        Figures {
            records,
            seconds,
            cpu_seconds,
            half_seconds,
            half_cpu_seconds,
            first_record_seconds: self.since_start(first),
            peak_rss_mib: peak_rss_mib(),
            threads: threads(),
        }
    }
}

/// CPU seconds that a process has used so far, all its threads together.
///
/// # Errors
/// If there is no such process.
pub fn cpu_seconds_of(process: u32) -> Result<f64> {
    let stat =
        fs::read_to_string(format!("/proc/{process}/stat")).with_context(|| format!("process {process} has ended"))?;
    Ok(ticks(&stat) / TICKS_PER_SECOND)
}

/// Milliseconds since the epoch.
pub fn wall_ms() -> i64 {
    SystemClock::default().wall().millis()
}

/// The most memory that was ever resident; zero where the system does not tell.
pub fn peak_rss_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: Option<f64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0.0) / 1024.0
}

fn threads() -> BTreeMap<String, f64> {
    let mut by_name = BTreeMap::new();
    for thread in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |name| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        let (name, stat) = (read("comm"), read("stat"));
        *by_name.entry(name.trim().to_owned()).or_insert(0.0) += ticks(&stat) / TICKS_PER_SECOND;
    }
    by_name.retain(|_, seconds| *seconds >= 0.02);
    by_name
}

/// In which the system counts CPU time for /proc, on every Linux of today.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time. The fields are counted after the name, which may hold spaces.
fn ticks(stat: &str) -> f64 {
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    fields.filter_map(|field| field.parse::<f64>().ok()).sum()
}
