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

impl CaseFile {
    /// The bound of the record caches; the files write it as a number or as a text.
    pub(crate) fn cache_max_bytes(&self) -> usize {
        let value = self.config.get("statestore.cache.max.bytes");
        let number = value.and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
        number.and_then(|number| usize::try_from(number).ok()).unwrap_or(0)
    }
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
    /// Of a buffer: how much waits, and for how long the first of it does.
    pub(crate) num_records: Option<usize>,
    pub(crate) buffer_size_bytes: Option<usize>,
    pub(crate) min_timestamp: Option<i64>,
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
    /// Of an element of the list that outer sides of a join share: when, whose, and the value on either side.
    pub(crate) key_timestamp: Option<i64>,
    pub(crate) side: Option<String>,
    #[serde(default)]
    pub(crate) left: Value,
    #[serde(default)]
    pub(crate) right: Value,
    pub(crate) end: Option<i64>,
    /// The latest version, in a versioned store.
    pub(crate) latest: Option<Value>,
    /// Reads as of times, in a versioned store.
    #[serde(default)]
    pub(crate) get_as_of: Vec<AsOf>,
}

/// A read of a versioned store.
#[derive(Debug, Deserialize)]
pub(crate) struct AsOf {
    pub(crate) as_of: i64,
    pub(crate) value: Value,
    pub(crate) timestamp: Option<i64>,
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
