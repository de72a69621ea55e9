//! Compares what the stores of a run hold, and what reads of them give, with what they must.

use anyhow::{Result, anyhow, bail};
use millstream::state::model::Timestamp;
use millstream::testing::{TestWindowStore, TopologyTestDriver, WindowEntry};
use serde_json::{Value, json};

use super::compare::Difference;
use super::typed::{Type, hex};
use super::vector::{Entry, Query, Run, Store};

/// What a store holds, as bytes.
pub(crate) type Dump = Vec<(Vec<u8>, Vec<u8>)>;

/// Compares all stores, and what reads of them give.
pub(crate) fn compare(driver: &TopologyTestDriver, run: &Run) -> Result<Option<Difference>> {
    for (name, should) in &run.stores {
        if let Some(difference) = content(name, should, driver.store_bytes(name)?)? {
            return Ok(Some(difference));
        }
    }
    if let Some(extra) = driver.stores().iter().find(|name| !run.stores.contains_key(&***name)) {
        return Ok(Some(Difference::new("stores", "those of the reference", format!("{extra} too"))));
    }
    for (index, query) in run.queries.iter().enumerate() {
        let is = answer(driver, query)?;
        if is != query.result {
            let place = format!("query {index}: {} of {} with {:?}", query.op, query.store, query.args);
            return Ok(Some(Difference::new(place, &query.result, is)));
        }
    }
    Ok(None)
}

/// What a read of a store gives, as the vectors write it.
fn answer(driver: &TopologyTestDriver, query: &Query) -> Result<Value> {
    let argument = |name: &str| query.args.get(name).ok_or_else(|| anyhow!("{} has no argument {name}", query.op));
    let time = |name| Ok::<_, anyhow::Error>(Timestamp::from_millis(argument(name)?.as_i64().unwrap_or_default()));
    let key = |name| Ok::<_, anyhow::Error>(argument(name)?.as_str().map(str::to_owned));
    let store: TestWindowStore<String, i64> = driver.window_store(&query.store)?;
    let windowed = |entries: Vec<WindowEntry<String, i64>>| {
        let show = |(key, value): WindowEntry<String, i64>| {
            let (start, end) = (key.window.start.millis(), key.window.end.millis());
            json!([{ "key": key.key, "start": start, "end": end }, value.value])
        };
        entries.into_iter().map(show).collect::<Value>()
    };
    Ok(match query.op.as_str() {
        "fetch(key, windowStart)" => json!(store.get(&key("key")?.unwrap_or_default(), time("windowStart")?)?),
        "fetch(key, from, to)" => {
            let entries = store.fetch(&key("key")?.unwrap_or_default(), time("from")?, time("to")?)?;
            entries.into_iter().map(|(key, value)| json!([key.window.start.millis(), value.value])).collect()
        }
        "fetch(keyFrom, keyTo, from, to)" => {
            let (first, last) = (key("keyFrom")?, key("keyTo")?);
            windowed(store.fetch_keys((first.as_ref(), last.as_ref()), time("from")?, time("to")?)?)
        }
        "fetchAll(from, to)" => windowed(store.fetch_keys((None, None), time("from")?, time("to")?)?),
        other => bail!("queries {other:?} are not covered"),
    })
}

/// Compares a store's content.
pub(crate) fn content(name: &str, should: &Store, mut is: Dump) -> Result<Option<Difference>> {
    let windowed = matches!(should.kind.as_str(), "window" | "timestamped-window");
    let mut entries = should.entries.iter().map(|entry| bytes_of(entry, &should.kind)).collect::<Result<Dump>>()?;
    if windowed {
        // The reference lists windows by segment, then key; that order is its own.
        is.sort();
        entries.sort();
    }
    let place = |what: &str, index: usize| format!("after the last step, store {name}, {what} {index}");
    if let Some(raw) = &should.raw_hex {
        let mut raw: Vec<(String, String)> = raw.clone();
        if windowed {
            raw.sort();
        }
        let is: Vec<(String, String)> = is.iter().map(|(key, value)| (hex(key), hex(value))).collect();
        if let Some((index, should, is)) = first_difference(&raw, &is) {
            return Ok(Some(Difference::new(place("raw entry", index), should, is)));
        }
    }
    Ok(first_difference(&entries, &is).map(|(index, should, is)| Difference::new(place("entry", index), should, is)))
}

/// The bytes of an entry in a store of this kind.
fn bytes_of(entry: &Entry, kind: &str) -> Result<(Vec<u8>, Vec<u8>)> {
    let plain = |value| Type::of_stored(value).encode(value).map(Option::unwrap_or_default);
    let mut key = plain(&entry.key)?;
    let mut value = plain(&entry.value)?;
    if kind.starts_with("timestamped-") {
        value.splice(0..0, entry.timestamp.unwrap_or(-1).to_be_bytes());
    }
    match kind {
        "key-value" | "timestamped-key-value" => {}
        "window" | "timestamped-window" => {
            key.extend_from_slice(&entry.start.unwrap_or(-1).to_be_bytes());
            key.extend_from_slice(&0_u32.to_be_bytes());
        }
        _ => bail!("stores of kind {kind} are not covered"),
    }
    Ok((key, value))
}

fn first_difference<T: PartialEq + std::fmt::Debug>(should: &[T], is: &[T]) -> Option<(usize, String, String)> {
    let show = |item: Option<&T>| item.map_or_else(|| "no (further) entry".to_owned(), |item| format!("{item:?}"));
    (0..should.len().max(is.len()))
        .find(|&index| should.get(index) != is.get(index))
        .map(|index| (index, show(should.get(index)), show(is.get(index))))
}
