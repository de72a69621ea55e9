//! The application of the takeover tests on Millstream. Its twin on Kafka Streams is takeover/Main.java.
//!
//! ```text
//!   takeover describe|run name=value...
//! ```
//! Names: `bootstrap`, `application`, `state`, `commit` (interval in ms), `optimize` (`none` or `all`). It stops cleanly at
//! SIGTERM, and prints its states.

mod topology;

use std::collections::HashMap;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use millstream::prelude::*;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let mut arguments = std::env::args().skip(1);
    let verb = arguments.next().unwrap_or_default();
    let settings: HashMap<String, String> =
        arguments.filter_map(|pair| pair.split_once('=').map(|(name, value)| (name.into(), value.into()))).collect();
    let setting = |name: &str| settings.get(name).with_context(|| format!("{name}=… is missing"));
    let optimization = match setting("optimize")?.as_str() {
        "all" => Optimization::ALL,
        _ => Optimization::NONE,
    };
    let topology = topology::topology(setting("application")?, optimization)?;
    match verb.as_str() {
        "describe" => Ok(write!(std::io::stdout(), "{}", topology.describe())?),
        "run" => {
            let guarantee = Guarantee::ExactlyOnce { transaction_timeout: Duration::from_secs(10) };
            let config = StreamsConfig::new(setting("application")?, setting("bootstrap")?)
                .processing_guarantee(guarantee)
                .commit_interval(Duration::from_millis(setting("commit")?.parse()?))
                .session_timeout(Duration::from_secs(6))
                .workers(2)
                .replication(1)
                .state_dir(setting("state")?);
            let streams = Streams::new(topology, config)?;
            streams.on_state_change(|_, now| {
                // Without a reader there is nobody to be told.
                let _ = writeln!(std::io::stdout(), "state: {now}");
            });
            Ok(streams.run_until_ctrl_c().await?)
        }
        _ => bail!("takeover describe|run name=value..."),
    }
}
