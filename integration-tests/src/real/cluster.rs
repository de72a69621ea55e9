//! Brokers of our own, which may be killed: `scripts/kafka-cluster.sh`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;

/// Three brokers. They end when this is dropped.
pub struct Cluster {
    folder: PathBuf,
    /// Where clients begin.
    pub bootstrap: String,
}

impl Cluster {
    /// How many brokers there are.
    pub const NODES: usize = 3;

    /// Starts them, with their data in this folder.
    ///
    /// # Errors
    /// If they do not start.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let bootstrap = run(&["start", &folder.to_string_lossy()])?;
        Ok(Self { folder: folder.to_owned(), bootstrap })
    }

    fn tell(&self, what: &str, node: usize) -> anyhow::Result<()> {
        run(&[what, &self.folder.to_string_lossy(), &node.to_string()]).map(drop)
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// If the script fails.
    pub fn kill(&self, node: usize) -> anyhow::Result<()> {
        self.tell("kill", node)
    }

    /// Starts a broker again.
    ///
    /// # Errors
    /// If it does not come back.
    pub fn restart(&self, node: usize) -> anyhow::Result<()> {
        self.tell("restart", node)
    }

    /// Kills all and leaves their data, for whoever looks for the reason of a violation.
    pub fn keep(self) {
        for node in 1..=Self::NODES {
            if let Err(error) = self.kill(node) {
                tracing::warn!("{error:#}");
            }
        }
        std::mem::forget(self);
    }

    /// SIGSTOP.
    ///
    /// # Errors
    /// If the script fails.
    pub fn pause(&self, node: usize) -> anyhow::Result<()> {
        self.tell("pause", node)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// If the script fails.
    pub fn resume(&self, node: usize) -> anyhow::Result<()> {
        self.tell("resume", node)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = run(&["stop", &self.folder.to_string_lossy()]) {
            tracing::warn!("{error:#}");
        }
    }
}

fn run(arguments: &[&str]) -> anyhow::Result<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/kafka-cluster.sh");
    let output = Command::new(script).args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "kafka-cluster.sh {arguments:?}: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
