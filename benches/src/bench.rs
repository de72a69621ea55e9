//! One measurement: a filled input, a fresh output, a process, a check of what it wrote.

use std::path::Path;

use anyhow::Result;
use tempfile::TempDir;

use crate::check;
use crate::child::Starter;
use crate::load::{self, Input, Keys, Values};
use crate::meter::{self, Figures};
use crate::order::{Caching, Call, Delivery, Mode, Order, Side, Workload};
use crate::topics::Topics;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spec {
    /// What is done with each record.
    pub workload: Workload,
    /// Whether the record cache holds updates back.
    pub caching: Caching,
    /// How often a record may be counted.
    pub guarantee: Delivery,
    /// How often to commit.
    pub commit_interval_ms: u64,
    /// The input.
    pub input: Input,
    /// How many partitions each topic has.
    pub partitions: i32,
    /// How many worker threads.
    pub workers: usize,
    /// How many stores the count keeps side by side.
    pub stores: usize,
    /// With which call the raw loop sends.
    pub produce: Call,
}

impl Spec {
    /// As the peers are measured: exactly once, a commit every 100 ms, four partitions, one worker, `scale` records where a
    /// record is small.
    pub fn new(workload: Workload, scale: u64) -> Self {
        Self {
            workload,
            caching: Caching::On,
            guarantee: Delivery::ExactlyOnce,
            commit_interval_ms: 100,
            input: input_of(workload, scale),
            partitions: 4,
            workers: 1,
            stores: 1,
            produce: Call::Produceva,
        }
    }

    /// Its name in tables: the workload's, and what is not as usual.
    pub fn name(&self) -> String {
        let caching = if self.caching == Caching::Off { "-nocache" } else { "" };
        format!("{}{caching}", self.workload.name())
    }
}

/// How many keys the input has whose keys follow Zipf's law, and the join's table.
pub const KEYS: usize = 200_000;

fn input_of(workload: Workload, scale: u64) -> Input {
    match workload {
        // Each key twice.
        Workload::ReduceLargeState => Input::new(scale, (scale / 2).max(1) as usize, Keys::InTurn),
        Workload::Wordcount => {
            Input { values: Values::Text, ..Input::new((scale * 3 / 10).max(1), KEYS, Keys::InTurn) }
        }
        _ => Input::new(scale, KEYS, Keys::Zipf(0.99)),
    }
}

/// A topic with records in it.
#[derive(Clone, Debug)]
pub struct Filled {
    input: Input,
    partitions: i32,
    /// Its name.
    pub topic: String,
    /// How many of its records the passthrough workload lets through.
    pub passing: u64,
}

/// Topics and processes of one program's measurements.
pub struct Bench {
    /// The topics, which go when this does.
    pub topics: Topics,
    /// How processes are started.
    pub starter: Starter,
    filled: Vec<Filled>,
    runs: usize,
}

impl Bench {
    /// Measurements on this broker.
    ///
    /// # Errors
    /// If no client can be made.
    pub fn new(bootstrap: &str, starter: Starter) -> Result<Self> {
        let topics = Topics::new(bootstrap, format!("bench-{}-{}", std::process::id(), meter::wall_ms()))?;
        Ok(Self { topics, starter, filled: Vec::new(), runs: 0 })
    }

    /// A topic with these records; filled when it is asked for the first time.
    ///
    /// # Errors
    /// If the broker does not take them.
    pub fn filled(&mut self, input: Input, partitions: i32) -> Result<Filled> {
        let known = self.filled.iter().find(|filled| filled.input == input && filled.partitions == partitions);
        if let Some(known) = known {
            return Ok(known.clone());
        }
        let topic = self.topics.create(&format!("in-{}", self.filled.len()), partitions)?;
        eprintln!("filling {topic} with {} records", input.records);
        let passing = load::fill(self.topics.bootstrap(), &topic, input)?;
        let filled = Filled { input, partitions, topic, passing };
        self.filled.push(filled.clone());
        Ok(filled)
    }

    /// An order for one run with topics of its own, and how many of its input's records pass.
    ///
    /// # Errors
    /// If the topics cannot be made.
    pub fn order(&mut self, spec: &Spec, side: Side, state: &Path) -> Result<(Order, u64)> {
        let filled = self.filled(spec.input, spec.partitions)?;
        let table = match spec.workload {
            Workload::Join => {
                let keys = spec.input.keys;
                let table = Input { table: true, ..Input::new(keys as u64, keys, Keys::InTurn) };
                self.filled(table, spec.partitions)?.topic
            }
            _ => String::new(),
        };
        let order = self.order_on(spec, side, state, filled.topic)?;
        Ok((Order { table, ..order }, filled.passing))
    }

    /// An order for one run over a topic of the caller's.
    ///
    /// # Errors
    /// If the output cannot be made.
    pub fn order_on(&mut self, spec: &Spec, side: Side, state: &Path, input: String) -> Result<Order> {
        self.runs += 1;
        let name = format!("{}-{}", side.slug(), self.runs);
        Ok(Order {
            side,
            mode: Mode::Run,
            bootstrap_servers: self.topics.bootstrap().to_owned(),
            name: self.topics.name(&name),
            input,
            table: String::new(),
            output: self.topics.create(&format!("{name}-out"), spec.partitions)?,
            records: spec.input.records,
            keys: spec.input.keys,
            workload: spec.workload,
            guarantee: spec.guarantee,
            commit_interval_ms: spec.commit_interval_ms,
            caching: spec.caching,
            produce: spec.produce,
            workers: spec.workers,
            stores: spec.stores,
            die_at: 0,
            state_dir: state.to_owned(),
        })
    }

    /// Runs one side over the whole input, checks its output, and answers how many records that had.
    ///
    /// # Errors
    /// If the run fails, or its output is wrong.
    pub fn run(&mut self, spec: &Spec, side: Side) -> Result<(u64, Figures)> {
        let state = TempDir::new()?;
        let (order, passing) = self.order(spec, side, state.path())?;
        let figures = self.starter.figures(&order)?;
        let written = check::output(&order, passing)?;
        self.topics.delete(&order.name)?;
        Ok((written, figures))
    }
}
