//! Reads of stores after the last step, by the names that the vectors give them.

use anyhow::{Result, anyhow, bail};
use millstream::state::engine::Direction;
use millstream::state::model::{Timestamp, Window, Windowed};
use millstream::state::serdes::DefaultSerde;
use millstream::testing::{
    TestError, TestKeyValueStore, TestSessionStore, TestWindowStore, TopologyTestDriver, WindowEntry,
};
use serde_json::{Value, json};

use super::vector::Query;

/// What a read of a store gives, as the vectors write it.
pub(crate) fn answer(driver: &TopologyTestDriver, query: &Query) -> Result<Value> {
    if let Some(store) = shaped(driver.key_value_store(&query.store))? {
        return key_value(&store, query);
    }
    if let Some(store) = shaped(driver.session_store(&query.store))? {
        return session(&store, query);
    }
    match driver.window_store::<String, i64>(&query.store) {
        Ok(store) => match window(&store, query) {
            // The vectors do not say what a store holds: numbers or texts.
            Err(_) => window(&driver.window_store::<String, String>(&query.store)?, query),
            answer => answer,
        },
        Err(error) => Err(error.into()),
    }
}

/// The store, unless it is of another shape.
fn shaped<S>(store: Result<S, TestError>) -> Result<Option<S>> {
    match store {
        Ok(store) => Ok(Some(store)),
        Err(TestError::UnknownStore { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn argument<'q>(query: &'q Query, name: &str) -> Result<&'q Value> {
    query.args.get(name).ok_or_else(|| anyhow!("{} has no argument {name}", query.op))
}

/// A key, or `None` for an open bound.
pub(super) fn key(query: &Query, name: &str) -> Result<Option<String>> {
    Ok(argument(query, name)?.as_str().map(str::to_owned))
}

pub(super) fn time(query: &Query, name: &str) -> Result<Timestamp> {
    Ok(Timestamp::from_millis(argument(query, name)?.as_i64().unwrap_or_default()))
}

fn key_value(store: &TestKeyValueStore<String, String>, query: &Query) -> Result<Value> {
    let key = |name| key(query, name);
    let list = |entries: Vec<(String, String)>| -> Value {
        entries.into_iter().map(|(key, value)| json!([key, value])).collect()
    };
    Ok(match query.op.as_str() {
        "get(key)" => json!(store.get(&key("key")?.unwrap_or_default())?),
        "range(from, to)" => list(store.range(key("from")?.as_ref(), key("to")?.as_ref())?),
        "reverseRange(from, to)" => list(store.reverse_range(key("from")?.as_ref(), key("to")?.as_ref())?),
        "all()" => list(store.all()?),
        "reverseAll()" => list(store.reverse_all()?),
        "prefixScan(prefix)" => list(store.prefix_scan(key("prefix")?.unwrap_or_default().as_bytes())?),
        other => bail!("queries {other:?} are not covered"),
    })
}

fn window<V: DefaultSerde + Into<Value>>(store: &TestWindowStore<String, V>, query: &Query) -> Result<Value> {
    let (key, time) = (|name| key(query, name), |name| time(query, name));
    let one = |entries: Vec<WindowEntry<String, V>>| -> Value {
        entries.into_iter().map(|(key, found)| json!([key.window.start.millis(), found.value.into()])).collect()
    };
    let many = |entries: Vec<WindowEntry<String, V>>| {
        let show = |(key, found): WindowEntry<String, V>| {
            let (start, end) = (key.window.start.millis(), key.window.end.millis());
            json!([{ "key": key.key, "start": start, "end": end }, found.value.into()])
        };
        entries.into_iter().map(show).collect::<Value>()
    };
    Ok(match query.op.as_str() {
        "fetch(key, windowStart)" => {
            store.get(&key("key")?.unwrap_or_default(), time("windowStart")?)?.map_or(Value::Null, Into::into)
        }
        "fetch(key, from, to)" => one(store.fetch(&key("key")?.unwrap_or_default(), time("from")?, time("to")?)?),
        "backwardFetch(key, from, to)" => {
            one(store.backward_fetch(&key("key")?.unwrap_or_default(), time("from")?, time("to")?)?)
        }
        "fetch(keyFrom, keyTo, from, to)" => {
            let (first, last) = (key("keyFrom")?, key("keyTo")?);
            many(store.fetch_keys((first.as_ref(), last.as_ref()), time("from")?, time("to")?)?)
        }
        "backwardFetch(keyFrom, keyTo, from, to)" => {
            let (first, last) = (key("keyFrom")?, key("keyTo")?);
            many(store.backward_fetch_keys((first.as_ref(), last.as_ref()), time("from")?, time("to")?)?)
        }
        "fetchAll(from, to)" => many(store.fetch_keys((None, None), time("from")?, time("to")?)?),
        "backwardFetchAll(from, to)" => many(store.backward_fetch_keys((None, None), time("from")?, time("to")?)?),
        "all()" => many(store.all()?),
        "backwardAll()" => many(store.backward_all()?),
        other => bail!("queries {other:?} are not covered"),
    })
}

fn session(store: &TestSessionStore<String, String>, query: &Query) -> Result<Value> {
    let ever = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));
    let show = |(key, value): (Windowed<String>, String)| {
        let (start, end) = (key.window.start.millis(), key.window.end.millis());
        json!([{ "key": key.key, "start": start, "end": end }, value])
    };
    if query.op == "fetchSession(key, sessionStart, sessionEnd)" {
        let session = Window { start: time(query, "sessionStart")?, end: time(query, "sessionEnd")? };
        return Ok(json!(store.get(&key(query, "key")?.unwrap_or_default(), session)?));
    }
    let backward = query.op.starts_with("backward");
    let direction = if backward { Direction::Backward } else { Direction::Forward };
    let times = if query.args.contains_key("earliestSessionEnd") {
        (time(query, "earliestSessionEnd")?, time(query, "latestSessionStart")?)
    } else {
        ever
    };
    let found = if query.args.contains_key("keyFrom") {
        let (first, last) = (key(query, "keyFrom")?, key(query, "keyTo")?);
        store.find_keys((first.as_ref(), last.as_ref()), times, direction)?
    } else {
        store.find(&key(query, "key")?.unwrap_or_default(), times, direction)?
    };
    Ok(found.into_iter().map(show).collect())
}
