//! Segments, compaction and wakes.

use super::*;

fn keyed(producer: &mut dyn Producer, topic: &Arc<str>, key: &str, value: Option<&str>) {
    let record = OutRecord {
        topic,
        partition: 0,
        timestamp: Some(Timestamp::from_millis(START)),
        key: Some(key.as_bytes()),
        value: value.map(str::as_bytes),
        headers: &Headers::new(),
    };
    producer.produce(record).unwrap();
}

fn keys_and_offsets(broker: &EmbeddedBroker, topic: &str) -> Vec<(String, i64)> {
    let records = broker.read_log(topic, 0, Isolation::ReadCommitted).unwrap();
    let key = |record: &LogRecord| String::from_utf8(record.key.clone().unwrap_or_default().to_vec()).unwrap();
    records.iter().map(|record| (key(record), record.offset.number())).collect()
}

fn pairs(pairs: &[(&str, i64)]) -> Vec<(String, i64)> {
    pairs.iter().map(|(key, offset)| ((*key).to_owned(), *offset)).collect()
}

#[test]
fn compaction_keeps_the_last_value_of_each_key_at_its_offset() {
    let (broker, _clock) = cluster();
    let topic = topic(&broker, "t", 1, &[("cleanup.policy", "compact")]);
    let mut plain = producer(&broker, None);
    for (key, value) in [("a", "1"), ("b", "1"), ("a", "2"), ("c", "1"), ("b", "2")] {
        keyed(&mut *plain, &topic, key, Some(value));
    }
    broker.compact("t");
    assert_eq!(keys_and_offsets(&broker, "t"), pairs(&[("a", 2), ("c", 3), ("b", 4)]));
    keyed(&mut *plain, &topic, "d", Some("1"));
    assert_eq!(keys_and_offsets(&broker, "t").last(), pairs(&[("d", 5)]).last());
}

#[test]
fn compaction_takes_no_aborted_value_for_the_last_and_leaves_open_transactions_alone() {
    let (broker, _clock) = cluster();
    let topic = topic(&broker, "t", 1, &[("cleanup.policy", "compact")]);
    let mut producer = producer(&broker, Some("id"));
    for (value, commits) in [("kept", true), ("aborted", false)] {
        producer.begin().unwrap();
        keyed(&mut *producer, &topic, "a", Some(value));
        done(if commits { producer.commit() } else { producer.abort() }).unwrap();
    }
    broker.compact("t");
    assert_eq!(values(&broker, "t", Isolation::ReadCommitted), ["kept"]);
    assert_eq!(values(&broker, "t", Isolation::ReadUncommitted), ["kept"]);
    producer.begin().unwrap();
    keyed(&mut *producer, &topic, "a", Some("open"));
    broker.compact("t");
    assert_eq!(values(&broker, "t", Isolation::ReadUncommitted), ["kept", "open"]);
    done(producer.abort()).unwrap();
    assert_eq!(values(&broker, "t", Isolation::ReadCommitted), ["kept"]);
}

#[test]
fn tombstones_stay_for_the_delete_retention_after_the_first_compaction() {
    let (broker, clock) = cluster();
    let topic = topic(&broker, "t", 1, &[("cleanup.policy", "compact"), ("delete.retention.ms", "1000")]);
    let mut plain = producer(&broker, None);
    keyed(&mut *plain, &topic, "a", Some("1"));
    keyed(&mut *plain, &topic, "a", None);
    broker.compact("t");
    assert_eq!(keys_and_offsets(&broker, "t"), pairs(&[("a", 1)]));
    clock.advance(Duration::from_millis(1001));
    broker.tick();
    broker.compact("t");
    assert_eq!(keys_and_offsets(&broker, "t"), []);
    assert_eq!(broker.end("t", 0, Isolation::ReadCommitted).unwrap().number(), 2);
}

#[test]
fn a_batch_stays_as_it_was_while_the_log_goes_on() {
    let (broker, _clock) = cluster();
    let topic = topic(&broker, "t", 1, &[]);
    let mut plain = producer(&broker, None);
    send(&mut *plain, &topic, START, "first").unwrap();
    let mut fetcher = broker.fetcher(Isolation::ReadCommitted, Wake::nobody()).unwrap();
    let partition = TopicPartition::new(topic.clone(), 0);
    let mut queue = fetcher.assign(&partition, Position::START).unwrap();
    let batch = queue.drain(10).unwrap().unwrap();
    for number in 0..50_000 {
        send(&mut *plain, &topic, START, &number.to_string()).unwrap();
    }
    done(broker.admin().delete_records(vec![(partition, Position::new(40_000))])).unwrap();
    assert_eq!((batch.len(), batch.get(0).value), (1, Some(&b"first"[..])));
    queue.seek(Position::new(40_000)).unwrap();
    let mut read = 0;
    while let Some(batch) = queue.drain(1_000).unwrap() {
        assert_eq!(batch.get(0).offset.number(), 40_000 + read);
        read += batch.len() as i64;
    }
    assert_eq!(read, 10_001);
}

#[test]
fn a_reader_is_woken_once_for_news_it_can_see() {
    let (broker, _clock) = cluster();
    let topic = topic(&broker, "t", 1, &[]);
    let (wake, woken) = counting();
    let mut fetcher = broker.fetcher(Isolation::ReadCommitted, wake).unwrap();
    let mut queue = fetcher.assign(&TopicPartition::new(topic.clone(), 0), Position::START).unwrap();
    assert!(queue.drain(1).unwrap().is_none());
    let mut producer = producer(&broker, Some("id"));
    producer.begin().unwrap();
    send(&mut *producer, &topic, START, "a").unwrap();
    send(&mut *producer, &topic, START, "b").unwrap();
    assert_eq!(woken.load(Ordering::SeqCst), 0);
    done(producer.commit()).unwrap();
    assert_eq!(woken.load(Ordering::SeqCst), 1);
    producer.begin().unwrap();
    send(&mut *producer, &topic, START, "c").unwrap();
    done(producer.commit()).unwrap();
    assert_eq!(woken.load(Ordering::SeqCst), 1, "it knows already, until it has looked");
}

#[test]
fn a_record_that_is_too_large_is_refused() {
    let (broker, _clock) = cluster();
    let topic = topic(&broker, "t", 1, &[("max.message.bytes", "1000")]);
    let refused = send(&mut *producer(&broker, None), &topic, START, &"x".repeat(1000)).unwrap_err();
    assert!(refused.to_string().contains("max.message.bytes"), "{refused}");
}
