//! Queues: waking, seeking, positions, and positions outside of the log.

use millstream::broker::{ErrorClass, Isolation};
use millstream::state::model::{Position, TopicPartition};

use super::clients::{take, texts};
use super::scene::{Outcome, Scene};

/// Nobody has to look again and again.
pub fn records_that_arrive_wake_the_reader(scene: &Scene<'_>) -> Outcome {
    let partition = TopicPartition::new(scene.topic("wake", 1, &[])?, 0);
    let mut producer = scene.producer()?;
    producer.sent(&partition, &["first"])?;
    let mut reader = scene.reader(&partition, Isolation::ReadCommitted)?;
    assert_eq!(reader.texts_to_end()?, ["first"]);
    assert!(reader.queue.drain(1)?.is_none());
    producer.sent(&partition, &["second"])?;
    let mut read = Vec::new();
    // To look comes first: while the producer was waited for, the wake may have come.
    loop {
        if let Some(batch) = reader.queue.drain(10)? {
            take(&*batch, &mut read);
            break;
        }
        scene.wait_for_wake("the second record")?;
    }
    assert_eq!(texts(&read), ["second"]);
    Ok(())
}

/// A batch has at most as many records as asked for, and the next goes on behind it.
pub fn a_drain_takes_no_more_than_it_is_asked_to(scene: &Scene<'_>) -> Outcome {
    let partition = TopicPartition::new(scene.topic("bounded", 1, &[])?, 0);
    scene.producer()?.sent(&partition, &["a", "b", "c", "d", "e"])?;
    let mut reader = scene.reader(&partition, Isolation::ReadCommitted)?;
    let mut read = Vec::new();
    while read.len() < 5 {
        let batch = scene.until("a batch", || Ok(reader.queue.drain(2)?))?;
        assert!((1..=2).contains(&batch.len()));
        take(&*batch, &mut read);
        assert_eq!(reader.queue.position().number(), read.len() as i64);
    }
    assert_eq!(texts(&read), ["a", "b", "c", "d", "e"]);
    assert!(reader.queue.drain(2)?.is_none());
    Ok(())
}

/// Back to an earlier position: what was waiting does not come twice or out of order.
pub fn a_seek_drops_what_was_waiting(scene: &Scene<'_>) -> Outcome {
    let partition = TopicPartition::new(scene.topic("seek", 1, &[])?, 0);
    let values: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    scene.producer()?.sent(&partition, &values)?;
    let mut reader = scene.reader(&partition, Isolation::ReadCommitted)?;
    let batch = scene.until("a first batch", || Ok(reader.queue.drain(10)?))?;
    assert!(batch.len() <= 10);
    drop(batch);
    for to in [3, 90, 0] {
        reader.queue.seek(Position::new(to))?;
        assert_eq!(reader.queue.position().number(), to);
        assert_eq!(reader.texts_to_end()?, values[to as usize..]);
    }
    Ok(())
}

/// The end is unknown at first, and then that of the reader's isolation level.
pub fn a_queue_learns_the_end_of_its_partition(scene: &Scene<'_>) -> Outcome {
    let partition = TopicPartition::new(scene.topic("end", 1, &[])?, 0);
    scene.producer()?.sent(&partition, &["a", "b"])?;
    let mut reader = scene.reader(&partition, Isolation::ReadCommitted)?;
    reader.to_end()?;
    let end = scene.until("the end", || {
        let drained = reader.queue.drain(1)?;
        assert!(drained.is_none());
        Ok(reader.queue.end().filter(|end| end.number() >= 2))
    })?;
    assert_eq!(end.number(), 2);
    Ok(())
}

/// The markers of transactions take offsets; who has read everything stands behind them.
pub fn the_position_passes_control_records_at_the_end_of_a_partition(scene: &Scene<'_>) -> Outcome {
    let partition = TopicPartition::new(scene.topic("markers", 1, &[])?, 0);
    let mut producer = scene.transactional("markers")?;
    let mut committed = scene.reader(&partition, Isolation::ReadCommitted)?;
    let mut all = scene.reader(&partition, Isolation::ReadUncommitted)?;
    producer.committed(&partition, &["a", "b"])?;
    assert_eq!(committed.texts_to(3)?, ["a", "b"]);
    assert_eq!(committed.queue.position().number(), 3);
    producer.aborted(&partition, &["gone"])?;
    assert_eq!(committed.texts_to(5)?, [""; 0]);
    assert_eq!(committed.queue.position().number(), 5);
    assert_eq!(all.texts_to(5)?, ["a", "b", "gone"]);
    assert_eq!(all.queue.position().number(), 5);
    assert_eq!(scene.end(&partition, Isolation::ReadCommitted)?, 5);
    Ok(())
}

/// Too far on is an error and not a silent jump.
pub fn a_position_behind_the_end_is_out_of_range(scene: &Scene<'_>) -> Outcome {
    let partition = TopicPartition::new(scene.topic("beyond", 1, &[])?, 0);
    scene.producer()?.sent(&partition, &["only"])?;
    let mut reader = scene.reader_at(&partition, Isolation::ReadCommitted, 50)?;
    assert_eq!(out_of_range(scene, &mut reader)?, ErrorClass::OffsetOutOfRange);
    reader.queue.seek(Position::START)?;
    assert_eq!(reader.texts_to_end()?, ["only"]);
    Ok(())
}

pub(super) fn out_of_range(
    scene: &Scene<'_>,
    reader: &mut super::clients::TestReader<'_>,
) -> anyhow::Result<ErrorClass> {
    scene.until("an error", || match reader.queue.drain(10) {
        Ok(None) => Ok(None),
        Ok(Some(batch)) => anyhow::bail!("{} records came from outside of the log", batch.len()),
        Err(error) => Ok(Some(error.class)),
    })
}
