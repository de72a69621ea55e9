//! Fetching: topping up a task's inputs, and what follows when an input cannot be read.
//!
//! ```text
//!  drain ─┬─ records ──────────────────────► task
//!         ├─ refused for now ──────────────► tried again, told once
//!         ├─ the position is not in the log ► ask for the log's ends ─► go on where the offset reset says
//!         └─ hopeless ─────────────────────► error that names the topic
//! ```

use std::sync::Arc;
use std::time::Duration;

use millstream_operators::topology::OffsetReset;
use millstream_state::model::{Position, TopicPartition};

use super::WorkerError;
use crate::broker::{Admin, BrokerError, ErrorClass, Isolation, Ticket};
use crate::clock::Monotonic;
use crate::restore::Running;
use crate::task::Now;
use crate::trouble::{Breaker, Troubles};

/// Records that are taken from a queue at once.
const DRAIN: usize = 1_000;
/// An input with fewer waiting records than this is topped up. Above it, not draining is what holds the fetch back.
const ENOUGH: usize = 1_000;

/// The log's ends are being asked for, because the position is not between them.
struct Reset {
    partition: TopicPartition,
    reason: String,
    oldest: Ticket<Vec<Position>>,
    newest: Ticket<Vec<Position>>,
    answers: [Option<Position>; 2],
}

/// What is wrong with an input, if anything.
#[derive(Default)]
pub(crate) struct InputWatch {
    breaker: Option<Box<Breaker>>,
    reset: Option<Box<Reset>>,
    /// When a refused fetch is looked at again.
    again: Monotonic,
}

/// An input that has not been refused for so long is well, also if it has no new records: a client tells of the same
/// trouble every few seconds.
const QUIET: Duration = Duration::from_secs(10);

/// What fetching needs of its worker.
pub(super) struct Fetching<'a> {
    pub(super) now: Now,
    pub(super) admin: &'a Arc<dyn Admin>,
    pub(super) troubles: &'a Troubles,
    pub(super) application: &'a str,
    /// Set if a topic seems to be gone.
    pub(super) missing: bool,
}

impl Fetching<'_> {
    /// Tops up the task's inputs from their queues.
    pub(super) fn fetch(&mut self, running: &mut Running) -> Result<bool, WorkerError> {
        let mut progress = false;
        for index in 0..running.queues.len() {
            if running.watches[index].reset.is_some() {
                progress |= self.reset(running, index)?;
            } else {
                progress |= self.top_up(running, index)?;
            }
            let queue = &running.queues[index];
            if running.task.waiting(index) == 0 && running.watches[index].reset.is_none() {
                let position = queue.position();
                running.task.pass_control_records(index, position);
                running.task.set_caught_up(index, queue.end().is_some_and(|end| position >= end));
            }
        }
        Ok(progress)
    }

    fn top_up(&mut self, running: &mut Running, index: usize) -> Result<bool, WorkerError> {
        let mut progress = false;
        while running.task.waiting(index) < ENOUGH {
            match running.queues[index].drain(DRAIN) {
                Ok(Some(batch)) => {
                    if let Some(mut breaker) = running.watches[index].breaker.take() {
                        breaker.worked(self.now.monotonic);
                    }
                    running.task.enqueue(index, batch);
                    progress = true;
                }
                Ok(None) => {
                    let watch = &mut running.watches[index];
                    if watch.breaker.is_some() && self.now.monotonic.since(watch.again) >= QUIET {
                        watch.breaker.take().into_iter().for_each(|mut breaker| breaker.worked(self.now.monotonic));
                    }
                    break;
                }
                Err(error) => {
                    self.refused(running, index, error)?;
                    break;
                }
            }
        }
        Ok(progress)
    }

    fn refused(&mut self, running: &mut Running, index: usize, error: BrokerError) -> Result<(), WorkerError> {
        let now = self.now.monotonic;
        // The group has moved on; the controller will say so.
        if error.class == ErrorClass::MemberFenced {
            return Ok(());
        }
        let partition = running.task.inputs().nth(index).cloned();
        let watch = &mut running.watches[index];
        if error.class == ErrorClass::OffsetOutOfRange
            && let Some(partition) = partition
        {
            watch.reset = Some(Box::new(Reset::ask(partition, error.to_string(), &**self.admin)));
            running.task.set_caught_up(index, false);
            return Ok(());
        }
        if now < watch.again {
            return Ok(());
        }
        self.missing |= error.class == ErrorClass::UnknownTopic;
        let breaker = watch.breaker.get_or_insert_with(|| {
            let name = partition.map_or_else(|| "an input".to_owned(), |partition| partition.to_string());
            Box::new(Breaker::new(self.troubles, format!("{name} cannot be read")))
        });
        watch.again = breaker.refused(now, &error);
        if breaker.is_hopeless(now, error.class) { Err(error.into()) } else { Ok(()) }
    }

    /// Goes on with a reset once the broker has answered and what was fetched before is processed.
    fn reset(&mut self, running: &mut Running, index: usize) -> Result<bool, WorkerError> {
        let now = self.now.monotonic;
        if running.task.waiting(index) > 0 || now < running.watches[index].again {
            return Ok(false);
        }
        let Some(mut reset) = running.watches[index].reset.take() else { return Ok(false) };
        let (oldest, newest) = match reset.poll() {
            Ok(Some(ends)) => ends,
            Ok(None) => {
                running.watches[index].reset = Some(reset);
                return Ok(false);
            }
            // The next look at the queue finds the position lost again, and asks again.
            Err(error) => {
                self.refused(running, index, error)?;
                return Ok(false);
            }
        };
        let from = running.task.position(index);
        if (oldest..=newest).contains(&from) {
            // Only the client thinks that it is not: to begin elsewhere would be to process records twice.
            tracing::debug!("{} goes on at {from}, which is in the log: {}", reset.partition, reset.reason);
            still_ours(running.queues[index].seek(from))?;
            return Ok(true);
        }
        let topic = &reset.partition.topic;
        let input = running.task.plan().inputs.iter().find(|input| input.topic == *topic);
        let to = match input.map(|input| input.reset).unwrap_or_default() {
            OffsetReset::Earliest => oldest,
            OffsetReset::Latest => newest,
            OffsetReset::None => {
                let Reset { partition, reason, .. } = *reset;
                return Err(WorkerError::OffsetOutOfRange { partition, reason });
            }
        };
        let lost = to.number() - from.number();
        tracing::warn!(
            task = %running.task.id(),
            "{} goes on at {to} instead of {from} ({}): {}",
            reset.partition,
            if lost > 0 { format!("up to {lost} records were deleted before they were processed") }
                else { "records may be processed again".to_owned() },
            reset.reason
        );
        metrics::counter!("millstream_offset_resets_total", "application" => self.application.to_owned(),
            "topic" => topic.to_string())
        .increment(1);
        running.task.jump(index, to);
        still_ours(running.queues[index].seek(to))?;
        Ok(true)
    }
}

impl Reset {
    fn ask(partition: TopicPartition, reason: String, admin: &dyn Admin) -> Self {
        let oldest = admin.start_positions(vec![partition.clone()]);
        let newest = admin.end_positions(vec![partition.clone()], Isolation::ReadCommitted);
        Self { partition, reason, oldest, newest, answers: [None, None] }
    }

    fn poll(&mut self) -> Result<Option<(Position, Position)>, BrokerError> {
        for (answer, ticket) in self.answers.iter_mut().zip([&mut self.oldest, &mut self.newest]) {
            if answer.is_none()
                && let Some(polled) = ticket.poll()
            {
                *answer = polled?.first().copied();
            }
        }
        let [oldest, newest] = self.answers;
        Ok(oldest.zip(newest))
    }
}

/// A partition that is no longer ours is not an error of the queue: the controller will say that it is gone.
pub(super) fn still_ours(done: Result<(), BrokerError>) -> Result<(), BrokerError> {
    match done {
        Err(error) if error.class == ErrorClass::MemberFenced => Ok(()),
        other => other,
    }
}
