//! The year's flights, counted exactly once: on the embedded broker, or on a real Kafka by any number of processes.
//!
//! ```text
//!   data ──▶ produce ──▶ APP.flights ──▶ topology ──▶ output topics ──▶ result
//! ```

mod cli;
mod data;
mod produce;
mod progress;
mod result;
mod run;
mod topology;
mod totals;

use clap::Parser as _;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = cli::Cli::parse();
    // Beside a progress bar only what is wrong is worth a line.
    millstream_examples::logs::init(if cli.follow { "info" } else { "warn" });
    run::run(&cli).await
}
