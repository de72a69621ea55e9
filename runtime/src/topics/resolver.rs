//! Asks the cluster for the topology's topics and has the missing internal ones created, one ticket at a time.

use std::sync::Arc;

use millstream_operators::topology::Topology;

use super::{Known, Planned, TopicError, all_topics, plan};
use crate::broker::{Admin, BrokerError, ErrorClass, NewTopic, Ticket, TopicDescription, TopicOutcome};
use crate::clock::Monotonic;
use crate::config::StreamsConfig;
use crate::task::TaskPlan;
use crate::trouble::Breaker;

/// Why the topics could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The topics do not go together with the topology.
    #[error(transparent)]
    Topics(#[from] TopicError),
    /// The cluster could not be asked.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The cluster did not answer in time.
    #[error(
        "no answer from the Kafka cluster at {servers}: {source}; check bootstrap_servers and that a broker listens there"
    )]
    Unreachable {
        /// The bootstrap servers.
        servers: String,
        /// The last error.
        source: BrokerError,
    },
}

enum Step {
    /// Waits to ask again.
    Pausing(Monotonic),
    Describing(Ticket<Vec<Option<TopicDescription>>>),
    Creating(Vec<NewTopic>, Ticket<Vec<TopicOutcome>>),
}

/// The state of the inquiry.
pub struct Resolver {
    topology: Arc<Topology>,
    config: StreamsConfig,
    admin: Arc<dyn Admin>,
    step: Step,
    /// When to give up on an unreachable cluster.
    deadline: Monotonic,
    /// How often topics that were just created have not been visible yet.
    rounds: u32,
    breaker: Breaker,
}

/// Metadata of a new topic takes a moment to reach every broker.
const MAX_ROUNDS: u32 = 200;

impl Resolver {
    /// Starts asking.
    pub(crate) fn start(
        topology: Arc<Topology>,
        config: StreamsConfig,
        admin: Arc<dyn Admin>,
        deadline: Monotonic,
        breaker: Breaker,
    ) -> Self {
        let step = Step::Describing(admin.describe_topics(all_topics(&topology, &config)));
        Self { topology, config, admin, step, deadline, rounds: 0, breaker }
    }

    /// The plans once everything is there.
    ///
    /// # Errors
    /// If topics and topology do not go together, or the cluster refuses or stays out of reach.
    pub fn poll(&mut self, now: Monotonic) -> Result<Option<Vec<Arc<TaskPlan>>>, ResolveError> {
        match &mut self.step {
            Step::Pausing(until) if now < *until => Ok(None),
            Step::Pausing(_) => {
                self.describe();
                Ok(None)
            }
            Step::Describing(ticket) => match ticket.poll() {
                None if now >= self.deadline => {
                    let reason = "it has not answered so far";
                    self.again(BrokerError::new(ErrorClass::Retriable, "describing topics", reason), now)
                }
                None => Ok(None),
                Some(Ok(described)) => {
                    self.breaker.worked(now);
                    self.described(described)
                }
                Some(Err(error)) => self.again(error, now),
            },
            Step::Creating(topics, ticket) => match ticket.poll() {
                None => Ok(None),
                Some(Ok(outcomes)) => {
                    for (topic, outcome) in topics.iter().zip(outcomes) {
                        if let TopicOutcome::Refused(reason) = outcome {
                            return Err(TopicError::Refused { topic: topic.name.to_string(), reason }.into());
                        }
                        if outcome == TopicOutcome::Created {
                            tracing::info!(topic = %topic.name, partitions = topic.partitions, "created internal topic");
                        }
                    }
                    self.describe();
                    Ok(None)
                }
                Some(Err(error)) => self.again(error, now),
            },
        }
    }

    fn describe(&mut self) {
        self.step = Step::Describing(self.admin.describe_topics(all_topics(&self.topology, &self.config)));
    }

    fn described(
        &mut self,
        described: Vec<Option<TopicDescription>>,
    ) -> Result<Option<Vec<Arc<TaskPlan>>>, ResolveError> {
        let known: Known = described.into_iter().flatten().map(|topic| (topic.name.clone(), topic)).collect();
        match plan(&self.topology, &self.config, &known)? {
            Planned::Ready(plans) => Ok(Some(plans)),
            Planned::Create(topics) => {
                self.rounds += 1;
                if self.rounds > MAX_ROUNDS {
                    let topic = topics.first().map(|topic| topic.name.to_string()).unwrap_or_default();
                    let reason = "it was created but does not appear in the cluster's metadata".to_owned();
                    return Err(TopicError::Refused { topic, reason }.into());
                }
                self.step = Step::Creating(topics.clone(), self.admin.create_topics(topics));
                Ok(None)
            }
        }
    }

    fn again(&mut self, error: BrokerError, now: Monotonic) -> Result<Option<Vec<Arc<TaskPlan>>>, ResolveError> {
        let temporary = matches!(error.class, ErrorClass::Retriable | ErrorClass::Unknown);
        if !temporary {
            return Err(error.into());
        }
        if now >= self.deadline {
            return Err(ResolveError::Unreachable { servers: self.config.bootstrap_servers.clone(), source: error });
        }
        self.step = Step::Pausing(self.breaker.refused(now, &error));
        Ok(None)
    }
}
