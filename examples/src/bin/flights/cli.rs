//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Counts the 336,776 flights that left New York City in 2013: per airport, per airport and hour, per airline.
///
/// Without --bootstrap-servers everything happens in this process, on the embedded broker.
#[derive(Clone, Debug, Parser)]
#[command(name = "flights", version)]
pub(crate) struct Cli {
    /// A Kafka cluster to run on, as HOST:PORT[,HOST:PORT...]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) bootstrap_servers: Option<String>,

    /// Names the group, the topics and the state; processes with the same one share the work
    #[arg(long, default_value = "flights", value_name = "NAME")]
    pub(crate) application_id: String,

    /// Where this process keeps its state [default: a folder of its own, which it finds again when started again]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state_dir: Option<PathBuf>,

    /// Threads that process records [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) workers: Option<u16>,

    /// What is promised when something fails
    #[arg(long, value_enum, default_value_t = Guarantee::ExactlyOnce)]
    pub(crate) guarantee: Guarantee,

    /// How often results are committed, in milliseconds
    #[arg(long, default_value_t = 100, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) commit_interval_ms: u64,

    /// After this long without a sign of life a process loses its share of the work, in milliseconds
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) session_timeout_ms: Option<u64>,

    /// Only write the flights into the topic
    #[arg(long, conflicts_with_all = ["no_produce", "follow"], requires = "bootstrap_servers")]
    pub(crate) produce_only: bool,

    /// Only process: another process writes the flights
    #[arg(long, requires = "bootstrap_servers")]
    pub(crate) no_produce: bool,

    /// Flights written per second [default: as many as possible]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,

    /// Go on until SIGTERM or Ctrl-C instead of ending with a result
    #[arg(long)]
    pub(crate) follow: bool,

    /// Compare the stores that stopped processes left in these folders with their changelogs, and end
    #[arg(long, value_name = "FOLDER", num_args = 1.., requires = "bootstrap_servers")]
    pub(crate) check_stores: Vec<PathBuf>,

    /// Print the result as one line of JSON, and no progress
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is promised when something fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Guarantee {
    /// Each flight counts once, whatever fails
    #[value(alias = "exactly_once", alias = "exactly_once_v2")]
    ExactlyOnce,
    /// No flight is left out; some may count twice after a failure
    #[value(alias = "at_least_once")]
    AtLeastOnce,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn producing_and_not_producing_exclude_each_other() {
        let words = ["flights", "--bootstrap-servers", "localhost:9092", "--produce-only", "--no-produce"];
        assert!(Cli::try_parse_from(words).is_err());
    }
}
