//! What can be asked for on the command line of the growth bench.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::entry::Entry;

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Series {
    /// How many keys are counted.
    Keys,
    /// How many bytes a value has.
    Size,
    /// How many partitions each topic has.
    Partitions,
    /// How many stores a task has.
    Stores,
    /// How many workers there are.
    Workers,
    /// How many records are restored.
    Restore,
}

impl Series {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Size => "size",
            Self::Partitions => "partitions",
            Self::Stores => "stores",
            Self::Workers => "workers",
            Self::Restore => "restore",
        }
    }

    /// Title, and what the axes show.
    pub(super) fn words(self) -> (&'static str, &'static str, &'static str) {
        const COST: &str = "CPU s per million records";
        match self {
            Self::Keys => ("Cost by number of keys, evenly drawn, cache off", "keys", COST),
            Self::Size => ("Cost by size of the value", "bytes", COST),
            Self::Partitions => ("Cost by number of partitions, one worker", "partitions", COST),
            Self::Stores => ("Cost by stores per task", "stores", COST),
            Self::Workers => ("Cost by number of workers", "workers", COST),
            Self::Restore => ("Restore by size of the state", "keys, each written twice", "seconds"),
        }
    }

    pub(super) fn concerns_passthrough(self) -> bool {
        matches!(self, Self::Size | Self::Partitions | Self::Workers)
    }

    pub(super) fn values(self, options: &Options) -> Vec<f64> {
        let values: &[f64] = match self {
            Self::Keys => &[1e3, 1e4, 1e5, 1e6, 1e7],
            Self::Size => &[50.0, 200.0, 1_000.0, 10_000.0],
            Self::Partitions => &[1.0, 4.0, 16.0, 64.0],
            Self::Stores => &[1.0, 2.0, 4.0, 8.0],
            Self::Workers => &[1.0, 2.0, 4.0],
            Self::Restore => &[1e4, 1e5, 1e6, 4e6],
        };
        values.iter().copied().filter(|value| *value <= options.largest).collect()
    }
}

/// Measures how Millstream's cost grows on a real broker.
#[derive(Debug, Parser)]
#[command(name = "growth")]
pub(super) struct Options {
    /// What every bench takes.
    #[command(flatten)]
    pub(super) entry: Entry,
    /// What grows.
    #[arg(long, value_enum, value_delimiter = ',', default_values =
        ["keys", "size", "partitions", "stores", "workers", "restore"])]
    pub(super) series: Vec<Series>,
    /// How often each point is measured, by turns.
    #[arg(long, default_value_t = 3)]
    pub(super) rounds: usize,
    /// How many records a run has.
    #[arg(long, default_value_t = 2_000_000)]
    pub(super) records: u64,
    /// Leave out points beyond this.
    #[arg(long, default_value_t = 1e9)]
    pub(super) largest: f64,
    /// Where growth.json and growth-*.svg go.
    #[arg(long, default_value = ".")]
    pub(super) out: PathBuf,
}
