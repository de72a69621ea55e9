//! The application as a process, on one side or the other; both take the same arguments and print their states.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::cluster::{LIMIT, LOOK};

/// What the application runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    KafkaStreams,
    Millstream,
}

impl Engine {
    fn command(self) -> Command {
        match self {
            Self::Millstream => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_takeover"));
                command.env("RUST_LOG", "info");
                command
            }
            Self::KafkaStreams => {
                let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/kafka-streams.sh");
                let built = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
                assert!(built.status.success(), "{script} failed");
                let class_path = String::from_utf8(built.stdout).unwrap();
                let mut command = Command::new("java");
                command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
                command.arg("-Dorg.slf4j.simpleLogger.showDateTime=true");
                command.args(["-cp", class_path.trim(), "Main"]);
                command
            }
        }
    }
}

/// How the application is run once.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) engine: Engine,
    /// Names its log and its state directory; with a name that was used before it comes back to that.
    pub(crate) name: &'static str,
    /// The commit interval in milliseconds.
    pub(crate) commit: u64,
    /// `none` or `all`.
    pub(crate) optimize: &'static str,
    /// Kafka Streams' group protocol: `classic` or `streams`.
    pub(crate) protocol: &'static str,
    /// Whether Kafka Streams leaves the group when it is stopped.
    pub(crate) leave: bool,
}

impl Life {
    pub(crate) fn kafka_streams(name: &'static str) -> Self {
        Self { engine: Engine::KafkaStreams, name, commit: 100, optimize: "none", protocol: "classic", leave: false }
    }

    pub(crate) fn millstream(name: &'static str) -> Self {
        Self { engine: Engine::Millstream, ..Self::kafka_streams(name) }
    }
}

/// What the application prints as its topology.
pub(crate) fn describe(engine: Engine, optimize: &str) -> String {
    let mut command = engine.command();
    command.args([
        "describe",
        "application=app",
        "bootstrap=nowhere:1",
        "state=none",
        "commit=100",
        "protocol=classic",
    ]);
    let output = command.arg(format!("optimize={optimize}")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The application while it runs. Dropped, it is killed.
pub(crate) struct Application {
    child: Child,
    log: PathBuf,
}

impl Application {
    pub(crate) fn start(bootstrap: &str, application: &str, folder: &Path, life: &Life) -> Self {
        let unused = |at: &u32| !folder.join(format!("{}-{at}.log", life.name)).exists();
        let number = (1..).find(unused).expect("a number that is not used");
        let log = folder.join(format!("{}-{number}.log", life.name));
        let out = File::create(&log).unwrap();
        let mut command = life.engine.command();
        command.arg("run").arg(format!("state={}", folder.join(life.name).display()));
        command.args([format!("bootstrap={bootstrap}"), format!("application={application}")]);
        command.args([format!("commit={}", life.commit), format!("optimize={}", life.optimize)]);
        command.args([format!("protocol={}", life.protocol), format!("leave={}", life.leave)]);
        let child = command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
        Self { child, log }
    }

    fn read_log(&self) -> String {
        // Java writes in the system's own encoding.
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    /// It must not have ended by itself.
    pub(crate) fn check_alive(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            let text = self.read_log();
            let last: Vec<&str> = text.lines().rev().take(20).collect();
            panic!("the application ended by itself with {status}: {}: {last:#?}", self.log.display());
        }
    }

    /// Waits until it processes.
    pub(crate) async fn until_running(&mut self) {
        let running = async {
            let mut look = tokio::time::interval(LOOK);
            loop {
                look.tick().await;
                self.check_alive();
                let text = self.read_log();
                if text.lines().rev().find_map(|line| line.strip_prefix("state: ")) == Some("RUNNING") {
                    return;
                }
            }
        };
        let in_time = tokio::time::timeout(LIMIT, running).await;
        assert!(in_time.is_ok(), "the application does not come to run: {}", self.log.display());
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.check_alive();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; it must end well. Answers its log.
    pub(crate) async fn stop(mut self) -> String {
        self.check_alive();
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        let status = self.until_ended().await;
        assert!(status.success(), "{status}: {}", self.log.display());
        self.read_log()
    }

    /// Waits until it ends by itself, which must be with an error. Answers its log.
    pub(crate) async fn until_failed(mut self) -> String {
        let status = self.until_ended().await;
        assert!(!status.success(), "it was to fail: {}", self.log.display());
        self.read_log()
    }

    async fn until_ended(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(LIMIT, async {
            let mut look = tokio::time::interval(Duration::from_millis(20));
            loop {
                look.tick().await;
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
            }
        });
        ended.await.unwrap_or_else(|_| panic!("the application does not end: {}", self.log.display()))
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
