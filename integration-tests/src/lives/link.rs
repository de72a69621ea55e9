//! The network between one process and the broker, and the process's death in the middle of a call.
//!
//! ```text
//!  call ──► dead? crash now? cut off? outage? ──► by chance: lost request, lost reply, late reply, late request, twice, refused
//! ```

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream::broker::embedded::{CallInfo, CallKind, Fault, Faults};
use millstream::broker::{BrokerError, ErrorClass};
use millstream::clock::{Clock, ManualClock, Monotonic};

use super::dice::Dice;
use super::trace::Trace;

/// How many of a thousand calls go wrong in each way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// The request never arrives; the caller cannot know.
    pub lost_request: u64,
    /// The effect is there, the answer is not.
    pub lost_reply: u64,
    /// The answer comes late.
    pub late_reply: u64,
    /// The request arrives late.
    pub late_request: u64,
    /// The broker says: not now.
    pub refused: u64,
    /// The request arrives twice.
    pub twice: u64,
}

/// What is wrong everywhere at the moment.
#[derive(Default)]
struct Sky {
    dice: Option<Dice>,
    rates: Rates,
    /// Until when the coordinators of groups and transactions do not answer.
    coordinators_back: Monotonic,
    /// Until when the broker does not answer.
    broker_back: Monotonic,
    /// When calls that are held are to be released.
    releases: BTreeSet<(Monotonic, u64)>,
}

/// Faults that all processes of a life share.
#[derive(Clone)]
pub(super) struct Weather {
    // A lock because the broker wants its faults to be `Sync`; there is one thread.
    sky: Arc<Mutex<Sky>>,
    clock: ManualClock,
    trace: Trace,
}

impl Weather {
    pub(super) fn new(dice: Dice, rates: Rates, clock: ManualClock, trace: Trace) -> Self {
        let sky = Sky { dice: Some(dice), rates, ..Sky::default() };
        Self { sky: Arc::new(Mutex::new(sky)), clock, trace }
    }

    fn sky(&self) -> MutexGuard<'_, Sky> {
        self.sky.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing goes wrong by chance.
    pub(super) fn clear_up(&self) {
        let mut sky = self.sky();
        sky.rates = Rates::default();
        sky.coordinators_back = Monotonic::default();
        sky.broker_back = Monotonic::default();
    }

    pub(super) fn coordinators_away(&self, until: Monotonic) {
        self.sky().coordinators_back = until;
    }

    pub(super) fn broker_away(&self, until: Monotonic) {
        self.sky().broker_back = until;
    }

    /// The held calls whose time has come.
    pub(super) fn due(&self, now: Monotonic) -> Vec<u64> {
        let mut sky = self.sky();
        let mut due = Vec::new();
        while let Some(first) = sky.releases.first().copied().filter(|(at, _)| *at <= now) {
            sky.releases.remove(&first);
            due.push(first.1);
        }
        due
    }

    /// When the next held call is to be released.
    pub(super) fn next_release(&self) -> Option<Monotonic> {
        self.sky().releases.first().map(|(at, _)| *at)
    }
}

#[derive(Default)]
struct Ends {
    dead: bool,
    /// Effects until the process dies.
    crash_in: Option<u64>,
    cut: bool,
    cut_until: Monotonic,
}

/// One process's way to the broker and to its disk.
pub(super) struct Link {
    name: String,
    weather: Weather,
    ends: Mutex<Ends>,
}

/// Whether an effect is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breath {
    Lives,
    /// The process dies; the effect happens if `after`.
    Dies {
        after: bool,
    },
    Dead,
}

impl Link {
    pub(super) fn new(name: String, weather: Weather) -> Self {
        Self { name, weather, ends: Mutex::default() }
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_dead(&self) -> bool {
        self.ends().dead
    }

    pub(super) fn die(&self) {
        self.ends().dead = true;
    }

    /// Lets the process die at one of its next effects.
    pub(super) fn crash_in(&self, effects: u64) {
        self.ends().crash_in = Some(effects);
    }

    /// A death that has not come yet does not come any more.
    pub(super) fn forget_crash(&self) {
        self.ends().crash_in = None;
    }

    pub(super) fn cut(&self, until: Option<Monotonic>) {
        let mut ends = self.ends();
        ends.cut = until.is_some();
        ends.cut_until = until.unwrap_or_default();
    }

    fn breathe(&self, after: bool) -> Breath {
        let mut ends = self.ends();
        if ends.dead {
            return Breath::Dead;
        }
        match &mut ends.crash_in {
            Some(0) => {
                ends.dead = true;
                Breath::Dies { after }
            }
            Some(left) => {
                *left -= 1;
                Breath::Lives
            }
            None => Breath::Lives,
        }
    }

    /// Whether a write to the disk happens; `false` if the process dies before it.
    pub(super) fn writes(&self, what: &str) -> bool {
        match self.breathe(false) {
            Breath::Lives => true,
            Breath::Dead => false,
            Breath::Dies { .. } => {
                self.weather.trace.fault("crash at an effect", format!("{}, before {what}", self.name));
                false
            }
        }
    }

    fn hold(&self, sky: &mut Sky, call: &CallInfo, until: Monotonic) {
        sky.releases.insert((until, call.index));
    }

    fn error(class: ErrorClass, call: &CallInfo, reason: &str) -> BrokerError {
        BrokerError::new(class, format!("{:?} by {}", call.kind, call.client), reason)
    }

    /// What becomes of a call while nobody answers until `back`.
    fn unanswered(&self, sky: &mut Sky, call: &CallInfo, back: Monotonic) -> Fault {
        let dice = sky.dice.get_or_insert_with(|| Dice::new(0));
        let silent = matches!(call.kind, CallKind::Drain | CallKind::Begin | CallKind::Produce);
        match dice.below(3) {
            _ if call.kind == CallKind::Drain => {
                Fault::FailBefore(Self::error(ErrorClass::Retriable, call, "no answer"))
            }
            _ if silent => Fault::None,
            0 => Fault::FailBefore(Self::error(ErrorClass::Unknown, call, "no answer")),
            1 => Fault::FailBefore(Self::error(ErrorClass::Retriable, call, "no connection")),
            _ => {
                let late = Duration::from_millis(dice.below(30));
                self.hold(sky, call, back.after(late));
                Fault::Delay
            }
        }
    }

    fn by_chance(&self, sky: &mut Sky, call: &CallInfo, now: Monotonic) -> Fault {
        let rates = sky.rates;
        let Some(dice) = &mut sky.dice else { return Fault::None };
        let hot = matches!(call.kind, CallKind::Produce | CallKind::Drain | CallKind::Begin);
        // There are many of these; most lives should come further than the first of them.
        if hot && !dice.chance(60) {
            return Fault::None;
        }
        let refuse = |class, reason: &str| Fault::FailBefore(Self::error(class, call, reason));
        let at = dice.below(1000);
        let mut limit = 0;
        let mut within = |rate: u64| {
            limit += rate;
            at < limit
        };
        let fault = |kind: &'static str| self.weather.trace.fault(kind, format!("{:?} of {}", call.kind, self.name));
        if within(rates.lost_request) {
            match call.kind {
                CallKind::Begin => return Fault::None,
                CallKind::Drain => {
                    fault("lost request");
                    return refuse(ErrorClass::Retriable, "the fetch was lost");
                }
                CallKind::Produce => {
                    fault("lost record");
                    return refuse(ErrorClass::Unknown, "the record was not acknowledged");
                }
                _ => {
                    fault("lost request");
                    return refuse(ErrorClass::Unknown, "the request was lost");
                }
            }
        }
        if within(rates.lost_reply) {
            if matches!(call.kind, CallKind::Begin | CallKind::Drain) {
                return Fault::None;
            }
            fault("lost reply");
            return Fault::LoseAnswer;
        }
        if within(rates.refused) {
            if call.kind == CallKind::Produce {
                return Fault::None;
            }
            fault("refused");
            return refuse(ErrorClass::Retriable, "not now");
        }
        if hot {
            return Fault::None;
        }
        if within(rates.twice) {
            if matches!(call.kind, CallKind::Init | CallKind::Committed | CallKind::Leave) {
                return Fault::None;
            }
            fault("request arrives twice");
            return Fault::Twice;
        }
        let late = Duration::from_millis(match dice.below(10) {
            0 => dice.between(500, 3_000),
            _ => dice.between(1, 120),
        });
        if within(rates.late_reply) {
            fault("late reply");
            self.hold(sky, call, now.after(late));
            return Fault::Hold;
        }
        if within(rates.late_request) {
            fault("late request");
            self.hold(sky, call, now.after(late));
            return Fault::Delay;
        }
        Fault::None
    }

    fn fault_for(&self, call: &CallInfo) -> Fault {
        let now = self.weather.clock.monotonic();
        let (cut, cut_until) = {
            let ends = self.ends();
            (ends.cut, ends.cut_until)
        };
        let mut sky = self.weather.sky();
        let coordinated = matches!(
            call.kind,
            CallKind::Init
                | CallKind::SendOffsets
                | CallKind::Commit
                | CallKind::Abort
                | CallKind::MemberCommit
                | CallKind::Committed
                | CallKind::Leave
        );
        let back = if cut {
            Some(cut_until)
        } else if now < sky.broker_back {
            Some(sky.broker_back)
        } else if coordinated && now < sky.coordinators_back {
            Some(sky.coordinators_back)
        } else {
            None
        };
        match back {
            Some(back) => self.unanswered(&mut sky, call, back),
            None => self.by_chance(&mut sky, call, now),
        }
    }
}

impl Faults for Link {
    fn decide(&self, call: &CallInfo) -> Fault {
        // Which side of an effect a process dies on follows from the call, not from another throw.
        let breath = if call.kind == CallKind::Drain && !self.is_dead() {
            Breath::Lives
        } else {
            self.breathe(call.index.is_multiple_of(2))
        };
        let fault = match breath {
            Breath::Dead => Fault::FailBefore(Self::error(ErrorClass::Retriable, call, "the process is dead")),
            Breath::Dies { after } => {
                let side = if after { "after" } else { "before" };
                let about = format!("{}, {side} {:?} {:?}", self.name, call.kind, call.partition);
                self.weather.trace.fault("crash at an effect", about);
                match after {
                    true => Fault::LoseAnswer,
                    false => Fault::FailBefore(Self::error(ErrorClass::Retriable, call, "the process is dead")),
                }
            }
            Breath::Lives => self.fault_for(call),
        };
        if call.kind != CallKind::Drain {
            self.weather.trace.note(|| {
                let at = call.partition.as_ref().map_or_else(String::new, ToString::to_string);
                format!("{} {:?} {at} {}", call.client, call.kind, name(&fault))
            });
        }
        fault
    }
}

fn name(fault: &Fault) -> &'static str {
    match fault {
        Fault::None => "",
        Fault::FailBefore(_) => "fails",
        Fault::LoseAnswer => "loses its answer",
        Fault::Twice => "arrives twice",
        Fault::Hold => "is answered late",
        Fault::Delay => "arrives late",
    }
}
