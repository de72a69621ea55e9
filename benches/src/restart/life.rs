//! One life of the application: a child process, and when it logged what.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;

use super::PATIENCE;
use super::options::Order;
use super::watch::{Stopwatch, pause};

/// When what was done, in milliseconds since the process was started; the last time if it was done more than once.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Marks {
    /// The process runs and has its state directory.
    pub(super) started: u64,
    /// The topics are there.
    pub(super) topics: u64,
    /// The producer is initialised, what its predecessor left open is aborted.
    pub(super) producer: u64,
    /// The stores are open.
    pub(super) stores: u64,
    /// The group has given us the tasks.
    pub(super) assigned: u64,
    /// All stores are complete.
    pub(super) running: u64,
}

type Mark = fn(&mut Marks) -> &mut u64;

/// The lines of the log that say so.
const LINES: [(&str, Mark); 6] = [
    ("memory bounds", |marks| &mut marks.started),
    ("the topics are resolved", |marks| &mut marks.topics),
    ("the producer is initialised", |marks| &mut marks.producer),
    ("opened its stores", |marks| &mut marks.stores),
    (": assigned ", |marks| &mut marks.assigned),
    ("→ RUNNING", |marks| &mut marks.running),
];

#[derive(Default)]
struct Told {
    marks: Marks,
    restored: u64,
}

impl Told {
    fn hear(&mut self, line: &str, at: Duration) {
        for (text, mark) in LINES {
            if line.contains(text) {
                *mark(&mut self.marks) = at.as_millis() as u64;
            }
        }
        let restored = line.split_once(" restored ").and_then(|(_, rest)| rest.split(' ').next());
        self.restored += restored.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
    }
}

/// A running child.
pub(super) struct Life {
    child: Child,
    since: Stopwatch,
    // Written by the thread that reads the log.
    told: Arc<Mutex<Told>>,
}

impl Life {
    pub(super) fn start(order: &Order) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--order").arg(serde_json::to_string(order)?).stdout(Stdio::null()).stderr(Stdio::piped());
        let since = Stopwatch::start();
        let mut child = command.spawn().context("starting the application")?;
        let told = Arc::<Mutex<Told>>::default();
        if let Some(log) = child.stderr.take() {
            let (told, clock) = (told.clone(), since.clone());
            std::thread::spawn(move || listen(log, &clock, &told));
        }
        Ok(Self { child, since, told })
    }

    pub(super) fn age_ms(&self) -> u64 {
        self.since.elapsed().as_millis() as u64
    }

    pub(super) fn marks(&self) -> (Marks, u64) {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        (told.marks, told.restored)
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        ensure!(self.child.try_wait()?.is_none(), "the application ended by itself");
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM; answers how many milliseconds it took to end.
    pub(super) fn stop(&mut self) -> Result<u64> {
        let began = Stopwatch::start();
        ensure!(Command::new("kill").arg(self.child.id().to_string()).status()?.success(), "kill refused");
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the application was asked to stop and ended with {status}");
                return Ok(began.elapsed().as_millis() as u64);
            }
            pause(Duration::from_millis(5));
        }
        bail!("the application did not stop in {PATIENCE:?}")
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(log: ChildStderr, since: &Stopwatch, told: &Mutex<Told>) {
    let show = std::env::var_os("RESTART_LOG").is_some();
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        let at = since.elapsed();
        if show || line.contains(" WARN ") || line.contains("ERROR") {
            let _ = writeln!(std::io::stderr(), "  {:>5} ms  {line}", at.as_millis());
        }
        told.lock().unwrap_or_else(PoisonError::into_inner).hear(&line, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_restored_records_are_found_in_the_log() {
        let mut told = Told::default();
        told.hear("INFO millstream::restore: restored 12 records in 3 ms task=0_1", Duration::from_millis(30));
        told.hear("INFO millstream::restore: restored 5 records in 3 ms task=0_2", Duration::from_millis(31));
        told.hear("INFO millstream: app: REBALANCING → RUNNING", Duration::from_millis(40));
        assert_eq!((told.restored, told.marks.running), (17, 40));
    }
}
