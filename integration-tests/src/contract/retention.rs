//! What the broker deletes by itself or when asked to.

use millstream::broker::{ErrorClass, Isolation, OutRecord};
use millstream::state::model::{Headers, Position, Timestamp, TopicPartition};

use super::reading::out_of_range;
use super::scene::{Outcome, Scene, class_of};

/// Records from 2013 in a topic that keeps a week are gone soon, however new they are to the broker; with
/// `retention.ms=-1` they stay. Relies on a broker that looks every few seconds (both under test do).
pub fn records_older_than_the_retention_are_deleted_however_new_they_are(scene: &Scene<'_>) -> Outcome {
    let forgetful = TopicPartition::new(scene.topic("forgetful", 1, &[("retention.ms", "604800000")])?, 0);
    let faithful = TopicPartition::new(scene.topic("faithful", 1, &[])?, 0);
    let mut producer = scene.producer()?;
    for partition in [&faithful, &forgetful] {
        let (topic, headers) = (&partition.topic, &Headers::new());
        let timestamp = Some(Timestamp::from_millis(1_357_034_400_000));
        producer.send(OutRecord { topic, partition: 0, timestamp, key: None, value: Some(b"2013"), headers })?;
    }
    producer.flush()?;
    scene.until("the old record to be deleted", || Ok((scene.start(&forgetful)? == 1).then_some(())))?;
    assert_eq!(scene.end(&forgetful, Isolation::ReadCommitted)?, 1);
    assert_eq!(scene.start(&faithful)?, 0);
    assert_eq!(scene.reader(&faithful, Isolation::ReadCommitted)?.texts_to_end()?, ["2013"]);
    Ok(())
}

/// As for repartition topics: consumed records go, and who comes too late is told.
pub fn deleted_records_are_out_of_range(scene: &Scene<'_>) -> Outcome {
    let partition = TopicPartition::new(scene.topic("deleted", 1, &[])?, 0);
    scene.producer()?.sent(&partition, &["a", "b", "c", "d"])?;
    scene.done("delete", scene.admin.delete_records(vec![(partition.clone(), Position::new(3))]))?;
    assert_eq!(scene.start(&partition)?, 3);
    assert_eq!(scene.end(&partition, Isolation::ReadCommitted)?, 4);
    let mut reader = scene.reader_at(&partition, Isolation::ReadCommitted, 1)?;
    assert_eq!(out_of_range(scene, &mut reader)?, ErrorClass::OffsetOutOfRange);
    reader.queue.seek(Position::new(3))?;
    assert_eq!(reader.texts_to_end()?, ["d"]);
    // Again, and less than before: no harm.
    scene.done("delete again", scene.admin.delete_records(vec![(partition.clone(), Position::new(2))]))?;
    assert_eq!(scene.start(&partition)?, 3);
    let beyond = scene.admin.delete_records(vec![(partition, Position::new(99))]);
    assert_eq!(class_of(scene.answer("delete beyond the end", beyond)?)?, ErrorClass::OffsetOutOfRange);
    Ok(())
}
