//! Compares what the stores of a run hold, and what reads of them give, with what they must.

use anyhow::{Result, bail};
use millstream::state::model::Timestamp;
use millstream::testing::{TestBuffer, TopologyTestDriver};

use super::compare::Difference;
use super::join_stores;
use super::queries;
use super::typed::{Type, hex, unhex};
use super::vector::{Entry, Run, Store};
use super::versions;

/// What a store holds, as bytes.
pub(crate) type Dump = Vec<(Vec<u8>, Vec<u8>)>;

/// Compares all stores, and what reads of them give.
pub(crate) fn compare(driver: &TopologyTestDriver, run: &Run) -> Result<Option<Difference>> {
    for (name, should) in &run.stores {
        // What a join holds back is called a buffer too, and is in a key-value store.
        let waiting = if should.kind == BUFFER { driver.buffer(name).ok() } else { None };
        let difference = if let Some(waiting) = waiting {
            buffer(name, should, waiting)
        } else if should.kind == versions::KIND {
            versions::of_driver(driver, name, should)?
        } else {
            let stored = |key: &[u8]| Ok(driver.stored_key(name, key)?);
            content(name, should, driver.store_bytes(name)?, &stored)?
        };
        if difference.is_some() {
            return Ok(difference);
        }
    }
    if let Some(extra) = driver.stores().iter().find(|name| !run.stores.contains_key(&***name)) {
        return Ok(Some(Difference::new("stores", "those of the reference", format!("{extra} too"))));
    }
    for (index, query) in run.queries.iter().enumerate() {
        let is = queries::answer(driver, query)?;
        if is != query.result {
            let place = format!("query {index}: {} of {} with {:?}", query.op, query.store, query.args);
            return Ok(Some(Difference::new(place, &query.result, is)));
        }
    }
    Ok(None)
}

/// The kind of a suppression's buffer.
pub(crate) const BUFFER: &str = "time-ordered-buffer";

/// Compares what waits in a buffer.
pub(crate) fn buffer(name: &str, should: &Store, is: TestBuffer) -> Option<Difference> {
    let should = (should.num_records, should.buffer_size_bytes, should.min_timestamp);
    let is = (Some(is.records), Some(is.bytes), is.first_time.map(Timestamp::millis));
    let place = || format!("after the last step, buffer {name}: records, bytes, smallest time");
    (should != is).then(|| Difference::new(place(), format!("{should:?}"), format!("{is:?}")))
}

/// Compares a store's content; `stored` tells the bytes by which a key is kept.
pub(crate) fn content(
    name: &str,
    should: &Store,
    mut is: Dump,
    stored: &dyn Fn(&[u8]) -> Result<Vec<u8>>,
) -> Result<Option<Difference>> {
    if should.kind == BUFFER {
        return join_stores::held(name, should, &is);
    }
    let windowed = matches!(should.kind.as_str(), "window" | "timestamped-window" | "header-aware-window");
    let sessions = should.kind == "session";
    let mut entries = should.entries.iter().map(|entry| bytes_of(entry, &should.kind)).collect::<Result<Dump>>()?;
    if windowed || sessions {
        // The reference lists windows by segment, then key; that order is its own.
        is.sort();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
    let place = |what: &str, index: usize| format!("after the last step, store {name}, {what} {index}");
    if let Some(raw) = &should.raw_hex {
        let raw = raw.iter().map(|(key, value)| Ok((unhex(key)?, unhex(value)?))).collect::<Result<Dump>>()?;
        let is = is.iter().map(|(key, value)| Ok((stored(key)?, value.clone()))).collect::<Result<Dump>>()?;
        let (mut raw, mut is) = (raw, is);
        if windowed || sessions {
            raw.sort();
            is.sort();
        }
        if windowed {
            (raw, is) = (join_stores::ranked(raw), join_stores::ranked(is));
        }
        let raw: Vec<(String, String)> = raw.iter().map(|(key, value)| (hex(key), hex(value))).collect();
        let is: Vec<(String, String)> = is.iter().map(|(key, value)| (hex(key), hex(value))).collect();
        if let Some((index, should, is)) = first_difference(&raw, &is) {
            return Ok(Some(Difference::new(place("raw entry", index), should, is)));
        }
    }
    if join_stores::is_shared(should) {
        entries = should.entries.iter().map(join_stores::element).collect::<Result<Dump>>()?;
        is = join_stores::elements(&is)?;
    } else if should.raw_hex.is_some() && should.entries.iter().any(|entry| entry.value.is_null()) {
        // Values of internal types are given as bytes alone.
        return Ok(None);
    }
    if windowed {
        is = join_stores::unnumbered(is);
        entries = join_stores::without_starts(entries, &is);
    }
    Ok(first_difference(&entries, &is).map(|(index, should, is)| Difference::new(place("entry", index), should, is)))
}

/// The bytes of an entry in a store of this kind.
fn bytes_of(entry: &Entry, kind: &str) -> Result<(Vec<u8>, Vec<u8>)> {
    let plain = |value| Type::of_stored(value).encode(value).map(Option::unwrap_or_default);
    let mut key = plain(&entry.key)?;
    let mut value = plain(&entry.value)?;
    let headers = kind.starts_with("header-aware-");
    if kind.starts_with("timestamped-") || headers {
        value.splice(0..0, entry.timestamp.unwrap_or(-1).to_be_bytes());
    }
    if headers {
        // The header part: the operators of the reference leave it empty.
        value.insert(0, 0);
    }
    match kind {
        "key-value" | "timestamped-key-value" | "header-aware-key-value" => {}
        "window" | "timestamped-window" | "header-aware-window" => {
            key.extend_from_slice(&entry.start.unwrap_or(-1).to_be_bytes());
            key.extend_from_slice(&0_u32.to_be_bytes());
        }
        "session" => {
            key.extend_from_slice(&entry.end.unwrap_or(-1).to_be_bytes());
            key.extend_from_slice(&entry.start.unwrap_or(-1).to_be_bytes());
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
