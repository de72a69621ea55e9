//! Every effect of a process has a number; a plan says at which of them something goes wrong.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use millstream::broker::embedded::{CallInfo, CallKind, Fault, Faults};
use millstream::broker::{BrokerError, ErrorClass};

/// What goes wrong with the effects of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing.
    Nothing,
    /// The process dies right before the effect with this number; neither it nor any later one happens.
    CrashBefore(u64),
    /// The effect with this number happens, but its answer is lost.
    LoseAnswer(u64),
}

/// The effects of one life of a process.
#[derive(Debug)]
pub struct Effects {
    plan: Plan,
    count: AtomicU64,
    crashed: AtomicBool,
    silent: AtomicBool,
    kinds: Mutex<Vec<String>>,
}

impl Effects {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan,
            count: AtomicU64::new(0),
            crashed: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            kinds: Mutex::default(),
        }
    }

    /// How many effects there have been.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// What the effect with this number was.
    pub fn kind(&self, number: u64) -> String {
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.get(number as usize).cloned().unwrap_or_default()
    }

    /// Whether the process is dead.
    pub fn crashed(&self) -> bool {
        self.crashed.load(Ordering::SeqCst)
    }

    /// From now on no call is answered, nor has any effect.
    pub fn go_silent(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    pub(super) fn crash(&self) {
        self.crashed.store(true, Ordering::SeqCst);
    }

    /// Counts an effect; `false` if the process is dead and it must not happen.
    pub(super) fn happens(&self, kind: impl FnOnce() -> String) -> Option<u64> {
        if self.crashed() {
            return None;
        }
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).push(kind());
        if self.plan == Plan::CrashBefore(number) {
            self.crash();
            return None;
        }
        Some(number)
    }
}

impl Faults for Effects {
    fn decide(&self, call: &CallInfo) -> Fault {
        let dead = || BrokerError::new(ErrorClass::Retriable, format!("{:?}", call.kind), "the process is dead");
        // Looking for records that wait is no effect; there are thousands of looks.
        if call.kind == CallKind::Drain {
            return if self.crashed() { Fault::FailBefore(dead()) } else { Fault::None };
        }
        match self.happens(|| format!("{:?} {:?}", call.kind, call.partition)) {
            None => Fault::FailBefore(dead()),
            Some(_) if self.silent.load(Ordering::SeqCst) => Fault::Delay,
            Some(number) if self.plan == Plan::LoseAnswer(number) => Fault::LoseAnswer,
            Some(_) => Fault::None,
        }
    }
}
