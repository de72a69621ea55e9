//! The bytes of windows, sessions and what waits in a suppression's buffer.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use bytes::Bytes;
use millstream::state::context::StateContext;
use millstream::state::engine::MemoryEngine;
use millstream::state::key_order;
use millstream::state::model::{Headers, Offset, RecordContext, Timestamp, Window, Windowed};
use millstream::state::serdes;
use millstream::state::store::{
    Buffered, Changelog, Persistence, StoreId, StoreKind, StoreSpec, TaskStores, log_buffer,
};
use serde_json::Value;

use super::compare::Difference;
use super::formats::{bytes, differ, number};
use super::typed::{hex, unhex};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn key_is(row: &Value, key: Option<Vec<u8>>) -> Result<Option<Difference>> {
    let key = key.ok_or_else(|| anyhow!("no key of {row}"))?;
    Ok(differ(row, "store_key_hex", &Value::from(hex(&key))))
}

fn window_key(row: &Value) -> Result<Vec<u8>> {
    Ok(key_order::window_key(&bytes(row, "key_hex")?, at(number(row, "window_start")?), 0))
}

fn session(row: &Value, start: &str, end: &str) -> Result<Window> {
    Ok(Window { start: at(number(row, start)?), end: at(number(row, end)?) })
}

fn session_key(row: &Value) -> Result<Vec<u8>> {
    Ok(key_order::session_key(&bytes(row, "key_hex")?, session(row, "session_start", "session_end")?))
}

/// Lays a key out in another way.
type Layout = fn(&[u8]) -> Option<Vec<u8>>;

/// There and back.
fn by_time(row: &Value, key: Vec<u8>, (there, back): (Layout, Layout)) -> Result<Option<Difference>> {
    let laid_out = there(&key);
    let read = laid_out.as_deref().and_then(back);
    if read.as_ref() != Some(&key) {
        return Ok(Some(Difference::new("read back", format!("{key:?}"), format!("{read:?}"))));
    }
    key_is(row, laid_out)
}

pub(super) fn time_first_window_key(row: &Value) -> Result<Option<Difference>> {
    by_time(row, window_key(row)?, (key_order::time_first_window_key, key_order::from_time_first_window_key))
}

pub(super) fn key_first_window_key(row: &Value) -> Result<Option<Difference>> {
    key_is(row, Some(key_order::index_key(&window_key(row)?)))
}

pub(super) fn session_store_key(row: &Value) -> Result<Option<Difference>> {
    key_is(row, Some(session_key(row)?))
}

pub(super) fn time_first_session_key(row: &Value) -> Result<Option<Difference>> {
    by_time(row, session_key(row)?, (key_order::time_first_session_key, key_order::from_time_first_session_key))
}

pub(super) fn key_first_session_key(row: &Value) -> Result<Option<Difference>> {
    key_is(row, Some(key_order::index_key(&session_key(row)?)))
}

pub(super) fn session_windowed(row: &Value) -> Result<Option<Difference>> {
    let serde = serdes::session_windowed(serdes::byte_vec());
    let key = Windowed { key: bytes(row, "key_hex")?, window: session(row, "start", "end")? };
    let mut encoded = Vec::new();
    serde.encode(&key, &mut encoded)?;
    let read = serde.decode(Some(&encoded))?;
    if read != key {
        return Ok(Some(Difference::new("read back", format!("{key:?}"), format!("{read:?}"))));
    }
    Ok(differ(row, "bytes_hex", &Value::from(hex(&encoded))))
}

/// The changelog record of what waits in a buffer.
pub(super) fn suppress_buffer_value(row: &Value) -> Result<Option<Difference>> {
    let spec = StoreSpec {
        name: "s".into(),
        kind: StoreKind::TimeOrderedBuffer,
        persistence: Persistence::InMemory,
        changelog: Changelog::Topic(BTreeMap::new()),
        cached: false,
        headers: false,
    };
    let stores = TaskStores::open(std::slice::from_ref(&spec), Box::new(MemoryEngine::new()))?;
    let mut cx = StateContext::new(stores);
    let optional = |field: &str| row[field].as_str().map(|text| unhex(text).map(Bytes::from)).transpose();
    let change = |old| {
        Ok::<_, anyhow::Error>(Buffered { prior: None, old, new: optional("new_value_hex")?, record: record(row)? })
    };
    let (store, time) = (StoreId(0), at(number(row, "buffer_time")?));
    let (prior, old) = (optional("prior_value_hex")?, optional("old_value_hex")?);
    // What was there before the first change that waits is the prior value.
    if prior != old {
        cx.stores.buffer_put(store, time, b"k", change(prior)?)?;
    }
    cx.stores.buffer_put(store, time, b"k", change(old)?)?;
    log_buffer(&mut cx, store)?;
    let logged = cx.changes.get(0).ok_or_else(|| anyhow!("no changelog record"))?;
    if logged.meta.timestamp.is_some() {
        return Ok(Some(Difference::new("the record's timestamp", "none", format!("{:?}", logged.meta.timestamp))));
    }
    Ok(differ(row, "changelog_value_hex", &Value::from(logged.value.map(hex))))
}

fn record(row: &Value) -> Result<RecordContext> {
    let mut headers = Headers::new();
    for header in row["record_headers"].as_array().into_iter().flatten() {
        let name = header[0].as_str().ok_or_else(|| anyhow!("a header without a name in {row}"))?;
        headers.add(name, header[1].as_str().map(|text| Bytes::copy_from_slice(text.as_bytes())));
    }
    Ok(RecordContext {
        topic: row["record_topic"].as_str().unwrap_or_default().into(),
        partition: i32::try_from(number(row, "record_partition")?)?,
        offset: Offset::new(number(row, "record_offset")?),
        timestamp: at(number(row, "record_timestamp")?),
        headers,
    })
}
