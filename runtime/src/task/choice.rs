//! Which record comes next: the one with the lowest timestamp among the inputs' heads, and when it is right to wait.
//!
//! As in Kafka Streams: an input without waiting records is waited for while the broker is known to have more of it
//! (KIP-695); with a positive `max.task.idle` also for records that are still to be written.

use std::time::Duration;

use millstream_state::model::Timestamp;

use super::{Task, TaskError};
use crate::clock::Monotonic;

/// How long a task with several inputs waits for one of them that has no record (`max.task.idle.ms`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdlePolicy {
    /// Never: order between inputs is then best effort (`-1` in Kafka Streams).
    Never,
    /// For records that the broker has already, and beyond that this long for ones still to come (zero is the default).
    UpTo(Duration),
}

impl Default for IdlePolicy {
    fn default() -> Self {
        Self::UpTo(Duration::ZERO)
    }
}

impl Task {
    /// The input whose head is to be processed next, with its timestamp.
    pub(super) fn choose(&mut self, now: Monotonic) -> Result<Option<(usize, Timestamp)>, TaskError> {
        let mut best: Option<(usize, Timestamp)> = None;
        let (mut fetching, mut dry) = (false, false);
        for index in 0..self.inputs.len() {
            match self.head_time(index)? {
                Some(timestamp) if best.is_none_or(|(_, lowest)| timestamp < lowest) => best = Some((index, timestamp)),
                Some(_) => {}
                None if self.inputs[index].caught_up => dry = true,
                None => fetching = true,
            }
        }
        if best.is_none() || !(fetching || dry) {
            self.idle_since = None;
            return Ok(best);
        }
        let IdlePolicy::UpTo(wait) = self.rules.idle else { return Ok(best) };
        if fetching {
            return Ok(None);
        }
        let since = *self.idle_since.get_or_insert(now);
        Ok(best.filter(|_| now.since(since) >= wait))
    }

    /// The timestamp of the record that would be processed next; `None` if none waits, or if another input is waited
    /// for.
    ///
    /// # Errors
    /// If the time of a waiting record cannot be told.
    pub fn next_timestamp(&mut self, now: Monotonic) -> Result<Option<Timestamp>, TaskError> {
        Ok(self.choose(now)?.map(|(_, timestamp)| timestamp))
    }

    fn head_time(&mut self, index: usize) -> Result<Option<Timestamp>, TaskError> {
        loop {
            if self.panics.any() && self.execute(index) {
                continue;
            }
            self.panics.look_at(Some(index));
            match self.inputs[index].head_time(&mut self.chain) {
                Ok(time) => return Ok(time),
                Err(error) => self.refuse(index, Timestamp::UNKNOWN, error)?,
            }
        }
    }

    /// Until when the task waits for another input, if it does.
    pub fn idle_deadline(&self) -> Option<Monotonic> {
        match (self.idle_since, self.rules.idle) {
            (Some(since), IdlePolicy::UpTo(wait)) => Some(since.after(wait)),
            _ => None,
        }
    }
}
