//! When processors are called without a record: on stream time and on the wall clock.
//!
//! ```text
//!  schedule → [queue by time] ─ due? → punctuate, once → next multiple of the interval that has not passed
//! ```
//! Stream time: aligned to the epoch, so that the first record fires at once, then at most once per record. Wall clock: the
//! first call comes an interval after the scheduling. What was missed is not made up for. As in Kafka Streams, the times
//! start anew when a task starts anew.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use millstream_state::model::Timestamp;

/// What makes a timer run (Kafka Streams' `PunctuationType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Punctuation {
    /// The highest timestamp of the records that the task has processed: no records, no calls.
    StreamTime,
    /// The time of day.
    WallClock,
}

/// A timer that a processor has scheduled; compare it with the one that
/// [`Processor::punctuate`](super::Processor::punctuate) is given, or cancel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timer(u64);

/// A timer that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub(crate) timer: Timer,
    /// The node to be called, by its position in the topology.
    pub(crate) node: usize,
    kind: Punctuation,
    at: i64,
    interval: i64,
}

/// By time, then by the order of scheduling.
type Queue = BinaryHeap<Reverse<(i64, Timer)>>;

/// The timers of one task.
#[derive(Debug, Default)]
pub struct Timers {
    last: u64,
    live: BTreeMap<Timer, Due>,
    stream: Queue,
    wall: Queue,
}

impl Timers {
    /// Forgets all timers: the processors are initialised again.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Schedules a node; `wall_clock` is the present.
    pub(crate) fn schedule(
        &mut self,
        node: usize,
        interval: Duration,
        kind: Punctuation,
        wall_clock: Timestamp,
    ) -> Timer {
        self.last += 1;
        let timer = Timer(self.last);
        let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
        let at = match kind {
            Punctuation::StreamTime => 0,
            Punctuation::WallClock => wall_clock.millis().saturating_add(interval),
        };
        self.push(Due { timer, node, kind, at, interval });
        timer
    }

    fn push(&mut self, due: Due) {
        self.queue(due.kind).push(Reverse((due.at, due.timer)));
        self.live.insert(due.timer, due);
    }

    fn queue(&mut self, kind: Punctuation) -> &mut Queue {
        match kind {
            Punctuation::StreamTime => &mut self.stream,
            Punctuation::WallClock => &mut self.wall,
        }
    }

    /// Ends a timer.
    pub(crate) fn cancel(&mut self, timer: Timer) {
        self.live.remove(&timer);
    }

    /// The next timer of a kind that is due; [`Timers::again`] puts it back unless it was cancelled.
    pub(crate) fn take_due(&mut self, kind: Punctuation, now: Timestamp) -> Option<Due> {
        if now == Timestamp::UNKNOWN {
            return None;
        }
        loop {
            let Reverse((at, timer)) = *self.queue(kind).peek()?;
            if at > now.millis() {
                return None;
            }
            self.queue(kind).pop();
            if let Some(due) = self.live.get(&timer) {
                return Some(*due);
            }
        }
    }

    /// Sets the next time of a timer that has run at `now`.
    pub(crate) fn again(&mut self, due: Due, now: Timestamp) {
        if !self.live.contains_key(&due.timer) {
            return;
        }
        let Due { at, interval, .. } = due;
        let missed = now.millis().saturating_sub(at) / interval;
        let next = at.saturating_add(interval.saturating_mul(missed.saturating_add(1)));
        self.push(Due { at: next, ..due });
    }

    /// When the next timer of a kind is due; earlier if that one was cancelled.
    pub fn next(&self, kind: Punctuation) -> Option<Timestamp> {
        let queue = match kind {
            Punctuation::StreamTime => &self.stream,
            Punctuation::WallClock => &self.wall,
        };
        queue.peek().map(|Reverse((at, _))| Timestamp::from_millis(*at))
    }

    /// Whether a timer of this kind is due.
    pub fn is_due(&self, kind: Punctuation, now: Timestamp) -> bool {
        now != Timestamp::UNKNOWN && self.next(kind).is_some_and(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn run(timers: &mut Timers, kind: Punctuation, now: i64) -> usize {
        let mut runs = 0;
        while let Some(due) = timers.take_due(kind, at(now)) {
            timers.again(due, at(now));
            runs += 1;
        }
        runs
    }

    #[test]
    fn stream_time_fires_on_the_first_record_then_at_multiples_of_the_interval() {
        let mut timers = Timers::default();
        timers.schedule(0, Duration::from_millis(5000), Punctuation::StreamTime, at(0));
        let runs =
            [-1, 3, 4999, 5000, 9000, 31_000, 34_999, 35_000].map(|now| run(&mut timers, Punctuation::StreamTime, now));
        assert_eq!(runs, [0, 1, 0, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn the_wall_clock_fires_an_interval_after_scheduling_and_makes_up_for_nothing() {
        let mut timers = Timers::default();
        timers.schedule(0, Duration::from_millis(700), Punctuation::WallClock, at(100));
        let runs = [100, 799, 800, 1499, 10_000, 10_000].map(|now| run(&mut timers, Punctuation::WallClock, now));
        assert_eq!(runs, [0, 0, 1, 0, 1, 0]);
        assert_eq!(timers.next(Punctuation::WallClock), Some(at(800 + 14 * 700)));
    }

    #[test]
    fn a_cancelled_timer_does_not_run_and_does_not_come_back() {
        let mut timers = Timers::default();
        let timer = timers.schedule(0, Duration::from_millis(10), Punctuation::WallClock, at(0));
        timers.cancel(timer);
        assert_eq!(run(&mut timers, Punctuation::WallClock, 100), 0);
        let timer = timers.schedule(0, Duration::from_millis(10), Punctuation::WallClock, at(0));
        let due = timers.take_due(Punctuation::WallClock, at(10)).unwrap();
        timers.cancel(timer);
        timers.again(due, at(10));
        assert_eq!(run(&mut timers, Punctuation::WallClock, 1000), 0);
    }
}
