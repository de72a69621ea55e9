//! What can be asked for on the command line of the throughput bench.

use clap::Parser;

use crate::entry::Entry;
use crate::order::{Caching, Call, Delivery, Side, Workload};

/// Measures Millstream beside the raw client loop on a real broker, by turns.
#[derive(Debug, Parser)]
#[command(name = "throughput")]
pub struct Options {
    /// What every bench takes.
    #[command(flatten)]
    pub entry: Entry,
    /// What is done with each record.
    #[arg(long, value_enum, default_value = "passthrough")]
    pub workload: Workload,
    /// How often a record may be counted.
    #[arg(long, value_enum, default_value = "exactly_once")]
    pub guarantee: Delivery,
    /// How often to commit.
    #[arg(long, default_value_t = 100)]
    pub commit_interval_ms: u64,
    /// How many records the input has.
    #[arg(long, default_value_t = 2_000_000)]
    pub records: u64,
    /// How many partitions each topic has.
    #[arg(long, default_value_t = 4)]
    pub partitions: i32,
    /// How many keys there are.
    #[arg(long, default_value_t = 200_000)]
    pub keys: usize,
    /// How unevenly the keys are used: Zipf's exponent.
    #[arg(long, default_value_t = 0.99)]
    pub zipf: f64,
    /// How often each side is measured.
    #[arg(long, default_value_t = 3)]
    pub repeat: usize,
    /// Whether Millstream's record cache holds updates back.
    #[arg(long, value_enum, default_value = "on")]
    pub caching: Caching,
    /// How many worker threads Millstream has.
    #[arg(long, default_value_t = 1)]
    pub workers: usize,
    /// With which call the raw loop sends.
    #[arg(long, value_enum, default_value = "produceva")]
    pub produce: Call,
    /// Measure this side alone.
    #[arg(long, value_enum)]
    pub only: Option<Side>,
    /// Run Millstream's process under this command, such as `perf record -g -o FILE`.
    #[arg(long)]
    pub wrap: Option<String>,
    /// Print one line of JSON to standard output, and the table to standard error.
    #[arg(long)]
    pub json: bool,
}
