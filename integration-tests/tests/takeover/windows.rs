//! The windows and sessions of clicks, as Kafka Streams defines them, with nothing kept but lists.

use std::collections::BTreeMap;

use crate::model::{Sequences, Table};

pub(crate) const WINDOW: i64 = 30_000;
pub(crate) const GRACE: i64 = 10_000;
pub(crate) const GAP: i64 = 4_000;

/// Windows of a fixed size, and sessions.
#[derive(Default)]
pub(crate) struct Windows {
    /// The highest timestamp so far, by partition.
    stream_time: BTreeMap<i32, i64>,
    /// Each count of each window, as `user@start`.
    pub(crate) counts: Sequences,
    /// Partition and end of each window.
    ends: BTreeMap<String, (i32, i64)>,
    /// Start, end and count, by user.
    sessions: BTreeMap<String, Vec<(i64, i64, i64)>>,
}

impl Windows {
    pub(crate) fn click(&mut self, user: &str, partition: i32, at: i64) {
        let now = self.stream_time.entry(partition).or_insert(at);
        *now = at.max(*now);
        let now = *now;

        let start = at - at % WINDOW;
        if start + WINDOW > now - GRACE {
            let name = format!("{user}@{start}");
            self.ends.insert(name.clone(), (partition, start + WINDOW));
            count(self.counts.entry(name).or_default(), at);
        }

        let sessions = self.sessions.entry(user.to_owned()).or_default();
        let near = |(from, to, _): &(i64, i64, i64)| at - GAP <= *to && *from <= at + GAP;
        let merged = sessions.iter().filter(|session| near(session)).fold((at, at, 1), |all, one| {
            let (from, to, count) = *one;
            (all.0.min(from), all.1.max(to), all.2 + count)
        });
        if merged.1 >= now - GRACE - GAP {
            sessions.retain(|session| !near(session));
            sessions.push(merged);
        }
    }

    fn has_closed(&self, window: &str) -> bool {
        let (partition, end) = self.ends[window];
        end <= self.stream_time[&partition] - GRACE
    }

    /// The last count of each window that has closed.
    pub(crate) fn closed(&self) -> Sequences {
        let closed = self.counts.iter().filter(|(window, _)| self.has_closed(window));
        closed.map(|(window, counts)| (window.clone(), counts.last().cloned().into_iter().collect())).collect()
    }

    /// The windows that have not.
    pub(crate) fn open(&self) -> Table {
        let open = self.counts.keys().filter(|window| !self.has_closed(window));
        open.map(|window| (window.clone(), String::new())).collect()
    }

    /// The last count of each window.
    pub(crate) fn last_counts(&self) -> Table {
        crate::model::last(&self.counts)
    }

    /// The count of each session, as `user@start-end`.
    pub(crate) fn sessions(&self) -> Table {
        let all = self.sessions.iter().flat_map(|(user, sessions)| sessions.iter().map(move |session| (user, session)));
        all.map(|(user, (from, to, count))| (format!("{user}@{from}-{to}"), count.to_string())).collect()
    }
}

/// Counts one more: the time of a count is the highest of what it counts.
pub(crate) fn count(counts: &mut Vec<(i64, String)>, at: i64) {
    let before = counts.last().map_or(at, |(time, _)| *time);
    counts.push((at.max(before), (counts.len() + 1).to_string()));
}
