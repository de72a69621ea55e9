//! Watches that the topics of the topology are still there: a topic that is deleted under a running application is
//! otherwise noticed late, or as something else.
//!
//! ```text
//!  after each assignment, every 30 s, and when a worker misses a topic: describe all ─┬─ all there ─► wait
//!                                                                   one is missing ──┴─► again in 2 s ─► error
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_state::model::TopicId;

use super::error::{StreamsError, TopicRole};
use crate::broker::{Admin, Ticket, TopicDescription};
use crate::clock::Monotonic;
use crate::task::TaskPlan;

/// How often to look.
const INTERVAL: Duration = Duration::from_secs(30);
/// How long a topic must be missing: brokers do not learn of topics all at the same time.
const AGAIN: Duration = Duration::from_secs(2);

struct Watched {
    role: TopicRole,
    /// What the topology's tasks were planned with; for other topics what was seen first.
    id: Option<TopicId>,
    missing: bool,
}

/// The topics that were asked about, and the answer to come.
type Asked = (Vec<Arc<str>>, Ticket<Vec<Option<TopicDescription>>>);

/// The topics of a topology, as they were and as they are.
#[derive(Default)]
pub(super) struct TopicWatch {
    topics: BTreeMap<Arc<str>, Watched>,
    asked: Option<Asked>,
    next: Monotonic,
    hurry: bool,
}

impl TopicWatch {
    /// Watches the topics of these plans.
    pub(super) fn new(plans: &[Arc<TaskPlan>]) -> Self {
        let mut topics: BTreeMap<Arc<str>, Watched> = BTreeMap::new();
        let mut watch = |name: &Arc<str>, role, id| {
            topics.entry(name.clone()).or_insert(Watched { role, id, missing: false });
        };
        for log in plans.iter().flat_map(|plan| plan.changelogs.iter().flatten()).filter(|log| !log.source) {
            watch(&log.out.topic, TopicRole::Changelog, Some(log.id));
        }
        for input in plans.iter().flat_map(|plan| &plan.inputs) {
            watch(&input.topic, if input.repartition { TopicRole::Repartition } else { TopicRole::Source }, None);
        }
        // Last, because a repartition topic is an output as well.
        for plan in plans {
            let letters = [&plan.dead_letters, &plan.refused, &plan.panicked];
            for out in plan.sinks.iter().chain(letters).flatten() {
                watch(&out.topic, TopicRole::Output, None);
            }
        }
        Self { topics, ..Self::default() }
    }

    /// A topic seems to be missing, or the group has shared out other partitions than before: looks soon.
    pub(super) fn hurry(&mut self) {
        self.hurry = true;
    }

    /// Looks when it is time.
    pub(super) fn step(&mut self, now: Monotonic, admin: &dyn Admin) -> Result<(), StreamsError> {
        let Some((names, ticket)) = &mut self.asked else {
            let suspect = self.topics.values().any(|topic| topic.missing);
            if !self.topics.is_empty() && (now >= self.next || (self.hurry && !suspect)) {
                self.hurry = false;
                let names: Vec<Arc<str>> = self.topics.keys().cloned().collect();
                self.asked = Some((names.clone(), admin.describe_topics(names)));
            }
            return Ok(());
        };
        let Some(answer) = ticket.poll() else { return Ok(()) };
        let names = std::mem::take(names);
        self.asked = None;
        self.next = now.after(INTERVAL);
        match answer {
            Ok(described) => {
                for (name, description) in names.into_iter().zip(described) {
                    self.compare(name, description, now)?;
                }
            }
            // Whatever is wrong, those who need the topics will hear of it and say so.
            Err(error) => tracing::debug!("the topics cannot be looked for: {error}"),
        }
        Ok(())
    }

    fn compare(
        &mut self,
        name: Arc<str>,
        description: Option<TopicDescription>,
        now: Monotonic,
    ) -> Result<(), StreamsError> {
        let Some(watched) = self.topics.get_mut(&name) else { return Ok(()) };
        let role = watched.role;
        let Some(description) = description else {
            if std::mem::replace(&mut watched.missing, true) {
                return Err(StreamsError::TopicGone { topic: name.to_string(), role });
            }
            self.next = now.after(AGAIN);
            return Ok(());
        };
        watched.missing = false;
        match watched.id.replace(description.id) {
            Some(id) if id != description.id && matches!(role, TopicRole::Changelog | TopicRole::Repartition) => {
                Err(StreamsError::TopicReplaced { topic: name.to_string(), role })
            }
            Some(id) if id != description.id => {
                tracing::warn!(topic = %name, "the topic was deleted and created anew while the application ran");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// When to look next, if nothing happens before.
    pub(super) fn deadline(&self, now: Monotonic) -> Option<Monotonic> {
        match &self.asked {
            // Tickets of the admin wake nobody.
            Some(_) => Some(now.after(Duration::from_millis(50))),
            None => (!self.topics.is_empty()).then_some(self.next),
        }
    }
}
