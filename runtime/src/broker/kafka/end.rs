//! The last known end of a partition, at the reader's isolation level.
//!
//! A fetch tells the high watermark; the last stable offset, which ends the log for a reader of committed records, has to
//! be asked for. It only matters where there is something beyond the position: records of a transaction that is open, or
//! records on their way. Nothing changes it but the log, so an answer holds as long as the high watermark stands.
//!
//! The question must not be asked where the client does not know the leader (see `leaders`). It does when the high watermark
//! is new, for the leader told it. Once any leader has not answered, who leads is asked first.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use millstream_state::model::{Position, TopicPartition};
use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};

use super::native::{Consumer, Meeting, StableEnd};
use crate::clock::{Clock as _, Monotonic, SystemClock};

const TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait until asking again who leads.
const PAUSE: Duration = Duration::from_millis(100);

/// What is known of the last stable offset.
pub(super) struct EndOfStable {
    partition: TopicPartition,
    wanted: Option<TopicPartitionList>,
    clock: SystemClock,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// With the high watermark of the moment in which it was asked for.
    known: Option<(Position, Position)>,
    asked: Option<Asked>,
    /// The client's doubts that have been removed: when there are more, the leader may be unknown.
    settled: usize,
    met_at: Option<Monotonic>,
}

enum Asked {
    /// Who leads, with the client's doubts of that moment.
    Leader(usize, Meeting),
    /// The end, with the high watermark of that moment.
    End(Position, StableEnd),
}

impl EndOfStable {
    /// Of a partition that is about to be fetched.
    pub(super) fn of(consumer: &Consumer, partition: &TopicPartition) -> Self {
        let mut list = TopicPartitionList::with_capacity(1);
        let wanted = list.add_partition_offset(&partition.topic, partition.partition, Offset::End).is_ok();
        let state = State { settled: consumer.context().doubts(), ..State::default() };
        Self {
            partition: partition.clone(),
            wanted: wanted.then_some(list),
            clock: SystemClock::default(),
            state: RefCell::new(state),
        }
    }

    /// The end, if known; asks where it is not.
    pub(super) fn get(&self, consumer: &Arc<Consumer>, position: Position, high: Position) -> Option<Position> {
        if position >= high {
            return Some(high);
        }
        let mut state = self.state.borrow_mut();
        self.take_answer(consumer, &mut state);
        let current = state.known.is_some_and(|(at, _)| at == high);
        if !current && state.asked.is_none() {
            self.ask(consumer, high, &mut state);
        }
        state.known.map(|(_, end)| end.max(position))
    }

    fn take_answer(&self, consumer: &Consumer, state: &mut State) {
        match &state.asked {
            Some(Asked::End(at, question)) => {
                let Some(answer) = question.poll() else { return };
                match answer {
                    Some(offset) => state.known = Some((*at, Position::new(offset))),
                    None => consumer.context().doubt_leaders(),
                }
            }
            Some(Asked::Leader(doubts, question)) => {
                let Some(answer) = question.poll() else { return };
                let index = usize::try_from(self.partition.partition).ok();
                if answer.zip(index).is_some_and(|(topic, index)| topic.led.get(index) == Some(&true)) {
                    state.settled = *doubts;
                }
            }
            None => return,
        }
        state.asked = None;
    }

    fn ask(&self, consumer: &Arc<Consumer>, high: Position, state: &mut State) {
        let doubts = consumer.context().doubts();
        if state.settled == doubts {
            let asked = self.wanted.as_ref().and_then(|wanted| StableEnd::ask(consumer, wanted, TIMEOUT));
            state.asked = asked.map(|asked| Asked::End(high, asked));
            return;
        }
        let now = self.clock.monotonic();
        if state.met_at.is_none_or(|met| now.since(met) >= PAUSE) {
            state.met_at = Some(now);
            let asked = Meeting::ask(consumer, &self.partition.topic, TIMEOUT);
            state.asked = asked.map(|asked| Asked::Leader(doubts, asked));
        }
    }
}
