//! Who may commit for a partition: the current member of the current generation, and nobody else.

use std::sync::Arc;

use anyhow::ensure;
use millstream::broker::{BrokerError, ErrorClass, Ownership};
use millstream::state::model::TopicPartition;

use super::members::{Event, commit_of};
use super::scene::{Outcome, Scene, class_of};

/// The reason why ownership is captured at assignment: the old one is worth nothing after a rebalance, the new one is.
pub fn offsets_under_a_stale_ownership_are_refused(scene: &Scene<'_>) -> Outcome {
    let topic = scene.topic("stale", 2, &[])?;
    let partition = TopicPartition::new(topic.clone(), 0);
    let mut first = scene.member("stale", None, &[&topic])?;
    first.until_holds(2)?;
    let stale = first.ownership()?;
    scene.done("commit while current", first.commit(&partition, 1, &stale))?;
    let mut second = scene.member("stale", None, &[&topic])?;
    scene.until_shared(&mut [(&mut first, 1), (&mut second, 1)])?;
    ensure!(first.ownership()?.generation > stale.generation, "the generation did not go up");
    let refused = scene.answer("commit under the old generation", first.commit(&partition, 99, &stale))?;
    assert_eq!(class_of(refused)?, ErrorClass::MemberFenced);
    assert_eq!(committed(scene, "stale", &partition)?, Some(1));
    let fresh = first.ownership()?;
    let own = first.holds().remove(0);
    scene.done("commit under the new generation", first.commit(&own, 2, &fresh))?;
    assert_eq!(committed(scene, "stale", &own)?, Some(2));
    Ok(())
}

/// The same inside of a transaction, which can then only be aborted; the producer goes on.
pub fn a_transaction_with_offsets_under_a_stale_ownership_cannot_commit(scene: &Scene<'_>) -> Outcome {
    let topic = scene.topic("stale-txn", 2, &[])?;
    let partition = TopicPartition::new(topic.clone(), 0);
    let mut producer = scene.transactional("stale-txn")?;
    let mut first = scene.member("stale-txn", None, &[&topic])?;
    first.until_holds(2)?;
    let stale = first.ownership()?;
    let mut second = scene.member("stale-txn", None, &[&topic])?;
    scene.until_shared(&mut [(&mut first, 1), (&mut second, 1)])?;
    producer.inner.begin()?;
    let offsets = vec![commit_of(&partition, 99, "")];
    let refused = scene.answer("send stale offsets", producer.inner.send_offsets(offsets, &stale))?;
    assert_eq!(class_of(refused)?, ErrorClass::MemberFenced);
    let refused: Result<(), BrokerError> = scene.answer("commit", producer.inner.commit())?;
    ensure!(refused.is_err(), "a transaction committed without its offsets");
    producer.abort()?;
    assert_eq!(committed(scene, "stale-txn", &partition)?, None);
    let (own, fresh) = (first.holds().remove(0), first.ownership()?);
    producer.inner.begin()?;
    scene.done("send offsets", producer.inner.send_offsets(vec![commit_of(&own, 5, "")], &fresh))?;
    producer.commit()?;
    assert_eq!(committed(scene, "stale-txn", &own)?, Some(5));
    Ok(())
}

/// A broker takes commits with generation -1 and no member for those of a lone consumer, and lets them pass. They must
/// not reach it.
pub fn an_ownership_without_generation_or_member_is_refused_before_sending(scene: &Scene<'_>) -> Outcome {
    let topic = scene.topic("nobody", 1, &[])?;
    let partition = TopicPartition::new(topic.clone(), 0);
    let mut producer = scene.transactional("nobody")?;
    let mut member = scene.member("nobody", None, &[&topic])?;
    member.until_holds(1)?;
    let good = member.ownership()?;
    let unborn = Ownership { generation: -1, ..good.clone() };
    let nameless = Ownership { member_id: Arc::from(""), ..good };
    for bad in [unborn, nameless] {
        let refused = scene.answer("commit as nobody", member.commit(&partition, 99, &bad))?;
        assert_eq!(class_of(refused)?, ErrorClass::MemberFenced);
        producer.inner.begin()?;
        let offsets = vec![commit_of(&partition, 99, "")];
        let refused = scene.answer("send offsets as nobody", producer.inner.send_offsets(offsets, &bad))?;
        assert_eq!(class_of(refused)?, ErrorClass::MemberFenced);
        producer.abort()?;
    }
    assert_eq!(committed(scene, "nobody", &partition)?, None);
    Ok(())
}

/// Two living processes with one identity: the older one is told and can commit no more.
pub fn a_second_process_with_the_same_instance_id_fences_the_first(scene: &Scene<'_>) -> Outcome {
    let topic = scene.topic("twice", 2, &[])?;
    let partition = TopicPartition::new(topic.clone(), 0);
    let mut producer = scene.transactional("twice")?;
    let mut first = scene.member("twice", Some("twin"), &[&topic])?;
    first.until_holds(2)?;
    let stale = first.ownership()?;
    let mut second = scene.member("twice", Some("twin"), &[&topic])?;
    second.until_holds(2)?;
    producer.inner.begin()?;
    let offsets = vec![commit_of(&partition, 99, "")];
    let refused = class_of(scene.answer("offsets of the first", producer.inner.send_offsets(offsets, &stale))?)?;
    // That another process has the identity is for the member to tell; for the producer its ownership is stale.
    assert_eq!(refused, ErrorClass::MemberFenced);
    producer.abort()?;
    let failure = scene.until("the first to be told", || match first.step() {
        Some(Event::Failed(error)) => Ok(Some(error)),
        _ => Ok(None),
    })?;
    assert_eq!(failure.class, ErrorClass::InstanceFenced, "{failure}");
    let fresh = second.ownership()?;
    scene.done("commit by the second", second.commit(&partition, 7, &fresh))?;
    assert_eq!(committed(scene, "twice", &partition)?, Some(7));
    Ok(())
}

/// A revocation leaves time for a last commit under the old generation.
pub fn an_owner_can_commit_until_it_acknowledges_the_revocation(scene: &Scene<'_>) -> Outcome {
    let topic = scene.topic("last", 2, &[])?;
    let partition = TopicPartition::new(topic.clone(), 0);
    let mut producer = scene.transactional("last")?;
    let mut first = scene.member("last", None, &[&topic])?;
    first.until_holds(2)?;
    let mut second = scene.member("last", None, &[&topic])?;
    scene.until("the revocation", || {
        second.step();
        Ok(matches!(first.step_unacknowledged(), Some(Event::Revoking)).then_some(()))
    })?;
    let ownership = first.ownership()?;
    producer.inner.begin()?;
    let offsets = vec![commit_of(&partition, 3, "last")];
    scene.done("send the last offsets", producer.inner.send_offsets(offsets, &ownership))?;
    producer.commit()?;
    assert_eq!(second.assignments, 0, "the second was given partitions that the first still held");
    first.acknowledge();
    scene.until_shared(&mut [(&mut first, 1), (&mut second, 1)])?;
    let owner = if first.holds().contains(&partition) { &first } else { &second };
    assert_eq!(owner.committed_for(&partition)?.map(|committed| committed.position.number()), Some(3));
    Ok(())
}

fn committed(scene: &Scene<'_>, group: &str, partition: &TopicPartition) -> anyhow::Result<Option<i64>> {
    let ticket = scene.admin.committed(&scene.name(group), vec![partition.clone()]);
    let committed = scene.done("read committed offsets", ticket)?;
    Ok(committed.into_iter().flatten().next().map(|committed| committed.position.number()))
}
