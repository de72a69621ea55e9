//! The event log of a life, and the count of what went wrong in it by design.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream::clock::{Clock, ManualClock};

/// How often each kind of fault happened.
pub type Counts = BTreeMap<&'static str, u64>;

#[derive(Default)]
struct Inner {
    lines: Option<String>,
    counts: Counts,
}

/// Shared by everybody in a life, which is one thread.
#[derive(Clone)]
pub(super) struct Trace {
    // A lock because what is handed to the broker must be `Sync`; there is one thread.
    inner: Arc<Mutex<Inner>>,
    clock: ManualClock,
    loud: bool,
}

impl Trace {
    pub(super) fn new(clock: ManualClock, loud: bool) -> Self {
        let inner = Inner { lines: loud.then(String::new), counts: Counts::new() };
        Self { inner: Arc::new(Mutex::new(inner)), clock, loud }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an event.
    pub(super) fn note(&self, event: impl FnOnce() -> String) {
        if self.loud {
            let millis = self.clock.monotonic().since(Default::default()).as_millis();
            let line = format!("{millis:>6} {}\n", event());
            if let Some(lines) = &mut self.inner().lines {
                lines.push_str(&line);
            }
        }
    }

    /// Counts a fault and notes what it hit.
    pub(super) fn fault(&self, kind: &'static str, about: impl fmt::Display) {
        *self.inner().counts.entry(kind).or_default() += 1;
        self.note(|| format!("FAULT {kind}: {about}"));
    }

    /// Faults so far, by kind.
    pub(super) fn counts(&self) -> Counts {
        self.inner().counts.clone()
    }

    /// The event log.
    pub(super) fn text(&self) -> String {
        self.inner().lines.clone().unwrap_or_default()
    }
}
