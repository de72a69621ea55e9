//! A measurement, not a check: `cargo test -p millstream --lib embedded::tests::speed -- --ignored --nocapture`.

use super::*;
use crate::clock::{Clock as _, SystemClock};

#[test]
#[ignore = "a measurement"]
fn records_per_second_in_and_out() {
    const RECORDS: i64 = 2_000_000;
    let clock = SystemClock::default();
    let broker = EmbeddedBroker::new(Arc::new(clock.clone()));
    let topic = topic(&broker, "t", 1, &[("retention.ms", "-1")]);
    let mut producer = producer(&broker, Some("id"));
    producer.begin().unwrap();
    let value = "x".repeat(100);
    let begin = clock.monotonic();
    for number in 0..RECORDS {
        send(&mut *producer, &topic, number, &value).unwrap();
    }
    done(producer.commit()).unwrap();
    let produced = clock.monotonic();
    let mut fetcher = broker.fetcher(Isolation::ReadCommitted, Wake::nobody()).unwrap();
    let mut queue = fetcher.assign(&TopicPartition::new(topic, 0), Position::START).unwrap();
    let (mut read, mut bytes) = (0, 0);
    while let Some(batch) = queue.drain(500).unwrap() {
        read += batch.len() as i64;
        bytes += (0..batch.len()).map(|index| batch.get(index).value.map_or(0, <[u8]>::len)).sum::<usize>();
    }
    let consumed = clock.monotonic();
    assert_eq!((read, bytes), (RECORDS, RECORDS as usize * 100));
    let rate = |took: Duration| RECORDS as f64 / took.as_secs_f64() / 1e6;
    println!(
        "{:.1} M records/s in, {:.1} M records/s out",
        rate(produced.since(begin)),
        rate(consumed.since(produced))
    );
}
