//! Sharing partitions out: alike for co-partitioned topics, at once after a leave, and again the same after a crash.

use std::sync::Arc;

use anyhow::ensure;
use millstream::state::model::{Position, TopicPartition};

use super::clients::texts;
use super::scene::{Outcome, Scene};

fn numbers(held: &[TopicPartition], topic: &Arc<str>) -> Vec<i32> {
    held.iter().filter(|partition| partition.topic == *topic).map(|partition| partition.partition).collect()
}

/// Partition n of one topic and partition n of the other are with the same member: joins rely on it.
pub fn two_members_share_copartitioned_topics_alike(scene: &Scene<'_>) -> Outcome {
    let (left, right) = (scene.topic("left", 5, &[])?, scene.topic("right", 5, &[])?);
    let mut first = scene.member("shared", Some("i1"), &[&left, &right])?;
    first.until_holds(10)?;
    let mut second = scene.member("shared", Some("i2"), &[&left, &right])?;
    scene.until_shared(&mut [(&mut first, 6), (&mut second, 4)])?;
    for member in [&first, &second] {
        assert_eq!(numbers(&member.holds(), &left), numbers(&member.holds(), &right));
    }
    assert_eq!(numbers(&first.holds(), &left), [0, 1, 2]);
    assert_eq!(numbers(&second.holds(), &left), [3, 4]);
    Ok(())
}

/// More members than partitions: who gets none is told so.
pub fn a_member_without_partitions_is_told_so(scene: &Scene<'_>) -> Outcome {
    let topic = scene.topic("single", 1, &[])?;
    let mut first = scene.member("single", Some("i1"), &[&topic])?;
    first.until_holds(1)?;
    let mut second = scene.member("single", Some("i2"), &[&topic])?;
    scene.until_shared(&mut [(&mut first, 1), (&mut second, 0)])
}

/// No session timeout passes; the session of these members is longer than any check waits.
pub fn a_clean_leave_hands_partitions_over_at_once(scene: &Scene<'_>) -> Outcome {
    let topic = scene.topic("leave", 4, &[])?;
    let mut first = scene.member("leave", Some("i1"), &[&topic])?;
    let mut second = scene.member("leave", Some("i2"), &[&topic])?;
    scene.until_shared(&mut [(&mut first, 2), (&mut second, 2)])?;
    let own = first.holds().remove(0);
    let ownership = first.ownership()?;
    scene.done("commit", first.commit(&own, 3, &ownership))?;
    first.leave()?;
    assert!(first.assigned.is_none(), "the revocation was not told before the leave was done");
    second.until_holds(4)?;
    assert_eq!(second.committed_for(&own)?.map(|committed| committed.position.number()), Some(3));
    Ok(())
}

/// A crash and a quick restart: the same partitions, and for the others it has not happened.
pub fn a_static_member_that_returns_gets_its_partitions_without_a_rebalance(scene: &Scene<'_>) -> Outcome {
    let topic = scene.topic("static", 4, &[])?;
    let mut crashing = scene.member("static", Some("i1"), &[&topic])?;
    let mut other = scene.member("static", Some("i2"), &[&topic])?;
    scene.until_shared(&mut [(&mut crashing, 2), (&mut other, 2)])?;
    let (held, assignments) = (crashing.holds(), other.assignments);
    let stale = crashing.ownership()?;
    // Without a leave, as if the process had died.
    drop(crashing);
    let mut back = scene.member("static", Some("i1"), &[&topic])?;
    back.until_holds(2)?;
    assert_eq!(back.holds(), held);
    for _ in 0..5 {
        scene.round_trip(&held[0])?;
        ensure!(other.step().is_none(), "the other member saw a rebalance");
    }
    assert_eq!(other.assignments, assignments);
    let refused = scene.answer("commit as the dead member", back.commit(&held[0], 99, &stale))?;
    ensure!(refused.is_err(), "the dead member's right still counts");
    Ok(())
}

/// Nothing is fetched before the owner has restored its state and says where to begin.
pub fn an_assigned_queue_is_idle_until_the_first_seek(scene: &Scene<'_>) -> Outcome {
    let topic = scene.topic("idle", 1, &[])?;
    let partition = TopicPartition::new(topic.clone(), 0);
    scene.producer()?.sent(&partition, &["a", "b", "c"])?;
    let mut member = scene.member("idle", None, &[&topic])?;
    member.until_holds(1)?;
    let mut assigned = member.assigned.take();
    let queue = assigned.as_mut().and_then(|assigned| assigned.partitions.first_mut());
    let queue = &mut queue.ok_or_else(|| anyhow::anyhow!("no queue"))?.queue;
    for _ in 0..5 {
        scene.round_trip(&partition)?;
        ensure!(queue.drain(10)?.is_none(), "records came before the first seek");
    }
    queue.seek(Position::new(1))?;
    let mut read = Vec::new();
    scene.until("the records behind the seek", || {
        if let Some(batch) = queue.drain(10)? {
            super::clients::take(&*batch, &mut read);
        }
        Ok((read.len() == 2).then_some(()))
    })?;
    assert_eq!(texts(&read), ["b", "c"]);
    assert_eq!(queue.position().number(), 3);
    Ok(())
}
