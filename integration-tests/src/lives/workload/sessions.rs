//! Lists per key and session, of which many are merged.

use std::collections::BTreeSet;
use std::time::Duration;

use millstream::operators::dsl::{Materialized, SessionWindows, StreamsBuilder};
use millstream::operators::topology::Topology;
use millstream::state::model::Timestamp;

use super::{Dice, Expected, Fuse, Input, Workload};
use crate::lives::START;
use crate::support::built;

/// `visits` → the numbers of each key's records per session, sorted → `trails`.
///
/// No record is late (the grace is an hour), so that the sessions at the end are determined by the times alone; and the
/// steps to them are, since a key's records are in one partition of one topic.
///
/// At least once the steps are not, since a record that is read again after a crash meets sessions that have grown meanwhile:
/// - it can make a session with some of its neighbours that they have not made before, or never made together;
/// - one that was told of before the crash is not made again, so that nobody takes it back.
///
/// So every session may come out, and stay, that some of a key's records make. Those that all of them make must
/// be the last ones, with each of their records, once or more often.
pub(super) struct Sessions;

const STEP: i64 = 500;
const GAP: i64 = 2_000;
/// How much older than the one before it a record can be: some fall between two sessions that are there.
const LATE: u64 = 12_000;

/// A list with the items of two, sorted.
fn both(one: &str, other: &str) -> String {
    let mut items: Vec<u64> = one.split(' ').chain(other.split(' ')).filter_map(|item| item.parse().ok()).collect();
    items.sort_unstable();
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// A session of the model.
#[derive(Clone)]
struct Session {
    key: String,
    start: i64,
    end: i64,
    items: String,
}

impl Session {
    fn bytes(&self) -> Vec<u8> {
        [self.key.as_bytes(), &self.end.to_be_bytes(), &self.start.to_be_bytes()].concat()
    }
}

impl Workload for Sessions {
    fn name(&self) -> &'static str {
        "sessions"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &["visits"]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["trails"]
    }

    fn topology(&self, fuse: &Fuse) -> Topology {
        let fuse = fuse.clone();
        let builder = StreamsBuilder::new();
        let visits = builder.stream::<String, String>("visits").peek(move |_, _| fuse.burn());
        let gap = Duration::from_millis(GAP.unsigned_abs());
        let windows = SessionWindows::of_inactivity_gap_and_grace(gap, Duration::from_secs(3600));
        let add = |_: &String, item: &String, items: String| both(&items, item);
        let merge = |_: &String, earlier: String, later: String| both(&earlier, &later);
        let sessions = visits.group_by_key().windowed_by(windows);
        let trails = sessions.aggregate(String::new, add, merge, Materialized::named("trails"));
        trails.to_stream().to("trails");
        built(&builder)
    }

    fn input(&self, dice: &mut Dice, index: u64) -> Input {
        let late = if dice.chance(400) { dice.below(LATE) as i64 } else { 0 };
        let timestamp = Timestamp::from_millis(START.millis() + LATE as i64 + index as i64 * STEP - late);
        Input { topic: "visits", key: format!("k{}", dice.below(4)), value: index.to_string(), timestamp }
    }

    fn expected(&self, inputs: &[Input], _: i32) -> Expected {
        let mut expected = Expected::default();
        let mut sessions: Vec<Session> = Vec::new();
        let outputs = expected.outputs.entry("trails").or_default();
        for input in inputs {
            let at = input.timestamp.millis();
            let is_near =
                |session: &Session| session.key == input.key && session.start - GAP <= at && at <= session.end + GAP;
            let (near, rest): (Vec<Session>, Vec<Session>) = sessions.into_iter().partition(is_near);
            sessions = rest;
            let own = Session { key: input.key.clone(), start: at, end: at, items: input.value.clone() };
            let merged = near.iter().fold(own, |merged, session| Session {
                start: merged.start.min(session.start),
                end: merged.end.max(session.end),
                items: both(&merged.items, &session.items),
                ..merged
            });
            // What a merged session was is deleted, also if that has the same bounds; but not if all is one moment.
            if merged.start != merged.end {
                near.iter().for_each(|session| outputs.entry(session.bytes()).or_default().push(None));
            }
            outputs.entry(merged.bytes()).or_default().push(Some(merged.items.clone().into_bytes()));
            sessions.push(merged);
        }
        let table = sessions.iter().map(|session| (session.bytes(), session.items.clone().into_bytes()));
        expected.stores.insert("trails", table.collect());
        expected
    }

    fn can_be(&self, inputs: &[Input], key: &[u8]) -> bool {
        let Some((name, bounds)) = key.split_last_chunk::<16>() else { return false };
        let (end, start) = bounds.split_at(8);
        let time = |bytes: &[u8]| bytes.try_into().ok().map(i64::from_be_bytes);
        let (Some(start), Some(end)) = (time(start), time(end)) else { return false };
        let own = inputs.iter().filter(|input| input.key.as_bytes() == name).map(|input| input.timestamp.millis());
        let mut times: Vec<i64> = own.filter(|at| (start..=end).contains(at)).collect();
        times.sort_unstable();
        let is_near = times.windows(2).all(|pair| pair[1] - pair[0] <= GAP);
        is_near && times.first() == Some(&start) && times.last() == Some(&end)
    }

    fn will_do(&self, found: Option<&[u8]>, wanted: Option<&[u8]>) -> bool {
        let items = |bytes: &[u8]| -> BTreeSet<String> {
            String::from_utf8_lossy(bytes).split(' ').map(str::to_owned).collect()
        };
        found.map(items) == wanted.map(items)
    }
}
