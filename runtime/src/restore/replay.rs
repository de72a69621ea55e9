//! The replay of one changelog into one store.

use std::time::Duration;

use millstream_state::commit::ChangelogMark;
use millstream_state::error::StateError;
use millstream_state::model::{Position, RawRecord, Timestamp, TopicPartition};
use millstream_state::store::{Persistence, StoreId};

use crate::broker::{BrokerError, ErrorClass, Fetcher, PartitionQueue};
use crate::clock::Monotonic;
use crate::task::{ChangelogTopic, Now, TaskError, TaskState};

/// A changelog and where it begins and ends now.
pub(super) struct Log {
    pub(super) store: StoreId,
    pub(super) partition: TopicPartition,
    pub(super) start: Position,
    pub(super) end: Position,
}

/// Records that one step takes at most.
const PIECE: usize = 10_000;

pub(super) enum ReplayError {
    Task(TaskError),
    /// The position is not in the log any more: retention or a delete has overtaken the replay.
    Truncated(BrokerError),
    Broker(BrokerError),
}

/// A replay under way.
pub(super) struct Replay {
    log: Log,
    from: Position,
    queue: Box<dyn PartitionQueue>,
    replayed: u64,
    since: Monotonic,
}

type OrBroker<T> = Result<T, BrokerError>;

impl Replay {
    /// Begins where the store's mark says, or at the log's start with an emptied store if the mark is of no use; `None`
    /// if nothing is missing.
    pub(super) fn begin(
        state: &mut TaskState,
        log: Log,
        now: Now,
        fetcher: &mut dyn Fetcher,
    ) -> Result<Option<OrBroker<Self>>, TaskError> {
        let id = state.id;
        let failed = |source: StateError| TaskError::State { task: id, source: Box::new(source) };
        let plan = state.plan.clone();
        let Some(changelog) = &plan.changelogs[log.store.0 as usize] else { return Ok(None) };
        let from = match usable(state, &log, changelog, now) {
            Ok(mark) => mark.position,
            Err(why) => {
                let had_state = state.cx.state.stores.mark(log.store).is_some();
                if had_state {
                    tracing::warn!(task = %id, changelog = %log.partition.topic, "the store is rebuilt: {why}");
                }
                state.cx.state.stores.reset(log.store).map_err(failed)?;
                log.start
            }
        };
        if from >= log.end {
            mark(state, &log, from, now).map_err(failed)?;
            return Ok(None);
        }
        let missing = log.end.number() - from.number();
        let changelog = &log.partition;
        tracing::info!(task = %id, %changelog, "restoring offsets {from} to {} (up to {missing} records)", log.end);
        let since = now.monotonic;
        let assigned = fetcher.assign(&log.partition, from);
        Ok(Some(assigned.map(|queue| Self { log, from, queue, replayed: 0, since })))
    }

    pub(super) fn remaining(&self) -> i64 {
        (self.log.end.number() - self.queue.position().number()).max(0)
    }

    /// Replays a piece; answers whether there was one, and whether the end is reached.
    pub(super) fn step(&mut self, state: &mut TaskState, now: Now) -> Result<(bool, bool), ReplayError> {
        let batch = self.queue.drain(PIECE).map_err(|error| match error.class {
            ErrorClass::OffsetOutOfRange => ReplayError::Truncated(error),
            _ => ReplayError::Broker(error),
        })?;
        let Some(batch) = batch else { return Ok((false, self.queue.position() >= self.log.end)) };
        let task = state.id;
        if batch.is_empty() {
            return Ok((false, false));
        }
        // A batch may reach beyond the end. A changelog has nothing there that would do harm, a source topic has records
        // that are not processed yet: the nodes below would never hear of them.
        let due =
            (0..batch.len()).take_while(|index| Position::after(batch.get(*index).offset) <= self.log.end).count();
        let Some(last) = due.checked_sub(1).map(|last| batch.get(last).offset) else { return Ok((true, true)) };
        let Some(changelog) = &state.plan.changelogs[self.log.store.0 as usize] else { return Ok((false, true)) };
        let mark = ChangelogMark { topic: changelog.id, position: Position::after(last), applied_at: now.wall };
        let mut records = (0..due).map(|index| -> RawRecord<'_> { batch.get(index) });
        let restored = state.cx.state.stores.restore(self.log.store, &mut records, mark);
        restored.map_err(|source| ReplayError::Task(TaskError::State { task, source: Box::new(source) }))?;
        self.replayed += due as u64;
        Ok((true, due < batch.len() || Position::after(last) >= self.log.end))
    }

    /// Ends the replay: the store now stands at the end that was asked for.
    pub(super) fn finish(
        self,
        state: &mut TaskState,
        now: Now,
        fetcher: &mut dyn Fetcher,
    ) -> Result<OrBroker<()>, TaskError> {
        let at = self.log.end.max(self.from);
        let id = state.id;
        let marked = mark(state, &self.log, at, now);
        if let Err(source) = marked {
            drop(self.stop(fetcher));
            return Err(TaskError::State { task: id, source: Box::new(source) });
        }
        let took = now.monotonic.since(self.since);
        metrics::counter!("millstream_restored_records_total").increment(self.replayed);
        metrics::histogram!("millstream_restore_seconds").record(took.as_secs_f64());
        tracing::info!(
            task = %id,
            changelog = %self.log.partition,
            records = self.replayed,
            from = %self.from,
            to = %self.log.end,
            "restored {} records in {} ms",
            self.replayed,
            took.as_millis()
        );
        Ok(self.stop(fetcher))
    }

    /// Stops reading.
    pub(super) fn stop(self, fetcher: &mut dyn Fetcher) -> OrBroker<()> {
        let Self { log, queue, .. } = self;
        drop(queue);
        fetcher.unassign(&log.partition)
    }
}

fn mark(state: &mut TaskState, log: &Log, position: Position, now: Now) -> Result<(), StateError> {
    let Some(changelog) = &state.plan.changelogs[log.store.0 as usize] else { return Ok(()) };
    let mark = ChangelogMark { topic: changelog.id, position, applied_at: now.wall };
    state.cx.state.stores.restore(log.store, &mut std::iter::empty(), mark).map(|_| ())
}

/// The store's mark, if the replay can go on from there; otherwise why it cannot.
fn usable(state: &TaskState, log: &Log, changelog: &ChangelogTopic, now: Now) -> Result<ChangelogMark, String> {
    let stores = &state.cx.state.stores;
    let mark = stores.mark(log.store).ok_or("it is empty")?;
    let volatile = stores.specs()[log.store.0 as usize].persistence == Persistence::InMemory;
    if mark.topic != changelog.id {
        return Err("its changelog was deleted and created anew".to_owned());
    }
    if mark.position < log.start || mark.position > log.end {
        let (at, start, end) = (mark.position, log.start, log.end);
        return Err(format!("its position {at} is outside of the changelog, which has offsets {start} to {end}"));
    }
    if !volatile {
        fresh(mark.applied_at, now.wall, changelog.delete_retention)?;
    }
    Ok(mark)
}

/// How far a mark may be ahead of the clock: clocks of machines are not quite the same.
const AHEAD: Duration = Duration::from_secs(3_600);

/// Whether no delete that the store has missed can be gone from its changelog, which keeps them for `limit`.
fn fresh(applied_at: Timestamp, now: Timestamp, limit: Duration) -> Result<(), String> {
    let ahead = Duration::from_millis((applied_at.millis() - now.millis()).max(0).unsigned_abs());
    if ahead > AHEAD {
        // It would look fresh for as long as the clock takes to catch up, and deletes can be missed in that time.
        return Err(format!("it was last used {ahead:?} in the future: the clock was wrong then, or is now"));
    }
    let age = Duration::from_millis((now.millis() - applied_at.millis()).max(0).unsigned_abs());
    if age > limit {
        return Err(format!(
            "it was last used {age:?} ago, deletes older than {limit:?} may be gone from the changelog"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_costs_a_rebuild_at_most_and_never_hides_a_delete() {
        let (day, hour) = (Duration::from_secs(86_400), 3_600_000);
        let now = Timestamp::from_millis(1_700_000_000_000);
        let at = |hours: i64| Timestamp::from_millis(now.millis() + hours * hour);
        assert!(fresh(at(0), now, day).is_ok());
        assert!(fresh(at(-23), now, day).is_ok());
        assert!(fresh(at(1), now, day).is_ok(), "clocks differ a little");
        assert!(fresh(at(-25), now, day).unwrap_err().contains("deletes older than"));
        assert!(fresh(at(24 * 365), now, day).unwrap_err().contains("in the future"));
    }
}
