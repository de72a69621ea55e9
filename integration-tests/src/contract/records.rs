//! What is sent is what is read.

use anyhow::ensure;
use millstream::broker::{ErrorClass, Isolation, OutRecord};
use millstream::state::model::{Headers, Timestamp, TopicPartition};

use super::scene::{Outcome, Scene};

/// Offsets go up by one, and the order is that of sending.
pub fn records_of_a_partition_come_back_in_the_order_they_were_sent(scene: &Scene<'_>) -> Outcome {
    let topic = scene.topic("ordered", 2, &[])?;
    let (one, other) = (TopicPartition::new(topic.clone(), 0), TopicPartition::new(topic, 1));
    let mut producer = scene.producer()?;
    let values: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    for value in &values {
        producer.texts(&one, &[value])?;
        producer.texts(&other, &["x"])?;
    }
    producer.flush()?;
    let read = scene.reader(&one, Isolation::ReadCommitted)?.to_end()?;
    assert_eq!(read.iter().map(|record| record.text()).collect::<Vec<_>>(), values);
    assert_eq!(read.iter().map(|record| record.offset).collect::<Vec<_>>(), (0..1000).collect::<Vec<_>>());
    Ok(())
}

/// Null and empty are two things, for keys, values and headers alike.
pub fn keys_values_headers_and_timestamps_come_back_as_they_were_sent(scene: &Scene<'_>) -> Outcome {
    let partition = TopicPartition::new(scene.topic("exact", 1, &[])?, 0);
    let mut headers = Headers::new();
    headers.add("a", Some(bytes_of(b"1")));
    headers.add("b", None);
    headers.add("a", Some(bytes_of(b"")));
    let none = Headers::new();
    let year_2013 = 1_357_034_400_000;
    type Sent<'a> = (i64, Option<&'a [u8]>, Option<&'a [u8]>, &'a Headers);
    let sent: [Sent<'_>; 5] = [
        (year_2013, Some(b"key"), Some(b"value"), &headers),
        (scene.now(), None, Some(b"without a key"), &none),
        (1, Some(b"tombstone"), None, &none),
        (2, Some(b""), Some(b""), &none),
        (3, None, None, &headers),
    ];
    let mut producer = scene.producer()?;
    for (timestamp, key, value, headers) in sent {
        let (topic, partition) = (&partition.topic, partition.partition);
        let timestamp = Some(Timestamp::from_millis(timestamp));
        producer.send(OutRecord { topic, partition, timestamp, key, value, headers })?;
    }
    producer.flush()?;
    let read = scene.reader(&partition, Isolation::ReadCommitted)?.to_end()?;
    ensure!(read.len() == sent.len(), "{read:?}");
    for (record, (timestamp, key, value, headers)) in read.iter().zip(sent) {
        assert_eq!((record.key.as_deref(), record.value.as_deref()), (key, value));
        assert_eq!((record.timestamp, &record.headers), (timestamp, headers));
    }
    Ok(())
}

fn bytes_of(bytes: &'static [u8]) -> bytes::Bytes {
    bytes::Bytes::from_static(bytes)
}

/// The producer's present, that is.
pub fn a_record_without_a_timestamp_gets_the_present(scene: &Scene<'_>) -> Outcome {
    let partition = TopicPartition::new(scene.topic("present", 1, &[])?, 0);
    let before = scene.now();
    let mut producer = scene.producer()?;
    let (topic, headers) = (&partition.topic, &Headers::new());
    let record = OutRecord { topic, partition: 0, timestamp: None, key: None, value: Some(b"v"), headers };
    producer.send(record)?;
    producer.flush()?;
    let read = scene.reader(&partition, Isolation::ReadCommitted)?.to_end()?;
    let timestamp = read.first().map_or(0, |record| record.timestamp);
    assert!((before..=scene.now()).contains(&timestamp), "{timestamp} is not between {before} and {}", scene.now());
    Ok(())
}

/// Whether the producer says so at once or with the flush: the error names the topic and its class says what is wrong.
pub fn producing_to_an_unknown_topic_is_an_error_that_names_it(scene: &Scene<'_>) -> Outcome {
    let partition = TopicPartition::new(scene.name("missing"), 0);
    let mut producer = scene.producer()?;
    let refused = match producer.texts(&partition, &["lost"]) {
        Err(refused) => refused,
        Ok(()) => match scene.answer("flush", producer.inner.flush())? {
            Err(refused) => refused,
            Ok(()) => anyhow::bail!("a record for a missing topic was acknowledged"),
        },
    };
    assert_eq!(refused.class, ErrorClass::UnknownTopic, "{refused}");
    assert!(refused.to_string().contains(&*partition.topic), "{refused}");
    Ok(())
}

/// A partition that is not there is no better than a topic that is not.
pub fn producing_to_a_partition_that_does_not_exist_is_an_error(scene: &Scene<'_>) -> Outcome {
    let partition = TopicPartition::new(scene.topic("small", 1, &[])?, 7);
    let mut producer = scene.producer()?;
    let refused = match producer.texts(&partition, &["lost"]) {
        Err(refused) => refused,
        Ok(()) => match scene.answer("flush", producer.inner.flush())? {
            Err(refused) => refused,
            Ok(()) => anyhow::bail!("a record for a missing partition was acknowledged"),
        },
    };
    assert_eq!(refused.class, ErrorClass::UnknownTopic, "{refused}");
    Ok(())
}
