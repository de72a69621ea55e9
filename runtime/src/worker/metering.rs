//! What a worker makes visible: counters, lag, commit times.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::{counter, gauge, histogram};
use millstream_operators::context::Dropped;

use crate::broker::Ticket;
use crate::clock::Monotonic;
use crate::restore::{Restoring, Running};
use crate::task::{Now, TaskId};

/// How often lag is worked out.
const INTERVAL: Duration = Duration::from_millis(500);

/// One worker's measurements.
pub(super) struct Meter {
    application: String,
    worker: String,
    last: Monotonic,
    commit_began: Option<Monotonic>,
    now: Monotonic,
    dropped: BTreeMap<TaskId, Dropped>,
    purge: Option<Ticket<()>>,
}

impl Meter {
    pub(super) fn new(application: &str, worker: usize) -> Self {
        Self {
            application: application.to_owned(),
            worker: worker.to_string(),
            last: Monotonic::default(),
            commit_began: None,
            now: Monotonic::default(),
            dropped: BTreeMap::new(),
            purge: None,
        }
    }

    pub(super) fn tick(&mut self, now: Now, running: &mut BTreeMap<TaskId, Running>, restoring: &[Restoring]) {
        self.now = now.monotonic;
        if now.monotonic.since(self.last) < INTERVAL {
            return;
        }
        self.last = now.monotonic;
        self.count(running);
        for running in running.values() {
            for (input, (partition, queue)) in running.task.inputs().zip(&running.queues).enumerate() {
                if let Some(end) = queue.end() {
                    let lag = (end.number() - running.task.position(input).number()).max(0);
                    gauge!("millstream_lag_records", "application" => self.application.clone(),
                        "topic" => partition.topic.to_string(), "partition" => partition.partition.to_string())
                    .set(lag as f64);
                }
            }
        }
        let remaining: i64 = restoring.iter().map(Restoring::remaining).sum();
        gauge!("millstream_restore_remaining_records", "application" => self.application.clone(),
            "worker" => self.worker.clone())
        .set(remaining as f64);
        if let Some(ticket) = &mut self.purge
            && let Some(answer) = ticket.poll()
        {
            if let Err(error) = answer {
                tracing::warn!(
                    "processed records could not be deleted from repartition topics, trying again later: {error}"
                );
            }
            self.purge = None;
        }
    }

    fn count(&mut self, running: &mut BTreeMap<TaskId, Running>) {
        for (id, running) in running {
            let counts = running.task.take_counts();
            let labels = [("application", self.application.clone()), ("task", id.to_string())];
            if counts.processed > 0 {
                counter!("millstream_processed_records_total", &labels).increment(counts.processed);
            }
            let skipped = |reason: &'static str, records: u64| {
                if records > 0 {
                    counter!("millstream_skipped_records_total", "application" => self.application.clone(),
                        "task" => id.to_string(), "reason" => reason)
                    .increment(records);
                }
            };
            skipped("undecodable", counts.undecodable);
            skipped("refused", counts.refused);
            skipped("panicked", counts.panicked);
            let is = running.task.context().dropped;
            let was = self.dropped.insert(*id, is).unwrap_or_default();
            skipped("null", is.null.saturating_sub(was.null));
            skipped("late", is.late.saturating_sub(was.late));
            skipped("timestamp", is.timestamp.saturating_sub(was.timestamp));
        }
    }

    pub(super) fn committing(&mut self) {
        self.commit_began = Some(self.now);
    }

    pub(super) fn committed(&mut self, now: Now) {
        counter!("millstream_commits_total", "application" => self.application.clone(), "worker" => self.worker.clone())
            .increment(1);
        if let Some(began) = self.commit_began.take() {
            histogram!("millstream_commit_seconds", "application" => self.application.clone(),
                "worker" => self.worker.clone())
            .record(now.monotonic.since(began).as_secs_f64());
        }
    }

    pub(super) fn rolled_back(&mut self) {
        self.commit_began = None;
        counter!("millstream_rollbacks_total", "application" => self.application.clone(), "worker" => self.worker.clone())
            .increment(1);
    }

    pub(super) fn purging(&mut self, ticket: Ticket<()>) {
        self.purge = Some(ticket);
    }
}
