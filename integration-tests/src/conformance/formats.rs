//! The files that are no topologies: hashes, partitions and the bytes of keys and values.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};
use millstream::partitioner;
use millstream::state::changelog;
use millstream::state::context::StateContext;
use millstream::state::engine::MemoryEngine;
use millstream::state::key_order;
use millstream::state::model::{Headers, Timestamp, Window, Windowed};
use millstream::state::outer_join;
use millstream::state::serdes;
use millstream::state::store::{
    CacheBudget, Changelog, KeyValue, Persistence, SessionShape, Stamped, StoreId, StoreKind, StoreSpec, TaskStores,
    VersionedShape, WindowShape,
};
use serde_json::Value;

use super::compare::Difference;
use super::typed::{Type, hex, unhex};
use super::{foreign_keys, judge};
use super::{formats_changes, formats_windows};

/// What came of a file of formats.
pub(crate) struct Checked {
    /// How many rows were compared.
    pub(crate) rows: usize,
    /// The first difference.
    pub(crate) difference: Option<Difference>,
}

type Check = fn(&Value) -> Result<Option<Difference>>;

const WINDOWED: &[(&str, Check)] = &[
    ("window_store_key", window_store_key),
    ("time_first_window_store_key", formats_windows::time_first_window_key),
    ("key_first_window_store_key", formats_windows::key_first_window_key),
    ("session_store_key", formats_windows::session_store_key),
    ("time_first_session_store_key", formats_windows::time_first_session_key),
    ("key_first_session_store_key", formats_windows::key_first_session_key),
    ("session_windowed_serde", formats_windows::session_windowed),
    ("suppress_buffer_value", formats_windows::suppress_buffer_value),
    ("time_windowed_serde", time_windowed),
    ("timestamped_value", timestamped_value),
    ("header_aware_value", header_aware_value),
    ("segments", segment),
    ("outer_join_key", outer_join_key),
    ("left_or_right_value", left_or_right),
    ("list_value", list_value),
    ("change_value", formats_changes::change_value),
];

/// Checks `partitioner.json` or `windowed-keys.json`; `None` for a file of formats that do not exist here.
pub(crate) fn check(case: &str, file: &Value) -> Result<Option<Checked>> {
    match case {
        "partitioner" => partitions(file).map(Some),
        "windowed-keys" => windowed_keys(file).map(Some),
        "fk-join-formats" => foreign_key_formats(file).map(Some),
        _ => Ok(None),
    }
}

fn partitions(file: &Value) -> Result<Checked> {
    let counts = rows(file, "partition_counts")?;
    let mut checked = Checked { rows: 0, difference: None };
    for row in rows(file, "keys")? {
        let key = bytes(row, "key_hex")?;
        checked.rows += 1;
        let hash = i64::from(partitioner::murmur2(&key) as i32);
        let mut differences = vec![differ(row, "murmur2", &Value::from(hash))];
        for (index, count) in counts.iter().enumerate() {
            let count = i32::try_from(count.as_i64().unwrap_or(1))?;
            let partition = partitioner::partition_of(&key, count);
            if row["partitions"][index] != partition {
                let place = format!("key {}, {count} partitions", hex(&key));
                differences.push(Some(Difference::new(place, &row["partitions"][index], partition)));
            }
        }
        checked.difference = checked.difference.or_else(|| differences.into_iter().flatten().next());
    }
    Ok(checked)
}

fn windowed_keys(file: &Value) -> Result<Checked> {
    let sections = file.as_object().ok_or_else(|| anyhow!("not an object"))?;
    let mut checked = Checked { rows: 0, difference: None };
    for (name, content) in sections.iter().filter(|(name, content)| content.is_array() && *name != "sections") {
        let known = WINDOWED.iter().find(|(known, _)| known == name);
        let (_, check) = known.ok_or_else(|| anyhow!("the section {name:?} is not covered"))?;
        for (index, row) in content.as_array().into_iter().flatten().enumerate() {
            checked.rows += 1;
            if let Some(mut difference) = check(row).with_context(|| format!("{name}, row {index}"))? {
                difference.place = format!("{name}, row {index}: {}", difference.place);
                checked.difference.get_or_insert(difference);
            }
        }
    }
    Ok(checked)
}

fn foreign_key_formats(file: &Value) -> Result<Checked> {
    let mut checked = Checked { rows: 0, difference: None };
    for (name, content) in file.as_object().into_iter().flatten().filter(|(name, _)| *name != "sections") {
        for (index, row) in content.as_array().into_iter().flatten().filter(|row| row.is_object()).enumerate() {
            let difference = match foreign_keys::row(name, row) {
                Some(difference) => difference.with_context(|| format!("{name}, row {index}"))?,
                None if name == "captured" => judge::captured(&foreign_keys::captured(file)?, index)?,
                None => return Err(anyhow!("the section {name:?} is not covered")),
            };
            checked.rows += 1;
            if let Some(mut difference) = difference {
                difference.place = format!("{name}, row {index}: {}", difference.place);
                checked.difference.get_or_insert(difference);
            }
        }
    }
    Ok(checked)
}

fn window_store_key(row: &Value) -> Result<Option<Difference>> {
    let sequence = u32::try_from(number(row, "seqnum")?)?;
    let key =
        key_order::window_key(&bytes(row, "key_hex")?, Timestamp::from_millis(number(row, "window_start")?), sequence);
    Ok(differ(row, "store_key_hex", &Value::from(hex(&key))))
}

fn time_windowed(row: &Value) -> Result<Option<Difference>> {
    let (start, end) = (number(row, "start")?, number(row, "end")?);
    let serde = serdes::time_windowed(serdes::byte_vec(), Some(end - start));
    let window = Window { start: Timestamp::from_millis(start), end: Timestamp::from_millis(end) };
    let key = Windowed { key: bytes(row, "key_hex")?, window };
    let mut encoded = Vec::new();
    serde.encode(&key, &mut encoded)?;
    let read = serde.decode(Some(&encoded))?;
    if read != key {
        return Ok(Some(Difference::new("read back", format!("{key:?}"), format!("{read:?}"))));
    }
    Ok(differ(row, "bytes_hex", &Value::from(hex(&encoded))))
}

/// The bytes of a value in a timestamped store, and in its changelog.
fn timestamped_value(row: &Value) -> Result<Option<Difference>> {
    let spec = StoreSpec {
        name: "s".into(),
        kind: StoreKind::TimestampedKeyValue,
        persistence: Persistence::InMemory,
        changelog: Changelog::Topic(BTreeMap::new()),
        cached: false,
        headers: false,
    };
    let stores = TaskStores::open(std::slice::from_ref(&spec), Box::new(MemoryEngine::new()))?;
    let mut cx = StateContext::new(stores);
    let (id, time) = (StoreId(0), Timestamp::from_millis(number(row, "timestamp")?));
    let mut store = KeyValue::new(id, &spec, serdes::byte_vec(), serdes::byte_vec(), &CacheBudget::new(0));
    let key = b"k".to_vec();
    store.put(&mut cx, &key, Some(Stamped::new(bytes(row, "value_hex")?, time)))?;
    let mut stored = Vec::new();
    cx.stores.get(id, &key, &mut stored)?;
    let changed = cx.changes.get(0).ok_or_else(|| anyhow!("no changelog record"))?;
    let logged_at = changed.meta.timestamp.map(Timestamp::millis);
    Ok(differ(row, "store_value_hex", &Value::from(hex(&stored)))
        .or_else(|| differ(row, "changelog_value_hex", &Value::from(changed.value.map(hex))))
        .or_else(|| differ(row, "changelog_record_timestamp", &Value::from(logged_at))))
}

fn outer_join_key(row: &Value) -> Result<Option<Difference>> {
    let (time, key) = (Timestamp::from_millis(number(row, "timestamp")?), bytes(row, "key_hex")?);
    let left = row["side"] == "left";
    let mut encoded = Vec::new();
    outer_join::push_prefix(&mut encoded, time, left);
    encoded.extend_from_slice(&key);
    let wanted = outer_join::WaitingKey { time, left, key: &key };
    let read = outer_join::split_key(&encoded);
    if read != Some(wanted) {
        return Ok(Some(Difference::new("read back", format!("{wanted:?}"), format!("{read:?}"))));
    }
    Ok(differ(row, "bytes_hex", &Value::from(hex(&encoded))))
}

fn left_or_right(row: &Value) -> Result<Option<Difference>> {
    let left = row.get("left").is_some_and(|left| !left.is_null());
    let value = &row[if left { "left" } else { "right" }];
    let value = Type::of_stored(value).encode(value)?.unwrap_or_default();
    let mut encoded = Vec::new();
    outer_join::push_side(&mut encoded, left);
    encoded.extend_from_slice(&value);
    let read = outer_join::split_side(&encoded);
    if read != Some((left, &value[..])) {
        return Ok(Some(Difference::new("read back", format!("{value:?}"), format!("{read:?}"))));
    }
    Ok(differ(row, "bytes_hex", &Value::from(hex(&encoded))))
}

fn list_value(row: &Value) -> Result<Option<Difference>> {
    let elements = rows(row, "elements_hex")?;
    let elements =
        elements.iter().map(|element| unhex(element.as_str().unwrap_or_default())).collect::<Result<Vec<_>>>()?;
    let mut list = outer_join::empty_list();
    elements.iter().for_each(|element| outer_join::push_element(&mut list, element));
    let read = outer_join::elements(&list);
    if read != Some(elements.iter().map(Vec::as_slice).collect()) {
        return Ok(Some(Difference::new("read back", format!("{elements:?}"), format!("{read:?}"))));
    }
    Ok(differ(row, "bytes_hex", &Value::from(hex(&list))))
}

/// The bytes of a value in a header-aware store, and back.
fn header_aware_value(row: &Value) -> Result<Option<Difference>> {
    let mut headers = Headers::new();
    for header in rows(row, "headers")? {
        let name = header[0].as_str().unwrap_or_default();
        headers.add(name, header[1].as_str().map(|text| bytes::Bytes::copy_from_slice(text.as_bytes())));
    }
    let (value, time) = (bytes(row, "value_hex")?, Timestamp::from_millis(number(row, "timestamp")?));
    let mut stored = Vec::new();
    changelog::push_headers(&mut stored, &headers);
    changelog::push_timestamped(&mut stored, time, &value);
    let read = changelog::split_headers(&stored)
        .and_then(|(part, rest)| Some((changelog::read_headers(part)?, changelog::split_timestamped(rest)?)));
    if read != Some((headers.clone(), (time, &value[..]))) {
        return Ok(Some(Difference::new("read back", format!("{headers:?}"), format!("{read:?}"))));
    }
    Ok(differ(row, "store_value_hex", &Value::from(hex(&stored))))
}

fn segment(row: &Value) -> Result<Option<Difference>> {
    let retention = number(row, "retention_ms")?;
    let (windows, sessions) = (WindowShape::new(1, retention), SessionShape::new(retention));
    let versions = VersionedShape::new(retention);
    Ok(differ(row, "window_segment_interval_ms", &Value::from(windows.segment_interval))
        .or_else(|| differ(row, "session_segment_interval_ms", &Value::from(sessions.segment_interval)))
        .or_else(|| differ(row, "versioned_segment_interval_ms", &Value::from(versions.segment_interval))))
}

pub(super) fn differ(row: &Value, field: &str, is: &Value) -> Option<Difference> {
    (row[field] != *is).then(|| Difference::new(format!("{field} of {row}"), &row[field], is))
}

fn rows<'a>(file: &'a Value, name: &str) -> Result<&'a [Value]> {
    file[name].as_array().map(Vec::as_slice).ok_or_else(|| anyhow!("no list {name:?}"))
}

pub(super) fn bytes(row: &Value, field: &str) -> Result<Vec<u8>> {
    unhex(row[field].as_str().ok_or_else(|| anyhow!("no text {field:?} in {row}"))?)
}

pub(super) fn number(row: &Value, field: &str) -> Result<i64> {
    row[field].as_i64().ok_or_else(|| anyhow!("no number {field:?} in {row}"))
}
