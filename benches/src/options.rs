//! What can be asked for on the command line, and the order that a child process gets.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};

/// What is done with each record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Workload {
    /// Appends a character to the value, drops half of the records, writes the rest. The raw loop copies all of them.
    Passthrough,
    /// Writes every record as it came. So does the raw loop.
    Copy,
    /// Counts by key and writes the counts. The raw loop counts in a hash map and keeps no changelog.
    Count,
}

/// How often a record may be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Delivery {
    /// One transaction per commit.
    ExactlyOnce,
    /// Flush, then commit offsets.
    AtLeastOnce,
}

/// With which call the raw loop sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Call {
    /// `rd_kafka_produceva`, with the input record's timestamp, as a stream processor has to.
    Produceva,
    /// `rd_kafka_produce`, which cannot carry a timestamp.
    Produce,
}

/// Whether the record cache holds updates back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Caching {
    /// Until the next commit.
    On,
    /// Every update is written.
    Off,
}

/// Who does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The loop over the client library.
    Raw,
    /// Millstream, with one worker.
    Millstream,
}

/// Measures Millstream beside the raw client loop on a real broker, by turns.
#[derive(Debug, Parser)]
#[command(name = "throughput")]
pub struct Options {
    /// The broker, as HOST:PORT.
    #[arg(long, required_unless_present = "order")]
    pub bootstrap_servers: Option<String>,
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
    /// A child process's order.
    #[arg(long, hide = true)]
    pub order: Option<String>,
    /// Cargo says so to every bench.
    #[arg(long, hide = true)]
    pub bench: bool,
}

/// What one child process is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// As which side.
    pub side: Side,
    /// The broker, as HOST:PORT.
    pub bootstrap_servers: String,
    /// The name of the group, and of the transactional producer.
    pub name: String,
    /// The topic to read, which holds `records` records.
    pub input: String,
    /// The topic to write.
    pub output: String,
    /// How many records there are.
    pub records: u64,
    /// What to do with each record.
    pub workload: Workload,
    /// How often a record may be counted.
    pub guarantee: Delivery,
    /// How often to commit.
    pub commit_interval_ms: u64,
    /// Whether the record cache holds updates back.
    pub caching: Caching,
    /// With which call the raw loop sends.
    pub produce: Call,
    /// Where state may be kept.
    pub state_dir: PathBuf,
}
