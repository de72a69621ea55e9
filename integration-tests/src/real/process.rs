//! One of the processes that share the work, with its disk and its own way to the brokers.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use super::workload::Workload;
use crate::proxy::Proxy;
use crate::support::memory_mib;

/// How long a clean stop may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process, alive or not.
pub struct Process {
    number: usize,
    program: PathBuf,
    folder: PathBuf,
    workload: Workload,
    /// Its way to the brokers.
    pub proxy: Proxy,
    child: Option<Child>,
    lives: u32,
}

impl Process {
    /// The place for a process; it is not started. `program` is `real_faults`.
    ///
    /// # Errors
    /// If its proxy finds no port.
    pub fn new(number: usize, program: &Path, folder: &Path, workload: &Workload, proxy: Proxy) -> Self {
        let (program, folder, workload) = (program.to_owned(), folder.to_owned(), workload.clone());
        Self { number, program, folder, workload, proxy, child: None, lives: 0 }
    }

    /// Where its stores are.
    pub fn state_dir(&self) -> PathBuf {
        self.folder.join(format!("state-{}", self.number))
    }

    fn log(&self, life: u32) -> PathBuf {
        self.folder.join(format!("process-{}-{life:03}.log", self.number))
    }

    /// Starts it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.lives += 1;
        let log = File::create(self.log(self.lives))?;
        let workload = &self.workload;
        let mut command = Command::new(&self.program);
        command.arg("work").args([self.proxy.address(), &workload.app]).arg(self.state_dir());
        command.args([workload.partitions.to_string(), workload.keys.to_string(), workload.buckets.to_string()]);
        command.arg(workload.base.to_string()).env("RUST_LOG", "info");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.child = Some(child.with_context(|| format!("starting {}", self.program.display()))?);
        Ok(())
    }

    /// Its id, while it lives.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// It must not have ended by itself.
    ///
    /// # Errors
    /// If it has; with the end of its log.
    pub fn lives(&mut self) -> anyhow::Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        if let Some(status) = child.try_wait()? {
            let log = self.log(self.lives);
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let last: Vec<&str> = text.lines().rev().take(5).collect();
            bail!("process {} ended by itself with {status}: {}: {last:?}", self.number, log.display());
        }
        Ok(())
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// If it had ended by itself.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.lives()?;
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Removes its disk.
    ///
    /// # Errors
    /// If that fails.
    pub fn lose_disk(&self) -> anyhow::Result<()> {
        match std::fs::remove_dir_all(self.state_dir()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Sends a signal by its name.
    ///
    /// # Errors
    /// If there is nobody to be told.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let Some(id) = self.id() else { return Ok(()) };
        let told = Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status()?;
        ensure!(told.success(), "process {} could not be told {name}", self.number);
        Ok(())
    }

    /// SIGTERM; it must end with status 0.
    ///
    /// # Errors
    /// If it does not.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.lives()?;
        self.signal("TERM")?;
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let ended = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(status) = child.try_wait()? {
                    return anyhow::Ok(status);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let Ok(status) = ended.await else {
            child.kill()?;
            bail!("process {} was asked to stop and does not: {}", self.number, self.log(self.lives).display());
        };
        let status = status?;
        ensure!(status.success(), "process {} was asked to stop and ended with {status}", self.number);
        Ok(())
    }

    /// Its resident memory in MiB, while it lives.
    pub fn resident_mib(&self) -> Option<u64> {
        memory_mib(&self.id()?.to_string(), "VmRSS")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
