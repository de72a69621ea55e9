//! Transactions: what they show to whom, and when.

use anyhow::ensure;
use millstream::broker::{ErrorClass, Isolation};
use millstream::state::model::TopicPartition;

use super::scene::{Outcome, Scene, class_of};

/// Who reads uncommitted data sees them; the markers nobody sees.
pub fn records_of_an_aborted_transaction_are_invisible_to_read_committed(scene: &Scene<'_>) -> Outcome {
    let partition = TopicPartition::new(scene.topic("aborts", 1, &[])?, 0);
    let mut producer = scene.transactional("aborts")?;
    producer.committed(&partition, &["a"])?;
    producer.aborted(&partition, &["b", "c"])?;
    producer.committed(&partition, &["d"])?;
    producer.aborted(&partition, &["e"])?;
    assert_eq!(scene.reader(&partition, Isolation::ReadCommitted)?.texts_to(9)?, ["a", "d"]);
    assert_eq!(scene.reader(&partition, Isolation::ReadUncommitted)?.texts_to(9)?, ["a", "b", "c", "d", "e"]);
    Ok(())
}

/// Two transactions side by side, one of them aborted: each record follows its own.
pub fn interleaved_transactions_are_told_apart(scene: &Scene<'_>) -> Outcome {
    let partition = TopicPartition::new(scene.topic("interleaved", 1, &[])?, 0);
    let (mut good, mut bad) = (scene.transactional("good")?, scene.transactional("bad")?);
    good.inner.begin()?;
    bad.inner.begin()?;
    good.sent(&partition, &["g1"])?;
    bad.sent(&partition, &["b1"])?;
    good.sent(&partition, &["g2"])?;
    bad.sent(&partition, &["b2"])?;
    bad.abort()?;
    good.sent(&partition, &["g3"])?;
    good.commit()?;
    assert_eq!(scene.reader(&partition, Isolation::ReadCommitted)?.texts_to(7)?, ["g1", "g2", "g3"]);
    Ok(())
}

/// Also records of others that come after its first are held back until it ends.
pub fn an_open_transaction_holds_back_the_last_stable_offset(scene: &Scene<'_>) -> Outcome {
    let partition = TopicPartition::new(scene.topic("stable", 1, &[])?, 0);
    let (mut plain, mut producer) = (scene.producer()?, scene.transactional("stable")?);
    plain.sent(&partition, &["before"])?;
    producer.inner.begin()?;
    producer.sent(&partition, &["within"])?;
    plain.sent(&partition, &["beside"])?;
    assert_eq!(scene.end(&partition, Isolation::ReadUncommitted)?, 3);
    assert_eq!(scene.end(&partition, Isolation::ReadCommitted)?, 1);
    let mut reader = scene.reader(&partition, Isolation::ReadCommitted)?;
    let mut all = scene.reader(&partition, Isolation::ReadUncommitted)?;
    assert_eq!(all.texts_to_end()?, ["before", "within", "beside"]);
    assert_eq!(reader.texts_to_end()?, ["before"]);
    assert_eq!(reader.queue.position().number(), 1);
    producer.commit()?;
    assert_eq!(reader.texts_to(4)?, ["within", "beside"]);
    scene.until_stable(&partition, 4)?;
    Ok(())
}

/// All partitions of a transaction show it, or none.
pub fn a_transaction_spans_partitions_and_topics(scene: &Scene<'_>) -> Outcome {
    let (one, other) = (scene.topic("one", 2, &[])?, scene.topic("other", 1, &[])?);
    let partitions = [TopicPartition::new(one.clone(), 0), TopicPartition::new(one, 1), TopicPartition::new(other, 0)];
    let mut producer = scene.transactional("span")?;
    producer.inner.begin()?;
    for partition in &partitions {
        producer.sent(partition, &["x"])?;
        assert_eq!(scene.end(partition, Isolation::ReadCommitted)?, 0);
    }
    producer.commit()?;
    for partition in &partitions {
        assert_eq!(scene.reader(partition, Isolation::ReadCommitted)?.texts_to(2)?, ["x"]);
        scene.until_stable(partition, 2)?;
    }
    Ok(())
}

/// An abort with records still in the send queue drops them, and the producer goes on.
pub fn after_an_abort_the_producer_goes_on(scene: &Scene<'_>) -> Outcome {
    let partition = TopicPartition::new(scene.topic("goes-on", 1, &[])?, 0);
    let mut producer = scene.transactional("goes-on")?;
    for round in 0..3 {
        producer.inner.begin()?;
        producer.texts(&partition, &["dropped", "dropped too"])?;
        producer.abort()?;
        producer.committed(&partition, &[&round.to_string()])?;
    }
    // How much of what was dropped had reached the log is not for sure.
    let mut reader = scene.reader(&partition, Isolation::ReadCommitted)?;
    let mut read = Vec::new();
    scene.until("all that was committed", || {
        read.extend(reader.texts_to_end()?);
        Ok((read.len() >= 3).then_some(()))
    })?;
    assert_eq!(read, ["0", "1", "2"]);
    Ok(())
}

/// Without records it costs nothing and says nothing.
pub fn an_empty_transaction_commits_and_aborts(scene: &Scene<'_>) -> Outcome {
    let partition = TopicPartition::new(scene.topic("empty", 1, &[])?, 0);
    let mut producer = scene.transactional("empty")?;
    producer.inner.begin()?;
    producer.commit()?;
    producer.inner.begin()?;
    producer.abort()?;
    producer.committed(&partition, &["then"])?;
    scene.until_stable(&partition, 2)
}

/// One at a time, and none before the id is registered; nor for a producer that has no id.
pub fn a_transaction_begins_once_and_only_when_initialised(scene: &Scene<'_>) -> Outcome {
    let mut producer = scene.transactional("once")?;
    producer.inner.begin()?;
    ensure!(producer.inner.begin().is_err(), "a second transaction began inside of the first");
    producer.abort()?;
    let mut plain = scene.producer()?;
    ensure!(plain.inner.begin().is_err(), "a producer without transactional id began a transaction");
    Ok(())
}

/// A producer that comes back with the id of one that died aborts what that one left open.
pub fn initialising_an_id_aborts_what_it_left_open(scene: &Scene<'_>) -> Outcome {
    let partition = TopicPartition::new(scene.topic("orphan", 1, &[])?, 0);
    let mut orphan = scene.transactional("orphan")?;
    orphan.inner.begin()?;
    orphan.sent(&partition, &["orphan"])?;
    assert_eq!(scene.end(&partition, Isolation::ReadCommitted)?, 0);
    let mut heir = scene.transactional("orphan")?;
    scene.until_stable(&partition, 2)?;
    heir.committed(&partition, &["heir"])?;
    assert_eq!(scene.reader(&partition, Isolation::ReadCommitted)?.texts_to(4)?, ["heir"]);
    Ok(())
}

/// Its commit is refused wherever that shows first, and what it wrote stays invisible.
pub fn a_new_producer_with_the_same_transactional_id_fences_the_older_one(scene: &Scene<'_>) -> Outcome {
    let partition = TopicPartition::new(scene.topic("fenced", 1, &[])?, 0);
    let mut old = scene.transactional("fenced")?;
    old.inner.begin()?;
    old.sent(&partition, &["old"])?;
    let mut new = scene.transactional("fenced")?;
    let refused = match scene.answer("commit by the fenced producer", old.inner.commit())? {
        Ok(()) => anyhow::bail!("a fenced producer committed"),
        Err(refused) => refused,
    };
    assert_eq!(refused.class, ErrorClass::ProducerFenced, "{refused}");
    assert_eq!(class_of(old.inner.begin().and_then(|()| old.texts(&partition, &["old"])))?, ErrorClass::ProducerFenced);
    new.committed(&partition, &["new"])?;
    assert_eq!(scene.reader(&partition, Isolation::ReadCommitted)?.texts_to(4)?, ["new"]);
    Ok(())
}
