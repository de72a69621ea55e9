//! The bytes of what a grouped table sends through its repartition topic, as the topology writes and reads them.

use anyhow::{Result, anyhow};
use millstream::operators::dsl::{Grouped, Materialized, StreamsBuilder};
use millstream::operators::topology::Topology;
use millstream::state::model::{Headers, Timestamp};
use millstream::testing::{RawTestRecord, TestConfig, TopologyTestDriver};
use serde_json::Value;

use super::compare::Difference;
use super::formats::differ;
use super::typed::{hex, unhex};

/// All rows of a table in one group, whose value tells what was taken from it and added to it.
fn grouped() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let rows = builder.table::<String, Vec<u8>>("rows");
    let groups = rows.group_by_with(|_, row| ("all".to_owned(), row.clone()), Grouped::named("changes"));
    let add = |_: &String, row: &Vec<u8>, told: String| format!("{told}+{}", hex(row));
    let subtract = |_: &String, row: &Vec<u8>, told: String| format!("{told}-{}", hex(row));
    groups.aggregate(String::new, add, subtract, Materialized::named("told")).to_stream().to("told");
    Ok(builder.build()?)
}

/// The row is put with its old value, if it has one, and then changed.
pub(super) fn change_value(row: &Value) -> Result<Option<Difference>> {
    let value = |field: &str| row[field].as_str().map(unhex).transpose();
    let (old, new) = (value("old_hex")?, value("new_hex")?);
    let driver = TopologyTestDriver::new(grouped()?, TestConfig::default())?;
    for value in [old.as_ref().map(|old| Some(old.clone())), Some(new.clone())].into_iter().flatten() {
        let (timestamp, headers) = (Some(Timestamp::from_millis(1)), Headers::new());
        driver.pipe_raw("rows", RawTestRecord { key: Some(b"row".to_vec()), value, timestamp, headers })?;
    }
    let topics = driver.written_topics();
    let sent = topics.iter().find(|(topic, _)| topic.ends_with("changes-repartition"));
    let (topic, _) = sent.ok_or_else(|| anyhow!("nothing went through a repartition topic: {topics:?}"))?;
    let change = driver.written(topic).pop().and_then(|record| record.value);
    let first = old.iter().map(|old| format!("+{}", hex(old)));
    let then = old.iter().map(|old| format!("-{}", hex(old))).chain(new.iter().map(|new| format!("+{}", hex(new))));
    let told = driver.written("told").pop().and_then(|record| record.value);
    let wanted = first.chain(then).collect::<String>();
    if told.as_deref() != Some(wanted.as_bytes()) {
        let told = told.map(|told| String::from_utf8_lossy(&told).into_owned());
        return Ok(Some(Difference::new("read back", wanted, format!("{told:?}"))));
    }
    Ok(differ(row, "bytes_hex", &Value::from(change.map(|change| hex(&change)))))
}
