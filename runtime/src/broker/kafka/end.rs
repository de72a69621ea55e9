//! The last known end of a partition, at the reader's isolation level.
//!
//! A fetch tells the high watermark; the last stable offset, which ends the log for a reader of committed records, has to
//! be asked for. It only matters where there is something beyond the position: records of a transaction that is open, or
//! records on their way. Nothing changes it but the log, so an answer holds as long as the high watermark stands.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use millstream_state::model::{Position, TopicPartition};
use rdkafka::{Offset, TopicPartitionList};

use super::native::{Consumer, StableEnd};

const TIMEOUT: Duration = Duration::from_secs(10);

/// What is known of the last stable offset.
pub(super) struct EndOfStable {
    wanted: Option<TopicPartitionList>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// With the high watermark of the moment in which it was asked for.
    known: Option<(Position, Position)>,
    asked: Option<(Position, StableEnd)>,
}

impl EndOfStable {
    pub(super) fn of(partition: &TopicPartition) -> Self {
        let mut list = TopicPartitionList::with_capacity(1);
        let wanted = list.add_partition_offset(&partition.topic, partition.partition, Offset::End).is_ok();
        Self { wanted: wanted.then_some(list), state: RefCell::default() }
    }

    /// The end, if known; asks where it is not.
    pub(super) fn get(&self, consumer: &Arc<Consumer>, position: Position, high: Position) -> Option<Position> {
        if position >= high {
            return Some(high);
        }
        let mut state = self.state.borrow_mut();
        if let Some((at, asked)) = &state.asked
            && let Some(answer) = asked.poll()
        {
            let at = *at;
            state.asked = None;
            if let Some(offset) = answer {
                state.known = Some((at, Position::new(offset)));
            }
        }
        let current = state.known.is_some_and(|(at, _)| at == high);
        if !current && state.asked.is_none() {
            let asked = self.wanted.as_ref().and_then(|wanted| StableEnd::ask(consumer, wanted, TIMEOUT));
            state.asked = asked.map(|asked| (high, asked));
        }
        state.known.map(|(_, end)| end.max(position))
    }
}
