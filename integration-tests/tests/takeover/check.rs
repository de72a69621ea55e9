//! Compares what is in the log with the model: every output record, and the last value of every key of the changelogs.

use std::collections::BTreeMap;
use std::fmt::Debug;

use crate::cluster::Cluster;
use crate::model::{Model, Sequences, Table, last};

/// How the bytes of a key are read.
#[derive(Clone, Copy)]
enum Key {
    /// Text.
    Plain,
    /// Text and the start of a window.
    Windowed,
    /// Text, the start of a window, and a number that tells duplicates apart.
    WindowStore,
    /// Text, the end of a session, and its start.
    Session,
}

/// How the bytes of a value are read.
#[derive(Clone, Copy)]
enum Of {
    Number,
    Text,
    /// Only whether there is one.
    Anything,
}

/// Every output once, none missed; and changelogs that either side could go on from.
pub(crate) async fn check(cluster: &Cluster, model: &Model, optimized: bool) {
    let windows = &model.windows;
    let exact = [
        ("counts", Key::Plain, Of::Number, model.counts.clone()),
        ("windowed", Key::Windowed, Of::Number, windows.counts.clone()),
        ("closed", Key::Windowed, Of::Number, windows.closed()),
        ("enriched", Key::Plain, Of::Text, model.enriched.clone()),
        ("priced", Key::Plain, Of::Number, model.priced.clone()),
    ];
    for (topic, key, of, wanted) in exact {
        compare(topic, &sequences(cluster, topic, key, of).await, &wanted);
    }
    // Which of two records that are joined comes first is open.
    let pairs = sequences(cluster, "pairs", Key::Plain, Of::Text).await;
    compare("pairs", &sorted(pairs), &sorted(model.pairs.clone()));

    let mut tables = vec![
        ("sessions", Key::Session, Of::Number, windows.sessions()),
        ("sums", Key::Plain, Of::Number, model.sums()),
        ("homes", Key::Plain, Of::Text, model.homes()),
        ("counts-changelog", Key::Plain, Of::Number, last(&model.counts)),
        ("windowed-changelog", Key::WindowStore, Of::Number, windows.last_counts()),
        ("closing-store-changelog", Key::Windowed, Of::Anything, windows.open()),
        ("sessions-changelog", Key::Session, Of::Number, windows.sessions()),
        ("sums-changelog", Key::Plain, Of::Number, model.sums()),
        ("homes-changelog", Key::Plain, Of::Text, model.homes()),
    ];
    if !optimized {
        tables.push(("profiles-changelog", Key::Plain, Of::Text, model.profiles.clone()));
        tables.push(("regions-changelog", Key::Plain, Of::Text, model.regions.clone()));
    }
    for (topic, key, of, wanted) in tables {
        compare(topic, &table(cluster, topic, key, of).await, &wanted);
    }
}

async fn sequences(cluster: &Cluster, topic: &str, key: Key, of: Of) -> Sequences {
    let mut found = Sequences::new();
    let read = cluster.read(topic, |record| {
        let value = record.value.map_or_else(|| "nothing".to_owned(), |value| value_text(of, value));
        found.entry(key_text(key, record.key.unwrap())).or_default().push((record.timestamp.millis(), value));
    });
    read.await;
    found
}

async fn table(cluster: &Cluster, topic: &str, key: Key, of: Of) -> Table {
    let mut found = Table::new();
    let read = cluster.read(topic, |record| {
        let key = key_text(key, record.key.unwrap());
        match record.value {
            Some(value) => found.insert(key, value_text(of, value)),
            None => found.remove(&key),
        };
    });
    read.await;
    found
}

fn key_text(key: Key, bytes: &[u8]) -> String {
    let time = |from_end: usize| {
        let at = bytes.len() - from_end;
        i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
    };
    let text = |from_end: usize| std::str::from_utf8(&bytes[..bytes.len() - from_end]).unwrap();
    match key {
        Key::Plain => text(0).to_owned(),
        Key::Windowed => format!("{}@{}", text(8), time(8)),
        Key::WindowStore => format!("{}@{}", text(12), time(12)),
        Key::Session => format!("{}@{}-{}", text(16), time(8), time(16)),
    }
}

fn value_text(of: Of, bytes: &[u8]) -> String {
    match of {
        Of::Number => i64::from_be_bytes(bytes.try_into().unwrap()).to_string(),
        Of::Text => std::str::from_utf8(bytes).unwrap().to_owned(),
        Of::Anything => String::new(),
    }
}

fn sorted(mut sequences: Sequences) -> Sequences {
    sequences.values_mut().for_each(|values| values.sort());
    sequences
}

/// Fails with the keys that differ.
fn compare<V: PartialEq + Debug>(what: &str, found: &BTreeMap<String, V>, wanted: &BTreeMap<String, V>) {
    let keys = found.keys().chain(wanted.keys().filter(|key| !found.contains_key(*key)));
    let differ: Vec<&String> = keys.filter(|key| found.get(*key) != wanted.get(*key)).collect();
    let shown: Vec<String> = differ
        .iter()
        .take(4)
        .map(|key| format!("{key}\n    found  {:?}\n    wanted {:?}", found.get(*key), wanted.get(*key)))
        .collect();
    assert!(differ.is_empty(), "{what}: {} keys differ:\n  {}", differ.len(), shown.join("\n  "));
    assert!(!wanted.is_empty(), "{what}: there is nothing to compare");
}
