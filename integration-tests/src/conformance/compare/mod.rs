//! Compares what a run did with what it must do, and says where they part first.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use serde_json::{Value, json};

use super::typed::{Type, hex, unhex};
use super::vector::{Internal, Output, Run};

/// A record as the topology wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// What a run wrote: all records per topic, and how many there were after each step.
#[derive(Debug, Default)]
pub(crate) struct Played {
    pub(crate) written: BTreeMap<String, Vec<Written>>,
    pub(crate) after: Vec<BTreeMap<String, usize>>,
    /// The step that failed, and why.
    pub(crate) error: Option<(usize, String)>,
}

/// The first difference between what should be and what is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) place: String,
    pub(crate) expected: String,
    pub(crate) got: String,
}

impl Difference {
    pub(crate) fn new(place: impl Into<String>, expected: impl fmt::Display, got: impl fmt::Display) -> Self {
        Self { place: place.into(), expected: expected.to_string(), got: got.to_string() }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n      expected {}\n      got      {}", self.place, self.expected, self.got)
    }
}

/// How the records of a topic are shown and what else must be equal.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Typed(Type, Type),
    Raw,
}

/// What one topic must hold, in the form in which the runtime's records are shown too.
struct Expected {
    shape: Shape,
    records: Vec<Value>,
    after: Vec<usize>,
}

/// How strictly order counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Record by record.
    Exact,
    /// Within one step only per key: the keys of one cache flush have no order of their own.
    PerKey,
}

/// The sink topics of a case with their types.
pub(crate) type SinkTypes = BTreeMap<String, (Type, Type)>;

/// Compares records and moments of emission, step by step over all topics.
pub(crate) fn records(run: &Run, sinks: &SinkTypes, played: &Played, order: Order) -> Result<Option<Difference>> {
    let expected = expectations(run, sinks)?;
    for step in 0..run.steps.len() {
        for (topic, expected) in &expected {
            let should = slice(&expected.records, &expected.after, step);
            let is = written_in_step(played, topic, step);
            let mut should: Vec<Value> = should.to_vec();
            let mut is: Vec<Value> = is.iter().map(|record| show(record, expected.shape)).collect();
            if order == Order::PerKey {
                should.sort_by_key(|record| record["key"].to_string());
                is.sort_by_key(|record| record["key"].to_string());
            }
            if let Some(index) = first_difference(&should, &is) {
                let before = step.checked_sub(1).and_then(|step| expected.after.get(step)).copied().unwrap_or(0);
                let place = format!("step {step}, topic {topic}, record {}", before + index);
                let nothing = || "no (further) record in this step".to_owned();
                return Ok(Some(Difference::new(
                    place,
                    should.get(index).map_or_else(nothing, Value::to_string),
                    is.get(index).map_or_else(nothing, Value::to_string),
                )));
            }
        }
        if let Some((topic, record)) = unexpected(&expected, played, step) {
            let place = format!("step {step}, topic {topic}");
            return Ok(Some(Difference::new(place, "no such topic", show(record, Shape::Raw))));
        }
        if let Some(difference) = error(run, played, step) {
            return Ok(Some(difference));
        }
    }
    Ok(None)
}

fn error(run: &Run, played: &Played, step: usize) -> Option<Difference> {
    let should = run.error.as_ref().is_some_and(|error| error.step == step);
    let is = played.error.as_ref().filter(|(at, _)| *at == step).map(|(_, message)| message.as_str());
    match (should, is) {
        (true, None) => Some(Difference::new(format!("step {step}"), "the run stops with an error", "no error")),
        (false, Some(message)) => Some(Difference::new(format!("step {step}"), "no error", message)),
        _ => None,
    }
}

fn expectations(run: &Run, sinks: &SinkTypes) -> Result<BTreeMap<String, Expected>> {
    let mut all = BTreeMap::new();
    for (topic, records) in &run.outputs {
        let (key, value) = sinks.get(topic).copied().unwrap_or((Type::Bytes, Type::Bytes));
        let shape = Shape::Typed(key, value);
        let records = records.iter().map(|record| output(record, key)).collect::<Result<_>>()?;
        let after = run.outputs_after.get(topic).cloned().unwrap_or_default();
        all.insert(topic.clone(), Expected { shape, records, after });
    }
    for (topic, records) in &run.internal {
        let records = records.iter().map(internal).collect();
        let after = run.internal_after.get(topic).cloned().unwrap_or_default();
        all.insert(topic.clone(), Expected { shape: Shape::Raw, records, after });
    }
    Ok(all)
}

fn output(record: &Output, key: Type) -> Result<Value> {
    let mut shown = json!({ "key": record.key, "value": record.value, "timestamp": record.timestamp });
    if !record.headers.is_empty() {
        shown["headers"] = record
            .headers
            .iter()
            .map(|(name, value)| json!([name, value.as_ref().map(|text| hex(text.as_bytes()))]))
            .collect();
    }
    if matches!(key, Type::TimeWindowed(_) | Type::SessionWindowed) {
        let bytes = record.key_hex.as_deref().map(unhex).transpose()?;
        shown["key_hex"] = json!(bytes.map(|bytes| hex(&bytes)));
    }
    Ok(shown)
}

fn internal(record: &Internal) -> Value {
    let mut shown = json!({ "key": record.key_hex, "value": record.value_hex, "timestamp": record.timestamp });
    if !record.headers_hex.is_empty() {
        shown["headers"] = json!(record.headers_hex);
    }
    shown
}

pub(super) fn show(record: &Written, shape: Shape) -> Value {
    let (key, value) = (record.key.as_deref(), record.value.as_deref());
    let mut shown = match shape {
        Shape::Typed(key_type, value_type) => {
            json!({ "key": key_type.decode(key), "value": value_type.decode(value), "timestamp": record.timestamp })
        }
        Shape::Raw => json!({ "key": key.map(hex), "value": value.map(hex), "timestamp": record.timestamp }),
    };
    if !record.headers.is_empty() {
        shown["headers"] =
            record.headers.iter().map(|(name, value)| json!([name, value.as_deref().map(hex)])).collect();
    }
    if matches!(shape, Shape::Typed(Type::TimeWindowed(_) | Type::SessionWindowed, _)) {
        shown["key_hex"] = json!(key.map(hex));
    }
    shown
}

fn slice<'a, T>(records: &'a [T], after: &[usize], step: usize) -> &'a [T] {
    let count = |step: usize| after.get(step).copied().unwrap_or(records.len()).min(records.len());
    let begin = step.checked_sub(1).map_or(0, count);
    &records[begin..count(step).max(begin)]
}

pub(super) fn written_in_step<'a>(played: &'a Played, topic: &str, step: usize) -> &'a [Written] {
    let Some(records) = played.written.get(topic) else { return &[] };
    let count =
        |step: usize| played.after.get(step).map_or(records.len(), |after| after.get(topic).copied().unwrap_or(0));
    let begin = step.checked_sub(1).map_or(0, count);
    &records[begin..count(step)]
}

fn unexpected<'a>(
    expected: &BTreeMap<String, Expected>,
    played: &'a Played,
    step: usize,
) -> Option<(&'a str, &'a Written)> {
    played
        .written
        .keys()
        .filter(|topic| !expected.contains_key(*topic))
        .find_map(|topic| written_in_step(played, topic, step).first().map(|record| (topic.as_str(), record)))
}

fn first_difference(should: &[Value], is: &[Value]) -> Option<usize> {
    (0..should.len().max(is.len())).find(|&index| should.get(index) != is.get(index))
}

#[cfg(test)]
mod tests;
