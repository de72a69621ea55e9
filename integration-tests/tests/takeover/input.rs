//! The input: clicks and views of users, and tables about them, part by part.

use millstream::partitioner::partition_of;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

pub(crate) const PARTITIONS: i32 = 3;
const USERS: i64 = 20;
const CLICKS: usize = 150;

/// How much clicks are out of order, at most; less than the windows' grace.
const DISORDER: i64 = 8_000;
/// How late a click is that is too late: later than a window and its grace, and longer than a session.
const TOO_LATE: i64 = 240_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Number(i64),
    Text(String),
    /// A delete.
    Nothing,
}

/// A record of the input.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) topic: &'static str,
    pub(crate) key: String,
    pub(crate) value: Value,
    pub(crate) timestamp: i64,
}

impl Record {
    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        match &self.value {
            Value::Number(number) => Some(number.to_be_bytes().to_vec()),
            Value::Text(text) => Some(text.as_bytes().to_vec()),
            Value::Nothing => None,
        }
    }

    pub(crate) fn partition(&self) -> i32 {
        partition_of(self.key.as_bytes(), PARTITIONS)
    }
}

/// What one life of the application processes.
pub(crate) struct Part {
    /// To be processed before the streams.
    pub(crate) tables: Vec<Record>,
    pub(crate) streams: Vec<Record>,
}

pub(crate) struct Input {
    pub(crate) parts: Vec<Part>,
}

impl Input {
    /// The parts that a seed gives. Some clicks are `too_late` for their windows; which ones they are depends on where a
    /// life ends, so there are none if that is left to chance; and then the second part has no tables, because what is left
    /// of the first is to be joined with those that it came with.
    pub(crate) fn new(seed: u64, parts: usize, too_late: bool) -> Self {
        // Not long ago, because changelogs of windows delete by time; on the border of a window.
        let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
        let mut writer = Writer { random: StdRng::seed_from_u64(seed), clock: (now / 30_000 - 60) * 30_000, too_late };
        let part = |number: usize| writer.part(number == 0, too_late || number != 1);
        Self { parts: (0..parts).map(part).collect() }
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.parts.iter().flat_map(|part| part.tables.iter().chain(&part.streams))
    }
}

struct Writer {
    random: StdRng,
    clock: i64,
    too_late: bool,
}

fn record(topic: &'static str, key: String, value: Value, timestamp: i64) -> Record {
    Record { topic, key, value, timestamp }
}

impl Writer {
    fn user(&mut self) -> String {
        format!("user-{}", self.random.random_range(0..USERS))
    }

    fn part(&mut self, first: bool, with_tables: bool) -> Part {
        let mut tables = if first { self.first_tables() } else { Vec::new() };
        if with_tables {
            self.change_tables(&mut tables);
        }
        Part { tables, streams: self.streams() }
    }

    fn first_tables(&mut self) -> Vec<Record> {
        let mut tables = Vec::new();
        for code in ["r0", "r1", "r2"] {
            tables.push(record("regions", code.into(), Value::Text(format!("region {code}")), self.clock));
        }
        // Some users have no profile yet, and some no price.
        for user in 0..USERS - 3 {
            let region = Value::Text(format!("r{}", user % 4));
            tables.push(record("profiles", format!("user-{user}"), region, self.clock));
            let price = Value::Number(self.random.random_range(1..10));
            tables.push(record("prices", format!("user-{}", user + 2), price, self.clock - 2 * TOO_LATE));
        }
        tables
    }

    fn change_tables(&mut self, tables: &mut Vec<Record>) {
        for _ in 0..8 {
            let region = match self.random.random_range(0..6) {
                0 => Value::Nothing,
                code => Value::Text(format!("r{}", code % 4)),
            };
            tables.push(record("profiles", self.user(), region, self.clock));
        }
        for _ in 0..2 {
            let name = match self.random.random_range(0..3) {
                0 => Value::Nothing,
                _ => Value::Text(format!("renamed at {}", self.clock)),
            };
            tables.push(record("regions", format!("r{}", self.random.random_range(0..4)), name, self.clock));
        }
        // Prices from some moment on, out of order, and partly in the time of clicks to come or of those that are too late.
        for _ in 0..20 {
            let price = match self.random.random_range(0..8) {
                0 => Value::Nothing,
                price => Value::Number(price * 10),
            };
            let from = self.clock + self.random.random_range(-TOO_LATE..60_000);
            tables.push(record("prices", self.user(), price, from));
        }
    }

    fn streams(&mut self) -> Vec<Record> {
        let mut streams: Vec<Record> = Vec::new();
        for number in 0..CLICKS {
            self.clock += self.random.random_range(0..800);
            let back = if self.random.random_bool(0.2) { self.random.random_range(0..DISORDER) } else { 0 };
            let (user, amount) = (self.user(), self.random.random_range(1..100));
            let at = self.clock - back;
            streams.push(record("clicks", user.clone(), Value::Number(amount), at));
            if self.random.random_bool(0.4) {
                let page = Value::Text(format!("page-{number}"));
                streams.push(record("views", user.clone(), page, at + self.random.random_range(-6_000..6_000)));
            }
            // Right after one in time, of the same partition: whoever processes both knows that it is too late.
            if self.too_late && number % 25 == 24 {
                streams.push(record("clicks", user.clone(), Value::Number(amount), self.clock));
                streams.push(record("clicks", user, Value::Number(amount), self.clock - TOO_LATE));
            }
        }
        streams
    }
}
