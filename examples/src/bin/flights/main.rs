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
async fn main() -> std::process::ExitCode {
    let cli = cli::Cli::parse();
    // Beside a progress bar only what is wrong is worth a line; that another process takes over writing is not, and the
    // client library would tell it at length.
    millstream_examples::logs::init(if cli.follow { "info" } else { "warn,millstream::broker::kafka::consuming=off" });
    millstream_examples::screen::ended(run::run(&cli).await)
}
