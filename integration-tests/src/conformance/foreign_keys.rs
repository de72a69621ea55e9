//! The file of foreign-key joins that is no topology: hashes, messages, keys, and a captured run.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail};
use millstream::operators::foreign_key::{
    Hash, Instruction, Response, Subscription, hash, response, store_key, store_prefix, subscription,
};
use millstream::state::serdes::{DefaultSerde, SerdeRef};
use serde_json::{Value, json};

use super::compare::Difference;
use super::typed::{hex, unhex};
use super::vector::{CaseFile, Run, TopicTypes};

/// Compares one row of a section; `None` if there is no such section.
pub(crate) fn row(section: &str, row: &Value) -> Option<Result<Option<Difference>>> {
    Some(match section {
        "hash" => hash_of(row),
        "subscription" => subscription_of(row),
        "response" => response_of(row),
        "store_key" => key_of(row),
        _ => return None,
    })
}

/// The case file that the captured runs belong to.
pub(crate) fn captured(file: &Value) -> Result<CaseFile> {
    let runs: Vec<Run> = serde_json::from_value(file["captured"].clone()).context("captured runs")?;
    let topic = |topic: &str| TopicTypes { topic: topic.into(), key: "string".into(), value: "string".into() };
    let config = [("application.id", json!("conf-app")), ("statestore.cache.max.bytes", json!(0))];
    Ok(CaseFile {
        case: "fk-join-left".into(),
        inputs: vec![topic("left"), topic("right")],
        sinks: vec![topic("out")],
        config: config.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<BTreeMap<_, _>>(),
        describe: String::new(),
        runs,
    })
}

fn hash_of(row: &Value) -> Result<Option<Difference>> {
    Ok(differ(row, "hash_hex", &joined(hash(&bytes(row, "bytes_hex")?))))
}

fn subscription_of(row: &Value) -> Result<Option<Difference>> {
    let instruction = match row["instruction"].as_str() {
        Some("DELETE_KEY_NO_PROPAGATE") => Instruction::DeleteSilently,
        Some("DELETE_KEY_AND_PROPAGATE") => Instruction::DeleteAndAnswer,
        Some("PROPAGATE_NULL_IF_NO_FK_VAL_AVAILABLE") => Instruction::AnswerAlways,
        Some("PROPAGATE_ONLY_IF_FK_VAL_AVAILABLE") => Instruction::AnswerIfPresent,
        other => bail!("unknown instruction {other:?}"),
    };
    let partition = row["primary_partition"].as_i64().map(i32::try_from).transpose()?;
    let primary_key = text(row, "primary_key")?;
    let message = Subscription { hash: hash_of_value(row), instruction, primary_key, primary_partition: partition };
    message_of(row, &subscription(String::serde()), &message, &message)
}

fn response_of(row: &Value) -> Result<Option<Difference>> {
    let foreign_value = row["foreign_value"].as_str().map(str::to_owned);
    let message = Response { hash: hash_of_value(row), foreign_value, primary_partition: None };
    // Nothing tells an empty value from none.
    let read =
        Response { foreign_value: message.foreign_value.clone().filter(|text| !text.is_empty()), ..message.clone() };
    message_of(row, &response(String::serde()), &message, &read)
}

fn message_of<T: PartialEq + std::fmt::Debug>(
    row: &Value,
    serde: &SerdeRef<T>,
    message: &T,
    read: &T,
) -> Result<Option<Difference>> {
    let mut encoded = Vec::new();
    serde.encode(message, &mut encoded)?;
    let back = serde.decode(Some(&bytes(row, "bytes_hex")?))?;
    if back != *read {
        return Ok(Some(Difference::new("read back", format!("{read:?}"), format!("{back:?}"))));
    }
    Ok(differ(row, "bytes_hex", &hex(&encoded)))
}

fn key_of(row: &Value) -> Result<Option<Difference>> {
    let (serde, foreign, primary) = (String::serde(), text(row, "foreign_key")?, text(row, "primary_key")?);
    let key = store_key((&foreign, &*serde), (&primary, &*serde))?;
    let prefix = store_prefix((&foreign, &*serde))?;
    Ok(differ(row, "store_key_hex", &hex(&key)).or_else(|| differ(row, "prefix_hex", &hex(&prefix))))
}

fn hash_of_value(row: &Value) -> Option<Hash> {
    row["hash_of_value"].as_str().map(|value| hash(value.as_bytes()))
}

fn joined([h1, h2]: Hash) -> String {
    format!("{h1:016x}{h2:016x}")
}

fn differ(row: &Value, field: &str, is: &str) -> Option<Difference> {
    (row[field] != is).then(|| Difference::new(format!("{field} of {row}"), &row[field], is))
}

fn text(row: &Value, field: &str) -> Result<String> {
    row[field].as_str().map(str::to_owned).ok_or_else(|| anyhow!("no text {field:?} in {row}"))
}

fn bytes(row: &Value, field: &str) -> Result<Vec<u8>> {
    unhex(&text(row, field)?)
}
