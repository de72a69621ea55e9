//! The recorded vectors as they lie in their files: one topology, its inputs, and what must come of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// One case file.
#[derive(Debug, Deserialize)]
pub(crate) struct CaseFile {
    pub(crate) case: String,
    pub(crate) inputs: Vec<TopicTypes>,
    pub(crate) sinks: Vec<TopicTypes>,
    pub(crate) config: BTreeMap<String, Value>,
    pub(crate) describe: String,
    pub(crate) runs: Vec<Run>,
}

/// A topic with the declared types of its keys and values.
#[derive(Debug, Deserialize)]
pub(crate) struct TopicTypes {
    pub(crate) topic: String,
    pub(crate) key: String,
    pub(crate) value: String,
}

/// One run from empty stores, and what must come of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Run {
    seed: Option<i64>,
    name: Option<String>,
    pub(crate) steps: Vec<Step>,
    #[serde(default)]
    pub(crate) outputs: BTreeMap<String, Vec<Output>>,
    #[serde(default)]
    pub(crate) outputs_after: BTreeMap<String, Vec<usize>>,
    #[serde(default)]
    pub(crate) internal: BTreeMap<String, Vec<Internal>>,
    #[serde(default)]
    pub(crate) internal_after: BTreeMap<String, Vec<usize>>,
    #[serde(default)]
    pub(crate) stores: BTreeMap<String, Store>,
    #[serde(default)]
    pub(crate) queries: Vec<Query>,
    pub(crate) side_effects: Option<Vec<String>>,
    pub(crate) error: Option<ErrorAt>,
}

impl Run {
    /// What the run is called: its seed or its name.
    pub(crate) fn label(&self) -> String {
        match (&self.name, self.seed) {
            (Some(name), _) => name.clone(),
            (None, Some(seed)) => format!("seed {seed}"),
            (None, None) => "unnamed".to_owned(),
        }
    }
}

/// One thing done to the topology.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// A record is handed in.
    Pipe(Pipe),
    /// The wall clock is moved on.
    AdvanceWallClockMs(i64),
}

/// A record that is handed in.
#[derive(Debug, Deserialize)]
pub(crate) struct Pipe {
    pub(crate) topic: String,
    pub(crate) key: Value,
    pub(crate) value: Value,
    pub(crate) timestamp: i64,
    #[serde(default)]
    pub(crate) headers: Vec<(String, Option<String>)>,
}

/// A record of a sink topic.
#[derive(Debug, Deserialize)]
pub(crate) struct Output {
    pub(crate) key: Value,
    pub(crate) value: Value,
    pub(crate) timestamp: Option<i64>,
    #[serde(default)]
    pub(crate) headers: Vec<(String, Option<String>)>,
    /// The key's bytes, for windowed keys.
    pub(crate) key_hex: Option<String>,
}

/// A record of a changelog or repartition topic.
#[derive(Debug, Deserialize)]
pub(crate) struct Internal {
    pub(crate) key_hex: Option<String>,
    pub(crate) value_hex: Option<String>,
    pub(crate) timestamp: Option<i64>,
    #[serde(default)]
    pub(crate) headers_hex: Vec<(String, Option<String>)>,
}

/// What a store holds after the last step.
#[derive(Debug, Deserialize)]
pub(crate) struct Store {
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) entries: Vec<Entry>,
    pub(crate) raw_hex: Option<Vec<(String, String)>>,
}

/// One entry of a store.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    #[serde(default)]
    pub(crate) key: Value,
    #[serde(default)]
    pub(crate) value: Value,
    pub(crate) timestamp: Option<i64>,
    pub(crate) start: Option<i64>,
}

/// A read made on a store after the last step.
#[derive(Debug, Deserialize)]
pub(crate) struct Query {
    pub(crate) store: String,
    pub(crate) op: String,
    #[serde(default)]
    pub(crate) args: BTreeMap<String, Value>,
    pub(crate) result: Value,
}

/// Where a run must stop with an error.
#[derive(Debug, Deserialize)]
pub(crate) struct ErrorAt {
    pub(crate) step: usize,
}
