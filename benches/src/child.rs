//! Each side runs in a process of its own, so that threads, memory and CPU time don't mix.
//!
//! ```text
//!  bench ── order ─▶ this program again (raw loop, Millstream) │ java (Kafka Streams) ── a line of JSON ─▶ bench
//! ```

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::order::{Mode, Order, Side};
use crate::restored::RestoreLog;
use crate::{instance, raw};

/// What a serving process says when it is ready.
pub const READY: &str = "ready";

/// Does what the order says, as the child process that got it.
///
/// # Errors
/// If the order cannot be carried out.
pub fn obey(order: &str) -> Result<()> {
    let order: Order = serde_json::from_str(order).context("--order")?;
    let log = RestoreLog::default();
    // What is restored is told in the log only.
    let level = if order.mode == Mode::Restart { "warn,millstream::restore=info" } else { "warn" };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into());
    let writer = log.clone();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(move || writer.clone()).init();
    match (order.side, order.mode) {
        (Side::Raw, Mode::Run) => tell(&raw::run(&order)?),
        (Side::Raw, Mode::Serve) => tell(&raw::serve(&order)?),
        (Side::Millstream, Mode::Run) => tell(&instance::run(&order)?),
        (Side::Millstream, Mode::Restart) => tell(&instance::restart(&order, &log)?),
        (Side::Millstream, Mode::Serve) => tell(&instance::serve(&order)?),
        (side, mode) => bail!("the {} has no mode {mode:?} in this program", side.name()),
    }
}

fn tell(figures: &impl Serialize) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{}", serde_json::to_string(figures)?)?)
}

/// How processes are started.
#[derive(Clone, Debug, Default)]
pub struct Starter {
    /// Kafka Streams' jars, with the program for the JVM among them.
    pub jars: Option<PathBuf>,
    /// A command under which Millstream's process is run, such as a profiler.
    pub wrap: Option<String>,
}

impl Starter {
    /// Runs a process to its end and answers what it told.
    ///
    /// # Errors
    /// If it fails, or tells nothing.
    pub fn figures<T: DeserializeOwned>(&self, order: &Order) -> Result<T> {
        let output = self.command(order)?.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "the {}'s process ended with {}", order.side.name(), output.status);
        let text = String::from_utf8(output.stdout)?;
        let line = text.lines().find(|line| line.starts_with('{')).context("the process told no figures")?;
        Ok(serde_json::from_str(line)?)
    }

    /// Runs a process until it kills itself.
    ///
    /// # Errors
    /// If it ends otherwise.
    pub fn until_it_dies(&self, order: &Order) -> Result<()> {
        use std::os::unix::process::ExitStatusExt as _;
        let output = self.command(order)?.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        let status = output.status;
        ensure!(status.signal() == Some(libc::SIGKILL), "the {} was to die and ended with {status}", order.side.name());
        Ok(())
    }

    /// Starts a process that serves, and waits until it is ready.
    ///
    /// # Errors
    /// If it ends before that.
    pub fn serve(&self, order: &Order) -> Result<Serving> {
        let mut command = self.command(order)?;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().context("no output")?);
        let mut serving = Serving { child, stdin, lines: BufReader::new(stdout).lines() };
        let line = serving.lines.next().transpose()?;
        ensure!(line.as_deref() == Some(READY), "the {} is not ready: {line:?}", order.side.name());
        Ok(serving)
    }

    fn command(&self, order: &Order) -> Result<Command> {
        if order.side == Side::KafkaStreams {
            return self.java(order);
        }
        let program = std::env::current_exe()?;
        let wrap = self.wrap.as_deref().filter(|_| order.side == Side::Millstream).unwrap_or_default();
        let mut words = wrap.split_whitespace();
        let mut command = match words.next() {
            Some(wrapper) => Command::new(wrapper),
            None => Command::new(&program),
        };
        if !wrap.trim().is_empty() {
            command.args(words).arg("--").arg(&program);
        }
        command.arg("--order").arg(serde_json::to_string(order)?);
        Ok(command)
    }

    fn java(&self, order: &Order) -> Result<Command> {
        let jars = self.jars.as_ref().context("Kafka Streams needs --jars: see scripts/bench-peers.sh")?;
        let mut command = Command::new("java");
        command.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=error");
        let classes = format!("{0}/*:{0}/dependency/*", jars.display());
        command.args(["-cp", &classes, "millstream.peers.Peer"]);
        // The same order, as options. What only the raw loop heeds is left out.
        let serde_json::Value::Object(fields) = serde_json::to_value(order)? else { bail!("an order is an object") };
        for (name, value) in fields {
            let value = match (name.as_str(), value) {
                ("guarantee", value) if value == "exactly_once" => "exactly_once_v2".to_owned(),
                (_, serde_json::Value::String(text)) => text,
                (_, other) => other.to_string(),
            };
            command.arg(format!("--{}", name.replace('_', "-"))).arg(value);
        }
        Ok(command)
    }
}

/// A process that serves until it is told to end.
pub struct Serving {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Serving {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Tells it to end, and answers what it told.
    ///
    /// # Errors
    /// If it fails.
    pub fn finish<T: DeserializeOwned>(mut self) -> Result<T> {
        drop(self.stdin.take());
        let line = self.lines.next().transpose()?.context("the process told no figures")?;
        let status = self.child.wait()?;
        ensure!(status.success(), "a serving process ended with {status}");
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It has ended already, unless the bench failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Blocks until this process's standard input ends: what a serving process waits for.
///
/// # Errors
/// If it cannot be read.
pub fn until_told_to_end() -> Result<()> {
    std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())?;
    Ok(())
}
