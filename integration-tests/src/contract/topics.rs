//! Creating, describing and deleting topics.

use anyhow::{Context, ensure};
use millstream::broker::{ErrorClass, Isolation, TopicDescription, TopicOutcome};
use millstream::state::model::TopicPartition;

use super::scene::{Outcome, Scene, class_of};

/// Whoever comes second finds the topic as the first made it.
pub fn creating_a_topic_twice_changes_nothing(scene: &Scene<'_>) -> Outcome {
    let name = scene.topic("twice", 3, &[("cleanup.policy", "compact")])?;
    let first = described(scene, &name)?;
    assert_eq!((&first.name, first.partitions), (&name, 3));
    assert_eq!(scene.create(&name, 5, &[])?, TopicOutcome::Existed);
    assert_eq!(described(scene, &name)?, first);
    Ok(())
}

/// Settings that were given and settings that were not.
pub fn a_description_has_all_settings(scene: &Scene<'_>) -> Outcome {
    let name = scene.topic("described", 1, &[("cleanup.policy", "compact,delete"), ("segment.bytes", "52428800")])?;
    let config = described(scene, &name)?.config;
    for (key, value) in [
        ("retention.ms", "-1"),
        ("cleanup.policy", "compact,delete"),
        ("segment.bytes", "52428800"),
        ("delete.retention.ms", "86400000"),
        ("message.timestamp.type", "CreateTime"),
    ] {
        assert_eq!(config.get(key).map(String::as_str), Some(value), "{key}");
    }
    Ok(())
}

/// So that a topic that was deleted and made again is not taken for the old one.
pub fn a_topic_made_again_has_another_id(scene: &Scene<'_>) -> Outcome {
    let name = scene.topic("again", 1, &[])?;
    let first = described(scene, &name)?;
    scene.producer()?.sent(&TopicPartition::new(name.clone(), 0), &["old"])?;
    scene.done("delete", scene.admin.delete_topics(vec![name.clone()]))?;
    scene.until("the topic to be gone", || Ok(described(scene, &name).is_err().then_some(())))?;
    scene.until("the topic to be made again", || {
        Ok((scene.create(&name, 1, &[])? == TopicOutcome::Created).then_some(()))
    })?;
    let second = scene.until("the topic to be known", || Ok(described(scene, &name).ok()))?;
    ensure!(first.id != second.id, "both have the id {:?}", first.id);
    assert_eq!(scene.end(&TopicPartition::new(name, 0), Isolation::ReadCommitted)?, 0);
    Ok(())
}

/// In a description it is `None`; where a position is asked for it is an error; deleting it is neither.
pub fn a_missing_topic_is_told_apart_from_an_empty_one(scene: &Scene<'_>) -> Outcome {
    let (there, missing) = (scene.topic("there", 1, &[])?, scene.name("missing"));
    let topics = vec![missing.as_str().into(), there.clone()];
    let told = scene.done("describe", scene.admin.describe_topics(topics))?;
    assert_eq!(told.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true]);
    let partition = TopicPartition::new(missing.as_str(), 0);
    let ends = scene.admin.end_positions(vec![partition.clone()], Isolation::ReadCommitted);
    assert_eq!(class_of(scene.answer("end of a missing topic", ends)?)?, ErrorClass::UnknownTopic);
    let starts = scene.admin.start_positions(vec![partition]);
    assert_eq!(class_of(scene.answer("start of a missing topic", starts)?)?, ErrorClass::UnknownTopic);
    scene.done("delete a missing topic", scene.admin.delete_topics(vec![missing.as_str().into()]))?;
    Ok(())
}

/// With the broker's own words, and without harm to the others.
pub fn a_topic_that_cannot_be_is_refused_with_a_reason(scene: &Scene<'_>) -> Outcome {
    for (name, config) in [("no spaces", ("retention.ms", "1")), ("unknown", ("retention.eons", "1"))] {
        match scene.create(&scene.name(name).into(), 1, &[config])? {
            TopicOutcome::Refused(reason) => ensure!(!reason.is_empty(), "refused without a word"),
            other => anyhow::bail!("{name}: {other:?}"),
        }
    }
    Ok(())
}

fn described(scene: &Scene<'_>, name: &std::sync::Arc<str>) -> anyhow::Result<TopicDescription> {
    let told = scene.done("describe", scene.admin.describe_topics(vec![name.clone()]))?;
    told.into_iter().flatten().next().with_context(|| format!("there is no topic {name}"))
}
