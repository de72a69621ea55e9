//! Wall time, CPU time and memory of this process.

use std::collections::BTreeMap;
use std::fs;

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
    /// From the start of the work to the first record: clients, group, topics, stores.
    pub first_record_seconds: f64,
    /// The most memory that was ever resident.
    pub peak_rss_mib: f64,
    /// CPU time by thread name since the process started, for the threads that still lived at the end.
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
}

/// A moment, with the CPU time used until then.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    at: Monotonic,
    cpu: f64,
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

    /// The figures of a run whose first record came at `first`, and which is over now.
    pub fn figures(&self, records: u64, first: Mark) -> Figures {
        let end = self.mark();
        Figures {
            records,
            seconds: end.at.since(first.at).as_secs_f64(),
            cpu_seconds: end.cpu - first.cpu,
            first_record_seconds: first.at.since(self.start).as_secs_f64(),
            peak_rss_mib: peak_rss_mib(),
            threads: threads(),
        }
    }
}

/// Milliseconds since the epoch.
pub fn wall_ms() -> i64 {
    SystemClock::default().wall().millis()
}

/// Zero where the system does not tell.
fn peak_rss_mib() -> f64 {
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
        // Counted after the name, which may hold spaces: fields 12 and 13 are user and system time in ticks of 10 ms.
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
        let ticks: f64 = fields.filter_map(|field| field.parse::<f64>().ok()).sum();
        *by_name.entry(name.trim().to_owned()).or_insert(0.0) += ticks / 100.0;
    }
    by_name.retain(|_, seconds| *seconds >= 0.02);
    by_name
}
