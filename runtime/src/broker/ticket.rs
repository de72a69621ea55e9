//! Slow calls: start → ticket → poll, never blocking.

use std::sync::{Arc, Mutex, PoisonError};

use super::BrokerError;

/// Called when something that was waited for may have happened. Cheap; may be called from any thread, also for nothing.
#[derive(Clone)]
pub struct Wake(Arc<dyn Fn() + Send + Sync>);

impl Wake {
    /// A wake that calls `wake`.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    /// A wake for those who poll anyway.
    pub fn nobody() -> Self {
        Self::new(|| {})
    }

    /// A wake that unparks the current thread.
    pub fn current_thread() -> Self {
        let thread = std::thread::current();
        Self::new(move || thread.unpark())
    }

    /// Wakes.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl std::fmt::Debug for Wake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wake")
    }
}

// A lock because completer and ticket are on two threads: the completer writes once, the ticket takes once.
type Slot<T> = Arc<Mutex<Option<Result<T, BrokerError>>>>;

/// A call under way.
#[derive(Debug)]
#[must_use = "an answer that nobody polls is lost"]
pub struct Ticket<T>(Slot<T>);

/// The other end of a [`Ticket`]. Dropped without an answer, the ticket fails with
/// [`ErrorClass::Unknown`](super::ErrorClass::Unknown).
#[derive(Debug)]
pub struct Completer<T> {
    slot: Slot<T>,
    wake: Wake,
    done: bool,
}

impl<T> Ticket<T> {
    /// A ticket that is complete already.
    pub fn ready(answer: Result<T, BrokerError>) -> Self {
        Self(Arc::new(Mutex::new(Some(answer))))
    }

    /// A ticket and its completer; `wake` is called on completion.
    pub fn pair(wake: Wake) -> (Completer<T>, Self) {
        let slot = Slot::default();
        (Completer { slot: slot.clone(), wake, done: false }, Self(slot))
    }

    /// Takes the answer if it is there; once.
    pub fn poll(&mut self) -> Option<Result<T, BrokerError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<T> Completer<T> {
    /// Answers.
    pub fn complete(mut self, answer: Result<T, BrokerError>) {
        self.done = true;
        self.put(answer);
    }

    fn put(&self, answer: Result<T, BrokerError>) {
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        self.wake.wake();
    }
}

impl<T> Drop for Completer<T> {
    fn drop(&mut self) {
        if !self.done {
            self.put(Err(BrokerError::unknown("a call", "nobody answered it; its outcome is not known")));
        }
    }
}
