//! Compares what versioned stores hold with what they must: the latest value of each key, and reads as of given times.

use anyhow::Result;
use millstream::state::model::Timestamp;
use millstream::state::store::{StoreId, TaskStores, Version};
use millstream::testing::TopologyTestDriver;
use serde_json::{Value, json};

use super::compare::Difference;
use super::typed::Type;
use super::vector::{Entry, Store};

/// The kind of a versioned store, as the vectors write it.
pub(crate) const KIND: &str = "versioned-key-value";

/// A read of a key's bytes: the latest version, or the one as of a time.
type Read<'a> = &'a mut dyn FnMut(&[u8], Option<Timestamp>) -> Result<Option<Version<Vec<u8>>>>;

/// Compares a store of a driver.
pub(crate) fn of_driver(driver: &TopologyTestDriver, name: &str, should: &Store) -> Result<Option<Difference>> {
    let store = driver.versioned_store::<Vec<u8>, Vec<u8>>(name)?;
    compare(name, should, &mut |key, as_of| {
        let key = key.to_vec();
        Ok(match as_of {
            Some(as_of) => store.get_as_of(&key, as_of)?,
            None => store.get(&key)?,
        })
    })
}

/// Compares a store that was restored.
pub(crate) fn of_stores(
    stores: &mut TaskStores,
    id: StoreId,
    (name, should): (&str, &Store),
) -> Result<Option<Difference>> {
    compare(name, should, &mut |key, as_of| {
        Ok(match as_of {
            Some(as_of) => stores.versioned_get_as_of(id, key, as_of)?,
            None => stores.versioned_get(id, key)?,
        })
    })
}

fn compare(name: &str, should: &Store, read: Read<'_>) -> Result<Option<Difference>> {
    for entry in &should.entries {
        if let Some(mut difference) = of_key(entry, read)? {
            difference.place = format!("store {name}, key {}, {}", entry.key, difference.place);
            return Ok(Some(difference));
        }
    }
    Ok(None)
}

fn of_key(entry: &Entry, read: Read<'_>) -> Result<Option<Difference>> {
    let key = Type::of_stored(&entry.key).encode(&entry.key)?.unwrap_or_default();
    let latest = entry.latest.clone().unwrap_or(Value::Null);
    if let Some(difference) = differ("latest", &latest, read(&key, None)?)? {
        return Ok(Some(difference));
    }
    for as_of in &entry.get_as_of {
        let found = read(&key, Some(Timestamp::from_millis(as_of.as_of)))?;
        let should = if as_of.value.is_null() {
            Value::Null
        } else {
            json!({ "value": as_of.value, "timestamp": as_of.timestamp })
        };
        if let Some(difference) = differ(&format!("as of {}", as_of.as_of), &should, found)? {
            return Ok(Some(difference));
        }
    }
    Ok(None)
}

fn differ(place: &str, should: &Value, is: Option<Version<Vec<u8>>>) -> Result<Option<Difference>> {
    let value = &should["value"];
    let wanted = match should {
        Value::Null => None,
        _ => Some((Type::of_stored(value).encode(value)?.unwrap_or_default(), should["timestamp"].as_i64())),
    };
    let found = is.map(|version| (version.value, Some(version.valid_from.millis())));
    Ok((wanted != found).then(|| Difference::new(place, format!("{wanted:?}"), format!("{found:?}"))))
}
