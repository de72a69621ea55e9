//! What is to go wrong, and when.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::wire::{Api, Header};

/// What happens to a request or to its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// The broker never sees it, and nobody says so.
    LoseRequest,
    /// It has its effect, and the reply is lost without a word.
    LoseReply,
    /// The connection ends before the broker sees it.
    Disconnect,
    /// It has its effect, and the connection ends instead of the reply.
    DisconnectReply,
    /// It reaches the broker later.
    Delay(Duration),
    /// It has its effect at once, the reply comes later.
    DelayReply(Duration),
    /// The broker never sees it; the client is told this error. (A fetch or a question for
    /// metadata is asked, and its records or partitions left out.)
    Answer(i16),
    /// It has its effect, and the client is told this error.
    AnswerAfter(i16),
}

impl Fault {
    /// Its kind, for counting.
    pub fn kind(self) -> &'static str {
        match self {
            Self::LoseRequest => "lost request",
            Self::LoseReply => "lost reply",
            Self::Disconnect => "disconnect before request",
            Self::DisconnectReply => "disconnect before reply",
            Self::Delay(_) => "delayed request",
            Self::DelayReply(_) => "delayed reply",
            Self::Answer(_) => "error instead of effect",
            Self::AnswerAfter(_) => "error after effect",
        }
    }
}

/// Which of the matching requests are hit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    /// The n-th from now on, counted from 1.
    Nth(u32),
    /// The next so many.
    Next(u32),
    /// Each with this chance.
    Chance(f64),
}

/// A fault for a kind of request.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The kind.
    pub api: Api,
    /// Which ones.
    pub when: When,
    /// What happens.
    pub fault: Fault,
}

struct Armed {
    rule: Rule,
    seen: u32,
}

struct State {
    armed: Vec<Armed>,
    chance: StdRng,
    hits: BTreeMap<(Api, &'static str), u64>,
    seen: BTreeMap<Api, u64>,
}

/// The rules in force, and what they have done.
pub struct Rules {
    // A lock because every connection has two threads, and the test a third.
    state: Mutex<State>,
}

impl Rules {
    pub(super) fn new(seed: u64) -> Self {
        let chance = StdRng::seed_from_u64(seed);
        let state = State { armed: Vec::new(), chance, hits: BTreeMap::new(), seen: BTreeMap::new() };
        Self { state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a rule.
    pub fn arm(&self, rule: Rule) {
        self.state().armed.push(Armed { rule, seen: 0 });
    }

    /// Drops all rules; what they have done stays counted.
    pub fn disarm(&self) {
        self.state().armed.clear();
    }

    /// How often each fault struck, by kind of request and kind of fault.
    pub fn hits(&self) -> BTreeMap<(Api, &'static str), u64> {
        self.state().hits.clone()
    }

    /// How often faults struck at all.
    pub fn total(&self) -> u64 {
        self.state().hits.values().sum()
    }

    /// How many requests of a kind came by.
    pub fn seen(&self, api: Api) -> u64 {
        self.state().seen.get(&api).copied().unwrap_or(0)
    }

    pub(super) fn decide(&self, header: &Header) -> Option<Fault> {
        let api = header.api?;
        let mut state = self.state();
        let state = &mut *state;
        *state.seen.entry(api).or_default() += 1;
        let mut struck = None;
        for armed in state.armed.iter_mut().filter(|armed| armed.rule.api == api) {
            armed.seen += 1;
            let hit = match armed.rule.when {
                When::Nth(nth) => armed.seen == nth,
                When::Next(count) => armed.seen <= count,
                When::Chance(chance) => state.chance.random_bool(chance),
            };
            if hit && struck.is_none() {
                struck = Some(armed.rule.fault);
            }
        }
        state.armed.retain(|armed| match armed.rule.when {
            When::Nth(count) | When::Next(count) => armed.seen < count,
            When::Chance(_) => true,
        });
        if let Some(fault) = struck {
            *state.hits.entry((api, fault.kind())).or_default() += 1;
        }
        struck
    }
}
