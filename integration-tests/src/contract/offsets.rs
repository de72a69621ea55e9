//! Committed offsets: their metadata, and waiting for those that are about to change.

use anyhow::ensure;
use millstream::broker::Committed;
use millstream::state::model::{Position, TopicPartition};

use super::members::commit_of;
use super::scene::{Outcome, Scene};

/// Up to 4096 bytes of text lie beside each offset; one more is refused.
pub fn committed_metadata_comes_back(scene: &Scene<'_>) -> Outcome {
    let topic = scene.topic("metadata", 3, &[])?;
    let partition = |number| TopicPartition::new(topic.clone(), number);
    let mut member = scene.member("metadata", None, &[&topic])?;
    member.until_holds(3)?;
    let (ownership, long) = (member.ownership()?, "x".repeat(4096));
    let mut producer = scene.transactional("metadata")?;
    producer.inner.begin()?;
    let offsets = vec![commit_of(&partition(0), 10, "AgAAAVl8+Q==")];
    scene.done("send offsets", producer.inner.send_offsets(offsets, &ownership))?;
    producer.commit()?;
    scene.done("commit", member.inner.commit(vec![commit_of(&partition(1), 20, &long)], &ownership))?;
    let read = || {
        let ticket = scene.admin.committed(&scene.name("metadata"), (0..3).map(partition).collect());
        scene.done("read committed offsets", ticket)
    };
    let expected = [
        Some(Committed { position: Position::new(10), metadata: "AgAAAVl8+Q==".to_owned() }),
        Some(Committed { position: Position::new(20), metadata: long.clone() }),
        None,
    ];
    assert_eq!(read()?, expected);
    let too_long = vec![commit_of(&partition(2), 30, &(long + "x"))];
    let refused = scene.answer("commit too much metadata", member.inner.commit(too_long, &ownership))?;
    ensure!(refused.is_err(), "4097 bytes of metadata were taken");
    assert_eq!(read()?, expected);
    Ok(())
}

/// Whoever reads a group's offsets to go on from them must not read what an open transaction is about to replace.
pub fn a_fetch_of_offsets_waits_for_the_transaction_that_holds_them(scene: &Scene<'_>) -> Outcome {
    let topic = scene.topic("pending", 1, &[])?;
    let partition = TopicPartition::new(topic.clone(), 0);
    let mut member = scene.member("pending", None, &[&topic])?;
    member.until_holds(1)?;
    let ownership = member.ownership()?;
    let mut producer = scene.transactional("pending")?;
    let mut last = None;
    for (position, commits) in [(5, true), (9, false), (12, true)] {
        producer.inner.begin()?;
        let offsets = vec![commit_of(&partition, position, "m")];
        scene.done("send offsets", producer.inner.send_offsets(offsets, &ownership))?;
        let mut fetch = scene.admin.committed(&scene.name("pending"), vec![partition.clone()]);
        scene.round_trip(&partition)?;
        ensure!(fetch.poll().is_none(), "offsets were told while a transaction held others");
        if commits {
            producer.commit()?;
            last = Some(position);
        } else {
            producer.abort()?;
        }
        let told = scene.done("the offsets once they are stable", fetch)?;
        let told: Vec<_> = told.into_iter().map(|committed| committed.map(|c| c.position.number())).collect();
        assert_eq!(told, [last]);
    }
    Ok(())
}

/// The new owner starts where a transaction of the old one ends, even one that was still open at the hand-over.
pub fn an_assignment_waits_for_the_transaction_that_holds_its_offsets(scene: &Scene<'_>) -> Outcome {
    let topic = scene.topic("zombie", 1, &[])?;
    let partition = TopicPartition::new(topic.clone(), 0);
    let mut producer = scene.transactional("zombie")?;
    let mut first = scene.member("zombie", None, &[&topic])?;
    first.until_holds(1)?;
    producer.inner.begin()?;
    let offsets = vec![commit_of(&partition, 4, "")];
    scene.done("send offsets", producer.inner.send_offsets(offsets, &first.ownership()?))?;
    first.leave()?;
    let mut second = scene.member("zombie", None, &[&topic])?;
    for _ in 0..20 {
        scene.round_trip(&partition)?;
        second.step();
    }
    assert_eq!(second.assignments, 0, "an assignment came with offsets that were about to change");
    producer.commit()?;
    second.until_holds(1)?;
    assert_eq!(second.committed_for(&partition)?.map(|committed| committed.position.number()), Some(4));
    Ok(())
}
