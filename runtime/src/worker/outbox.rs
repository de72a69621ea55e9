//! The way of a task's records into the worker's transaction.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::broker::{Admin, BrokerError, ErrorClass, OutRecord, Ticket, TopicDescription};
use crate::clock::Monotonic;
use crate::commit::Transaction;
use crate::task::Outbox;

/// What is known of topics that are chosen per record.
pub(super) struct Routes {
    admin: Arc<dyn Admin>,
    known: HashMap<Arc<str>, Route>,
    now: Monotonic,
}

enum Route {
    Asking(Ticket<Vec<Option<TopicDescription>>>),
    AskAgain(Monotonic),
    Partitions(i32),
}

const PAUSE: Duration = Duration::from_millis(100);

impl Routes {
    pub(super) fn new(admin: Arc<dyn Admin>) -> Self {
        Self { admin, known: HashMap::new(), now: Monotonic::default() }
    }

    pub(super) fn at(&mut self, now: Monotonic) -> &mut Self {
        self.now = now;
        self
    }

    /// While an answer is due, who waits must look again: the ticket wakes nobody.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        let open = self.known.values().any(|route| !matches!(route, Route::Partitions(_)));
        open.then(|| self.now.after(PAUSE))
    }

    fn partitions(&mut self, topic: &Arc<str>) -> Result<Option<i32>, BrokerError> {
        let (admin, now) = (&self.admin, self.now);
        let ask = || Route::Asking(admin.describe_topics(vec![topic.clone()]));
        let route = self.known.entry(topic.clone()).or_insert_with(ask);
        match route {
            Route::Partitions(count) => return Ok(Some(*count)),
            Route::AskAgain(at) if now >= *at => *route = ask(),
            Route::AskAgain(_) => {}
            Route::Asking(ticket) => match ticket.poll() {
                None => {}
                Some(Ok(described)) => {
                    let Some(description) = described.into_iter().next().flatten() else {
                        self.known.remove(topic);
                        return Err(BrokerError::new(
                            ErrorClass::UnknownTopic,
                            format!("writing to topic {topic}"),
                            "a record was sent to it by a topic extractor, but it does not exist; create it",
                        ));
                    };
                    *route = Route::Partitions(description.partitions);
                    return Ok(Some(description.partitions));
                }
                Some(Err(error)) if matches!(error.class, ErrorClass::Retriable | ErrorClass::Unknown) => {
                    *route = Route::AskAgain(now.after(PAUSE));
                }
                Some(Err(error)) => return Err(error),
            },
        }
        Ok(None)
    }
}

/// The transaction as a task sees it.
pub(super) struct ToTransaction<'a> {
    pub(super) transaction: &'a mut Transaction,
    pub(super) routes: &'a mut Routes,
}

impl Outbox for ToTransaction<'_> {
    fn send(&mut self, record: OutRecord<'_>) -> Result<bool, BrokerError> {
        self.transaction.produce(record)
    }

    fn partitions(&mut self, topic: &Arc<str>) -> Result<Option<i32>, BrokerError> {
        self.routes.partitions(topic)
    }
}
