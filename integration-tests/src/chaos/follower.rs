//! One of the processes that share the work: started, killed, started again.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use super::replay::Ends;
use super::{Chaos, PATIENCE};

/// One life of a process: from its start to its end.
pub(super) struct Life {
    /// What it wrote.
    pub(super) log: PathBuf,
    /// Whether it began without the disk of the one before.
    pub(super) fresh: bool,
    /// Where the changelogs ended right after it was killed; none while it lives or if it was stopped.
    pub(super) ends: Option<Ends>,
}

/// A place in the group, with its disk.
pub(super) struct Follower {
    number: usize,
    state_dir: PathBuf,
    child: Child,
    lost_disk: bool,
    /// All lives, the present one last.
    pub(super) lives: Vec<Life>,
}

impl Follower {
    pub(super) fn start(chaos: &Chaos, number: usize) -> anyhow::Result<Self> {
        let state_dir = chaos.state_dir(number);
        let (child, life) = spawn(chaos, number, 0, true)?;
        Ok(Self { number, state_dir, child, lost_disk: false, lives: vec![life] })
    }

    pub(super) fn restart(&mut self, chaos: &Chaos) -> anyhow::Result<()> {
        let (child, life) = spawn(chaos, self.number, self.lives.len(), self.lost_disk)?;
        self.child = child;
        self.lost_disk = false;
        self.lives.push(life);
        Ok(())
    }

    /// SIGKILL; it must have been alive.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        let log = self.lives.last().map(|life| life.log.display().to_string()).unwrap_or_default();
        ensure!(self.child.try_wait()?.is_none(), "a process ended by itself: {log}");
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub(super) fn note_ends(&mut self, ends: Ends) {
        if let Some(life) = self.lives.last_mut() {
            life.ends = Some(ends);
        }
    }

    pub(super) fn lose_disk(&mut self) -> anyhow::Result<()> {
        self.lost_disk = true;
        match std::fs::remove_dir_all(&self.state_dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// SIGTERM; it must end with status 0.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        ensure!(Command::new("kill").arg(self.child.id().to_string()).status()?.success(), "kill refused");
        let ended = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(status) = self.child.try_wait()? {
                    return anyhow::Ok(status);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let status = ended.await.with_context(|| format!("process {} did not stop", self.number))??;
        ensure!(status.success(), "process {} was asked to stop and ended with {status}", self.number);
        Ok(())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(chaos: &Chaos, number: usize, life: usize, fresh: bool) -> anyhow::Result<(Child, Life)> {
    let log = chaos.folder.join(format!("follower-{number}-{life:03}.log"));
    let mut command = chaos.command();
    command.args(["--no-produce", "--follow", "--state-dir"]).arg(chaos.state_dir(number));
    let child = command.stdout(Stdio::null()).stderr(File::create(&log)?).spawn().context("starting flights")?;
    Ok((child, Life { log, fresh, ends: None }))
}
