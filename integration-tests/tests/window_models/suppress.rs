//! Suppression with a time limit.

use std::time::Duration;

use millstream::prelude::*;
use millstream::state::model::Timestamp;
use millstream::testing::{TestConfig, TopologyTestDriver};
use rand::Rng;

use super::{Event, ms, with_seeds};

/// What must come through: a list of what waits, in the order in which it does, searched at every record.
fn through(events: &[Event], wait: i64, room: usize) -> Vec<(String, i64, i64)> {
    let mut waits: Vec<(i64, Event)> = Vec::new();
    let mut out = Vec::new();
    let mut stream_time = 0;
    for event in events {
        stream_time = stream_time.max(event.time);
        match waits.iter_mut().find(|(_, it)| it.key == event.key) {
            Some((_, it)) => *it = *event,
            None => waits.push((event.time, *event)),
        }
        waits.sort_by_key(|(time, it)| (*time, it.key));
        while waits.first().is_some_and(|(time, _)| *time <= stream_time - wait) || waits.len() > room {
            let (_, it) = waits.remove(0);
            out.push((it.key.to_owned(), it.value, it.time));
        }
    }
    out
}

#[test]
fn a_suppression_with_a_time_limit_and_little_room_lets_through_what_has_waited_longest() {
    with_seeds(15, 60, |rng, events| {
        let (wait, room) = (rng.random_range(0..60), rng.random_range(1..4));
        let builder = StreamsBuilder::new();
        let seldom = Suppressed::until_time_limit(ms(wait), BufferConfig::max_records(room));
        builder.table::<String, i64>("in").suppress(seldom).to_stream().to("out");
        let config = TestConfig { cache_max_bytes: 0, ..TestConfig::default() };
        let driver = TopologyTestDriver::new(builder.build().unwrap(), config).unwrap();
        let mut input = driver.input_topic::<String, i64>("in");
        for event in events {
            input.pipe_at(event.key.to_owned(), event.value, Timestamp::from_millis(event.time)).unwrap();
        }
        driver.advance_wall_clock(Duration::from_secs(3600)).unwrap();
        let records = driver.output_topic::<String, i64>("out").read_records_to_list().unwrap();
        let is: Vec<_> = records.into_iter().map(|it| (it.key, it.value, it.timestamp.millis())).collect();
        assert_eq!(is, through(events, wait, room));
    });
}
