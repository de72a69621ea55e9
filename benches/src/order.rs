//! What a child process is told to do: as whom, with which topics, for how long.

use std::path::PathBuf;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What is done with each record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// Appends a character to the value, drops half of the records, writes the rest. The raw loop copies all of them.
    Passthrough,
    /// Writes every record as it came. So does the raw loop.
    Copy,
    /// Counts by key and writes the counts. The raw loop counts in a hash map and writes each count, without the record
    /// cache to a changelog as well.
    Count,
    /// Counts by key in windows of a minute with ten seconds of grace.
    Tumbling,
    /// Joins each record with a table of all keys.
    Join,
    /// Splits texts into 16 words, sends the words through a repartition topic and counts them. The raw loop counts in a
    /// hash map, and writes the counts that have changed, and a changelog, when it commits.
    Wordcount,
    /// Keeps the last value of each of a million keys.
    ReduceLargeState,
}

/// How many words a text has.
pub const WORDS: u64 = 16;

impl Workload {
    /// How many records of the last stage one input record makes.
    pub fn steps_per_record(self) -> u64 {
        if self == Self::Wordcount { WORDS } else { 1 }
    }

    /// Whether the output says how often each of its keys came.
    pub fn counts(self) -> bool {
        matches!(self, Self::Count | Self::Tumbling | Self::Wordcount)
    }

    /// Whether there is a raw loop that does about the same.
    pub fn has_raw_loop(self) -> bool {
        !matches!(self, Self::Tumbling | Self::Join)
    }

    /// Its name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passthrough => "passthrough",
            Self::Copy => "copy",
            Self::Count => "count",
            Self::Tumbling => "tumbling",
            Self::Join => "join",
            Self::Wordcount => "wordcount",
            Self::ReduceLargeState => "reduce_large_state",
        }
    }
}

/// How often a record may be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Caching {
    /// Until the next commit.
    On,
    /// Every update is written.
    Off,
}

/// Who does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Side {
    /// The loop over the client library.
    Raw,
    /// Millstream.
    Millstream,
    /// Kafka Streams.
    KafkaStreams,
}

impl Side {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw loop",
            Self::Millstream => "Millstream",
            Self::KafkaStreams => "Kafka Streams",
        }
    }

    /// Its name in topics and directories.
    pub fn slug(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Millstream => "millstream",
            Self::KafkaStreams => "kafka-streams",
        }
    }
}

/// For how long, and what it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// To the end of the input; tells what that took.
    Run,
    /// To the end of the input, where each partition has a new record; tells how it came back, and stops cleanly.
    Restart,
    /// Until its standard input ends; tells the CPU time since it was ready.
    Serve,
}

/// What one child process is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// As which side.
    pub side: Side,
    /// For how long.
    pub mode: Mode,
    /// The broker, as HOST:PORT.
    pub bootstrap_servers: String,
    /// The name of the group, and of the transactional producer.
    pub name: String,
    /// The topic to read, which holds `records` records.
    pub input: String,
    /// The topic of the join's table; else empty.
    pub table: String,
    /// The topic to write.
    pub output: String,
    /// How many records there are.
    pub records: u64,
    /// How many keys they have.
    pub keys: usize,
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
    /// How many worker threads.
    pub workers: usize,
    /// How many copies of the store the count keeps side by side.
    pub stores: usize,
    /// After how many records the process kills itself as a crash would; 0 for never.
    pub die_at: u64,
    /// Where state may be kept.
    pub state_dir: PathBuf,
}
