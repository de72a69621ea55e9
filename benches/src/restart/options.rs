//! What can be asked for on the command line, and the order that the child process gets.

use std::path::PathBuf;

use clap::Parser;
use serde::{Deserialize, Serialize};

use crate::entry::Entry;

/// Measures how long a process with a large store takes to its first output after it was killed or stopped.
#[derive(Debug, Parser)]
#[command(name = "restart")]
pub(super) struct Options {
    /// What every bench takes.
    #[command(flatten)]
    pub(super) entry: Entry,
    /// How many keys the store has.
    #[arg(long, default_value_t = 1_000_000)]
    pub(super) keys: u64,
    /// How many partitions each topic has: the store is divided into as many.
    #[arg(long, default_value_t = 4)]
    pub(super) partitions: i32,
    /// How often each kind of restart is measured.
    #[arg(long, default_value_t = 3)]
    pub(super) repeat: usize,
    /// How often to commit.
    #[arg(long, default_value_t = 100)]
    pub(super) commit_interval_ms: u64,
    /// Records per second that come while the process is killed.
    #[arg(long, default_value_t = 20_000)]
    pub(super) rate: u64,
    /// For how long they come before it is.
    #[arg(long, default_value_t = 3_000)]
    pub(super) busy_ms: u64,
    /// Print one line of JSON to standard output, and the table to standard error.
    #[arg(long)]
    pub(super) json: bool,
}

/// What the child process is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// The broker, as HOST:PORT.
    pub(super) bootstrap_servers: String,
    /// The application id.
    pub(super) name: String,
    /// The topic to read.
    pub(super) input: String,
    /// The topic to write.
    pub(super) output: String,
    /// How often to commit.
    pub(super) commit_interval_ms: u64,
    /// Where the store is kept.
    pub(super) state_dir: PathBuf,
}
