//! What can be asked for on the command line of the comparison.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::bench::Spec;
use crate::entry::Entry;
use crate::order::{Caching, Delivery, Side, Workload};

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "kebab-case")]
pub(super) enum Row {
    Passthrough,
    Count,
    CountNocache,
    Tumbling,
    Join,
    Wordcount,
    ReduceLargeState,
}

impl Row {
    pub(super) fn spec(self, guarantee: Delivery, records: u64) -> Spec {
        let workload = match self {
            Self::Passthrough => Workload::Passthrough,
            Self::Count | Self::CountNocache => Workload::Count,
            Self::Tumbling => Workload::Tumbling,
            Self::Join => Workload::Join,
            Self::Wordcount => Workload::Wordcount,
            Self::ReduceLargeState => Workload::ReduceLargeState,
        };
        let caching = if self == Self::CountNocache { Caching::Off } else { Caching::On };
        Spec { guarantee, caching, ..Spec::new(workload, records) }
    }
}

/// What is measured beside the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "kebab-case")]
pub(super) enum Section {
    /// All rows of the table: CPU, records per second, first record, memory.
    Throughput,
    /// From a record's time to its result, at a fixed rate.
    Latency,
    /// Restore of a wiped store; restart after SIGKILL and after a clean stop.
    Restart,
    /// Two workers; three processes on six partitions.
    Scale,
}

/// Measures Millstream, Kafka Streams and the raw client loop beside each other on a real broker.
#[derive(Debug, Parser)]
#[command(name = "peers")]
pub(super) struct Options {
    /// What every bench takes.
    #[command(flatten)]
    pub(super) entry: Entry,
    /// Where Maven has put Kafka Streams' jars: benches/peers/target. Without it Kafka Streams is left out.
    #[arg(long)]
    pub(super) jars: Option<PathBuf>,
    /// What to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["throughput", "latency", "restart", "scale"])]
    pub(super) sections: Vec<Section>,
    /// Which rows of the table.
    #[arg(long, value_enum, value_delimiter = ',', default_values =
        ["passthrough", "count", "count-nocache", "tumbling", "join", "wordcount", "reduce-large-state"])]
    pub(super) workloads: Vec<Row>,
    /// How often a record may be counted; each is a table of its own.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["exactly_once", "at_least_once"])]
    pub(super) guarantees: Vec<Delivery>,
    /// Who takes part.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["raw", "millstream", "kafka_streams"])]
    pub(super) sides: Vec<Side>,
    /// How often each is measured, by turns.
    #[arg(long, default_value_t = 3)]
    pub(super) rounds: usize,
    /// How many records a row's input has; a third of it where records are texts.
    #[arg(long, default_value_t = 2_000_000)]
    pub(super) records: u64,
    /// For how many seconds records come at a fixed rate, after ten of warming up.
    #[arg(long, default_value_t = 30)]
    pub(super) latency_seconds: u64,
    /// Where peers.json and peers.svg go.
    #[arg(long, default_value = ".")]
    pub(super) out: PathBuf,
    /// What the figures are of, in words: the day, the machine, the version.
    #[arg(long, default_value = "")]
    pub(super) about: String,
}

impl Options {
    pub(super) fn takes_part(&self, side: Side) -> bool {
        self.sides.contains(&side) && (side != Side::KafkaStreams || self.jars.is_some())
    }
}
