//! What the whole input gives, worked out by one who keeps everything and looks through all of it.

use std::collections::BTreeMap;

use crate::input::{Input, Record, Value};
use crate::windows::{GAP, Windows, count};

/// Timestamps and values by key, in order.
pub(crate) type Sequences = BTreeMap<String, Vec<(i64, String)>>;
/// The last value of each key.
pub(crate) type Table = BTreeMap<String, String>;

/// Outputs and stores, after all of the input.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) counts: Sequences,
    pub(crate) windows: Windows,
    pub(crate) sums: BTreeMap<String, i64>,
    pub(crate) enriched: Sequences,
    pub(crate) priced: Sequences,
    pub(crate) pairs: Sequences,
    pub(crate) profiles: Table,
    pub(crate) regions: Table,
    /// By user and the time from which each holds.
    prices: BTreeMap<String, BTreeMap<i64, Option<i64>>>,
    /// User, timestamp and value.
    clicks: Vec<(String, i64, i64)>,
    views: Vec<(String, i64, String)>,
}

impl Model {
    pub(crate) fn of(input: &Input) -> Self {
        let mut model = Self::default();
        for record in input.records() {
            model.take(record);
        }
        for (user, at, amount) in &model.clicks {
            for (_, seen, page) in model.views.iter().filter(|(by, seen, _)| by == user && (at - seen).abs() <= GAP) {
                model.pairs.entry(user.clone()).or_default().push((*at.max(seen), format!("{amount}@{page}")));
            }
        }
        model
    }

    fn take(&mut self, record: &Record) {
        let (key, at) = (record.key.clone(), record.timestamp);
        match (record.topic, &record.value) {
            ("clicks", Value::Number(amount)) => self.click(record, *amount),
            ("views", Value::Text(page)) => self.views.push((key, at, page.clone())),
            ("profiles", value) => set(&mut self.profiles, key, value),
            ("regions", value) => set(&mut self.regions, key, value),
            ("prices", value) => {
                let price = if let Value::Number(price) = value { Some(*price) } else { None };
                self.prices.entry(key).or_default().insert(at, price);
            }
            (topic, value) => panic!("{value:?} in {topic}"),
        }
    }

    fn click(&mut self, record: &Record, amount: i64) {
        let (user, at) = (&record.key, record.timestamp);
        count(self.counts.entry(user.clone()).or_default(), at);
        self.windows.click(user, record.partition(), at);
        *self.sums.entry(format!("bucket-{}", amount % 5)).or_default() += amount;
        if let Some(region) = self.profiles.get(user) {
            self.enriched.entry(user.clone()).or_default().push((at, format!("{amount}@{region}")));
        }
        let price = self.prices.get(user).and_then(|prices| *prices.range(..=at).next_back()?.1);
        if let Some(price) = price {
            self.priced.entry(user.clone()).or_default().push((at, (amount * price).to_string()));
        }
        self.clicks.push((user.clone(), at, amount));
    }

    /// The region of each user who has one that exists.
    pub(crate) fn homes(&self) -> Table {
        let home = |(user, code): (&String, &String)| {
            self.regions.get(code).map(|name| (user.clone(), format!("{code}:{name}")))
        };
        self.profiles.iter().filter_map(home).collect()
    }

    pub(crate) fn sums(&self) -> Table {
        self.sums.iter().map(|(bucket, sum)| (bucket.clone(), sum.to_string())).collect()
    }
}

/// The last value of each key.
pub(crate) fn last(sequences: &Sequences) -> Table {
    let last = |(key, values): (&String, &Vec<(i64, String)>)| Some((key.clone(), values.last()?.1.clone()));
    sequences.iter().filter_map(last).collect()
}

fn set(table: &mut Table, key: String, value: &Value) {
    match value {
        Value::Text(text) => table.insert(key, text.clone()),
        _ => table.remove(&key),
    };
}
