//! The topics a program needs before it starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::bail;
use millstream::broker::{Admin, NewTopic, TopicOutcome};

use crate::calls::ask;

/// Builds the description of a topic with these settings over the broker's defaults.
pub fn topic(name: impl Into<Arc<str>>, partitions: i32, settings: &[(&str, &str)]) -> NewTopic {
    let config: BTreeMap<_, _> = settings.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    NewTopic { name: name.into(), partitions, replication: None, config }
}

/// Creates the topics that are not there yet.
///
/// # Errors
/// If the broker refuses one, or one is there with another number of partitions.
pub async fn create(admin: &dyn Admin, topics: Vec<NewTopic>) -> anyhow::Result<()> {
    let outcomes = ask(|| admin.create_topics(topics.clone())).await?;
    for (topic, outcome) in topics.iter().zip(outcomes) {
        match outcome {
            TopicOutcome::Created => {
                tracing::info!(topic = %topic.name, partitions = topic.partitions, "topic created")
            }
            TopicOutcome::Existed => check_partitions(admin, topic).await?,
            TopicOutcome::Refused(reason) => bail!("the broker refuses to create topic {}: {reason}", topic.name),
        }
    }
    Ok(())
}

async fn check_partitions(admin: &dyn Admin, topic: &NewTopic) -> anyhow::Result<()> {
    let described = ask(|| admin.describe_topics(vec![topic.name.clone()])).await?;
    match described.into_iter().next().flatten() {
        Some(found) if found.partitions != topic.partitions => bail!(
            "topic {} has {} partitions, this program needs {}: delete the topic or choose another --application-id",
            topic.name,
            found.partitions,
            topic.partitions
        ),
        _ => Ok(()),
    }
}
