//! What an instance waits for because it was refused: pauses that grow, and a log that is not flooded.
//!
//! ```text
//!  works ──refused──► pauses of 0.1 s, 0.2 s, … 5 s, each shortened by chance ──works──► told once, forgotten
//!                      └ one line at first, a reminder every 30 s, and an entry in `Streams::troubles`
//! ```
//! What can pass is waited for, however long it takes. What hardly passes by itself is waited for within a bound
//! ([`Breaker::is_hopeless`]) and is an error then.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::broker::ErrorClass;
use crate::clock::Monotonic;

/// The first pause.
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(5);
/// How often the log is reminded of what still does not work.
const REMINDER: Duration = Duration::from_secs(30);
/// How long a lost authorisation may take to come back.
pub(crate) const AUTHORISATION: Duration = Duration::from_secs(60);
/// How long a topic may seem not to exist: brokers do not learn of topics all at the same time.
pub(crate) const UNKNOWN_TOPIC: Duration = Duration::from_secs(10);
/// How often in a row what is said to be hopeless is tried with everything made anew.
const FATAL: u32 = 3;

/// Something that does not work at present and is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What does not work.
    pub what: String,
    /// What was answered the last time.
    pub reason: String,
    /// How often it was tried in vain.
    pub attempts: u32,
    /// How long it had not worked when it was last tried.
    pub lasting: Duration,
}

/// What an instance waits for at present, for its user to see.
#[derive(Clone, Debug, Default)]
pub struct Troubles {
    application: Arc<str>,
    /// What chance begins with; not the same for two instances.
    seed: u64,
    // Behind a lock because the user's thread reads it; each entry is written by the part that it is about.
    entries: Arc<Mutex<BTreeMap<String, Trouble>>>,
}

impl Troubles {
    /// None so far, for an instance of this application. Instances that are refused at the same moment come back at
    /// moments of their own, which `seed` decides.
    pub fn new(application: &str, seed: u64) -> Self {
        Self { application: application.into(), seed, entries: Arc::default() }
    }

    /// All there are.
    pub fn list(&self) -> Vec<Trouble> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Trouble>)) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut entries);
        metrics::gauge!("millstream_troubles", "application" => self.application.to_string()).set(entries.len() as f64);
    }
}

struct Open {
    since: Monotonic,
    told: Monotonic,
    attempts: u32,
    /// The class of the last errors in a row, since when, and how many they are.
    class: Option<(ErrorClass, Monotonic, u32)>,
}

/// One thing that may be refused: decides when to try again, and tells of it.
pub(crate) struct Breaker {
    what: String,
    troubles: Troubles,
    chance: u64,
    open: Option<Open>,
}

impl Breaker {
    /// A breaker that is closed. `what` says what does not work when it does not: «worker 0 cannot commit».
    pub(crate) fn new(troubles: &Troubles, what: impl Into<String>) -> Self {
        let what = what.into();
        let chance = what.bytes().fold(troubles.seed, |sum, byte| spread(sum ^ u64::from(byte)));
        Self { what, troubles: troubles.clone(), chance, open: None }
    }

    /// It was refused; answers when to try again.
    pub(crate) fn refused(&mut self, now: Monotonic, reason: &dyn Display) -> Monotonic {
        let what = &self.what;
        metrics::counter!("millstream_retries_total", "application" => self.troubles.application.to_string())
            .increment(1);
        let open = match &mut self.open {
            Some(open) => {
                open.attempts += 1;
                if now.since(open.told) >= REMINDER {
                    open.told = now;
                    let (lasting, attempts) = (now.since(open.since).as_secs(), open.attempts);
                    tracing::warn!("{what}: still so after {lasting} s and {attempts} attempts: {reason}");
                }
                open
            }
            closed => {
                tracing::warn!("{what}, trying again: {reason}");
                closed.insert(Open { since: now, told: now, attempts: 1, class: None })
            }
        };
        let trouble = Trouble {
            what: what.clone(),
            reason: reason.to_string(),
            attempts: open.attempts,
            lasting: now.since(open.since),
        };
        self.troubles.change(|entries| drop(entries.insert(what.clone(), trouble)));
        let full = FIRST.saturating_mul(1 << (open.attempts - 1).min(10)).min(LONGEST);
        self.chance = spread(self.chance);
        now.after(full.mul_f64(0.5 + (self.chance >> 11) as f64 / (1u64 << 54) as f64))
    }

    /// It works.
    pub(crate) fn worked(&mut self, now: Monotonic) {
        if let Some(open) = self.close() {
            let (lasting, attempts) = (now.since(open.since).as_millis(), open.attempts);
            tracing::info!("over after {lasting} ms and {attempts} attempts: {}", self.what);
        }
    }

    /// Nobody waits for it any more.
    pub(crate) fn forget(&mut self) {
        let _ = self.close();
    }

    fn close(&mut self) -> Option<Open> {
        let open = self.open.take()?;
        self.troubles.change(|entries| drop(entries.remove(&self.what)));
        Some(open)
    }

    /// How often in a row it was refused.
    pub(crate) fn attempts(&self) -> u32 {
        self.open.as_ref().map_or(0, |open| open.attempts)
    }

    /// Whether errors of this class, the last one among them, have come so often in a row, or for so long, that waiting is
    /// of no more use. To be asked once for each refusal.
    pub(crate) fn is_hopeless(&mut self, now: Monotonic, class: ErrorClass) -> bool {
        let Some(open) = &mut self.open else { return false };
        let (since, times) = match open.class {
            Some((last, since, times)) if last == class => (since, times + 1),
            _ => (now, 1),
        };
        open.class = Some((class, since, times));
        match class {
            ErrorClass::InstanceFenced => true,
            ErrorClass::Fatal => times >= FATAL,
            ErrorClass::NotAuthorized => now.since(since) >= AUTHORISATION,
            ErrorClass::UnknownTopic => now.since(since) >= UNKNOWN_TOPIC,
            _ => false,
        }
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        self.forget();
    }
}

/// The finaliser of SplitMix64.
fn spread(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic::since_start(Duration::from_millis(millis))
    }

    #[test]
    fn pauses_grow_to_a_bound_and_never_vanish() {
        let mut breaker = Breaker::new(&Troubles::default(), "it does not work");
        let mut full = FIRST;
        for _ in 0..20 {
            let pause = breaker.refused(at(0), &"no").since(at(0));
            assert!(pause >= full / 2 && pause <= full, "{pause:?} for {full:?}");
            full = (full * 2).min(LONGEST);
        }
        breaker.worked(at(1));
        assert!(breaker.refused(at(1), &"no").since(at(1)) <= FIRST);
    }

    #[test]
    fn what_does_not_work_is_listed_until_it_does() {
        let troubles = Troubles::new("app", 7);
        let mut breaker = Breaker::new(&troubles, "the broker does not answer");
        breaker.refused(at(0), &"connection refused");
        breaker.refused(at(700), &"connection refused");
        let listed = troubles.list();
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].attempts, listed[0].lasting), (2, Duration::from_millis(700)));
        breaker.worked(at(900));
        assert!(troubles.list().is_empty());
        breaker.refused(at(1000), &"again");
        drop(breaker);
        assert!(troubles.list().is_empty());
    }

    #[test]
    fn a_lost_authorisation_is_waited_for_and_then_an_error() {
        let mut breaker = Breaker::new(&Troubles::default(), "it does not work");
        breaker.refused(at(0), &"no");
        assert!(!breaker.is_hopeless(at(0), ErrorClass::NotAuthorized));
        assert!(!breaker.is_hopeless(at(59_000), ErrorClass::NotAuthorized));
        assert!(breaker.is_hopeless(at(60_000), ErrorClass::NotAuthorized));
        assert!(!breaker.is_hopeless(at(600_000), ErrorClass::Retriable));
        assert!(breaker.is_hopeless(at(600_000), ErrorClass::InstanceFenced));
    }

    #[test]
    fn an_outage_does_not_count_against_what_comes_after_it() {
        let mut breaker = Breaker::new(&Troubles::default(), "it does not work");
        for second in 0..100 {
            breaker.refused(at(second * 1_000), &"away");
            assert!(!breaker.is_hopeless(at(second * 1_000), ErrorClass::Retriable));
        }
        for (attempt, hopeless) in [(0, false), (1, false), (2, true)] {
            breaker.refused(at(100_000 + attempt), &"broken");
            assert_eq!(breaker.is_hopeless(at(100_000 + attempt), ErrorClass::Fatal), hopeless);
        }
    }
}
