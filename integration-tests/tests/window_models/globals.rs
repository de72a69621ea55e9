//! Joins of a stream with a global table: each record meets the row that its key mapper names, as it is at that moment.

use std::collections::BTreeMap;

use millstream::operators::dsl::StreamsBuilder;
use millstream::state::model::Timestamp;
use millstream::testing::{TestConfig, TestRecord, TopologyTestDriver};
use rand::Rng;

use super::{Event, KEYS, with_seeds};

/// A record of one of the two topics; a row without a value is deleted.
enum Input {
    Row(Event),
    Deletion(Event),
    Record(Event),
}

/// Which row a record asks for, if any: not the one of its own key.
fn named(value: i64) -> Option<&'static str> {
    KEYS.get(value as usize % (KEYS.len() + 1)).copied()
}

fn show(row: Option<&i64>) -> String {
    row.map_or_else(|| "-".to_owned(), i64::to_string)
}

fn driver(left: bool) -> TopologyTestDriver {
    let builder = StreamsBuilder::new();
    let table = builder.global_table::<String, i64>("rows");
    let stream = builder.stream::<String, i64>("in");
    let asks = |_: &String, value: &i64| named(*value).map(str::to_owned);
    match left {
        true => stream.left_join_global_table(&table, asks, |value, row| format!("{value}~{}", show(row))),
        false => stream.join_global_table(&table, asks, |value, row| format!("{value}~{row}")),
    }
    .to("out");
    TopologyTestDriver::new(builder.build().unwrap(), TestConfig::default()).unwrap()
}

#[test]
fn a_record_meets_the_row_of_a_global_table_that_it_names() {
    with_seeds(15, 60, |rng, events| {
        let left = rng.random_bool(0.5);
        let inputs = events.iter().map(|event| match rng.random_range(0..5) {
            0 => Input::Deletion(*event),
            1 | 2 => Input::Row(*event),
            _ => Input::Record(*event),
        });
        let (driver, mut rows, mut should) = (driver(left), BTreeMap::new(), Vec::new());
        let (mut table, mut stream) = (driver.input_topic("rows"), driver.input_topic("in"));
        for input in inputs {
            match input {
                Input::Row(Event { key, value, time }) => {
                    table.pipe_at(key.to_owned(), Some(value), Timestamp::from_millis(time)).unwrap();
                    rows.insert(key, value);
                }
                Input::Deletion(Event { key, time, .. }) => {
                    table.pipe_at(key.to_owned(), None::<i64>, Timestamp::from_millis(time)).unwrap();
                    rows.remove(key);
                }
                Input::Record(Event { key, value, time }) => {
                    stream.pipe_at(key.to_owned(), value, Timestamp::from_millis(time)).unwrap();
                    let row = named(value).and_then(|key| rows.get(key));
                    if left || row.is_some() {
                        should.push((key.to_owned(), format!("{value}~{}", show(row)), time));
                    }
                }
            }
        }
        let output = driver.output_topic::<String, String>("out");
        let shown = |record: TestRecord<String, String>| (record.key, record.value, record.timestamp.millis());
        let is: Vec<_> = output.read_records_to_list().unwrap().into_iter().map(shown).collect();
        assert_eq!(is, should);
    });
}
